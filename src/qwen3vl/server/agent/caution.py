"""Which steps an agent must not take on its own. Judges by what stands at the target, not by what the model says.

It errs on the side of asking. It cannot know what a page's scripts do: a page that wants to may send anything to its
own host at any click. What holds against that is the list of hosts; this is for a person's eyes.
"""

from __future__ import annotations

import re
from typing import Literal

from qwen3vl.browser.rules import HostRules
from qwen3vl.browser.session import Element
from qwen3vl.tasks.results import Step

Caution = Literal[
    "submit", "password", "payment", "file", "consequence", "other_site", "frame", "unsure", "changed", "repeats"
]
"""Why a person is asked: the step sends a form; touches a password, or money; opens a file dialog; has a name such as
Delete or Confirm; leads to a host that is not allowed; goes into another site's frame; the model was not sure; the page
changed after the step was proposed; the same step on the same picture did nothing before."""

_PRESSING = frozenset(("click", "double_click", "triple_click", "long_press", "drag", "middle_click"))
_SENDING_KEYS = frozenset(("enter", "return", "space"))
_PAYMENT = re.compile(
    r"\b(pay(ment|pal)?|buy|purchase|(place )?order|check ?out|donate|transfer|subscribe|top ?up|withdraw|bid)\b"
    r"|支付|付款|购买|下单|结算|结账|转账|汇款|捐|充值|提现|订阅",
    re.IGNORECASE,
)
_CONSEQUENCE = re.compile(
    r"\b(submit|send|post|publish|delete|remove|erase|reset|confirm|agree|accept|allow|authori[sz]e|sign|install"
    r"|download|upload|book|reserve|unsubscribe|close account|deactivate|log ?out|sign ?out)\b"
    r"|提交|发送|发布|删除|移除|清空|重置|确认|同意|接受|允许|授权|签署|安装|下载|上传|预订|预约|退订|注销|退出",
    re.IGNORECASE,
)


def cautions(step: Step, element: Element | None, rules: HostRules) -> list[Caution]:
    """Reasons to ask a person before `step` is taken on `element`: what it points at, or else what has the focus."""
    found: dict[Caution, bool] = {}
    traits = element.traits if element is not None else frozenset()
    presses = step.action in _PRESSING
    if step.action == "key":
        presses = enters = bool(_SENDING_KEYS & set(step.text.split("+")))
    else:
        enters = step.action == "type" and "\n" in step.text
    sends = (presses and "sends" in traits) or (enters and "enter_sends" in traits)
    for name in ("password", "payment"):
        typed = step.action == "type" and name in traits
        found[name] = typed or (sends and f"form_{name}" in traits)
    found["submit"] = sends
    found["file"] = presses and "file" in traits
    found["frame"] = "frame" in traits and step.action not in ("scroll", "move")
    if presses and element is not None:
        label = step.target.label if step.target is not None else ""
        called = f"{element.text}\n{label}"
        found["payment"] |= bool(_PAYMENT.search(called))
        found["consequence"] = bool(_CONSEQUENCE.search(called))
        found["other_site"] = bool(element.href) and not rules.allows_url(element.href) and not _local(element.href)
    return [caution for caution, holds in found.items() if holds]


def _local(href: str) -> bool:
    return href.startswith(("javascript:", "#"))
