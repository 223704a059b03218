"""Which steps call for a person's word."""

from __future__ import annotations

import pytest

from qwen3vl.browser.session import Element
from qwen3vl.server.agent.caution import cautions
from qwen3vl.tasks.results import PointMark, Step


def step(action: str, text: str = "", label: str = "") -> Step:
    target = PointMark(label=label, pixels=(1, 1), relative=(1, 1)) if action == "click" else None
    return Step(action=action, target=target, text=text)


def thing(text: str = "", *traits: str, href: str = "", tag: str = "button") -> Element:
    return Element(tag, "", text, href, frozenset(traits))


@pytest.mark.parametrize(
    ("given", "element", "expected"),
    [
        (step("click"), thing("Details"), []),
        (step("click"), None, []),
        (step("click"), thing("Pay now"), ["payment"]),
        (step("click"), thing("立即支付"), ["payment"]),
        (step("click", label="Delete"), thing("x"), ["consequence"]),
        (step("click"), thing("删除账号"), ["consequence"]),
        (step("click"), thing("Postcards"), []),
        (step("click"), thing("Go", "sends"), ["submit"]),
        (step("click"), thing("Go", "sends", "form_password"), ["password", "submit"]),
        (step("click"), thing("user", "enter_sends", "form_password"), []),
        (step("type", "me"), thing("user", "enter_sends", "form_password"), []),
        (step("type", "me\n"), thing("user", "enter_sends", "form_password"), ["password", "submit"]),
        (step("key", "enter"), thing("q", "enter_sends"), ["submit"]),
        (step("key", "ctrl+a"), thing("q", "enter_sends"), []),
        (step("type", "x"), thing("", "password"), ["password"]),
        (step("type", "4111"), thing("card", "payment"), ["payment"]),
        (step("click"), thing("", "file"), ["file"]),
        (step("click"), thing("", "frame"), ["frame"]),
        (step("scroll"), thing("", "frame"), []),
        (step("click"), thing("a", href="https://evil.test/"), ["other_site"]),
        (step("click"), thing("a", href="https://a.org/x"), []),
    ],
)
def test_caution(given: Step, element: Element | None, expected: list[str]) -> None:
    from qwen3vl.browser.rules import HostRules

    assert cautions(given, element, HostRules(("a.org",))) == expected
