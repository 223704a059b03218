"""Small pieces of the page as HTML or Markdown: its header, the line under the answer, notices, an answer as shown."""

from __future__ import annotations

from html import escape
from pathlib import PurePath
from typing import TYPE_CHECKING

from qwen3vl.webui.answering import Answer
from qwen3vl.webui.texts import Texts

if TYPE_CHECKING:
    from qwen3vl.engine.engine import Engine


def as_markdown(text: str) -> str:
    """Bare HTML and JSON in a fence, so that they are shown and not interpreted."""
    start = text.lstrip()[:1]
    language = {"<": "html", "{": "json", "[": "json"}.get(start)
    return text if language is None or "```" in text else f"```{language}\n{text}\n```"


def notice_html(message: str) -> str:
    return f'<div role="alert">{escape(message)}</div>'


def statistics_html(answer: Answer, texts: Texts) -> str:
    """The line under the answer."""
    figures = [(str(answer.tokens), texts.stat_tokens)] if answer.tokens else []
    if answer.tokens_per_second is not None:
        figures.append((f"{answer.tokens_per_second:.0f}", texts.stat_speed))
    if answer.first_token_seconds is not None:
        figures.append((_duration(answer.first_token_seconds), texts.stat_first))
    if answer.usage is not None:
        figures.append((str(answer.usage.prompt_tokens), texts.stat_prompt))
        if answer.usage.active_experts > 1:
            figures.append((str(answer.usage.active_experts), texts.stat_experts))
    items = "".join(f"<span><b>{value}</b> {escape(name)}</span>" for value, name in figures)
    state = f'<span class="state">{escape(getattr(texts, answer.state))}</span>'
    return f'<div class="line {answer.state}">{state}{items}</div>'


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def header_html(engine: Engine, texts: Texts) -> str:
    info = engine.info
    words = texts.badge_moe if info.is_moe else texts.badge_dense
    badge = words.format(
        parameters=_count(info.parameters),
        experts=info.num_experts,
        active=info.num_experts_per_tok,
        dtype=info.dtype,
        device=info.device,
    )
    # A folder's or repository's own name; all of it is in the tooltip.
    name = f'<b title="{escape(info.name)}">{escape(PurePath(info.name).name)}</b>'
    return (
        f"<h1>{escape(texts.title)}</h1><p>{escape(texts.tagline)}</p>"
        f'<div class="badge">{name}<span>{escape(badge)}</span></div>'
    )


def mode_choice(name: str, active: int, total: int, texts: Texts) -> str:
    return texts.mode_choice.format(name=texts.mode_names[name], active=active, total=total)


def _count(count: int) -> str:
    """11.1 M, 30.5 B."""
    return f"{count / 1e9:.3g} B" if count >= 1e9 else f"{count / 1e6:.3g} M"
