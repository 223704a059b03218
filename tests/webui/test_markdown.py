"""Answers as HTML: what Markdown says is shown, and nothing that a model writes becomes markup of its own."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen3vl.webui.markdown import fenced, style_sheet, to_html

ALLOWED = {
    *("p", "br", "em", "strong", "s", "a", "code", "pre", "span", "blockquote", "hr", "ul", "ol", "li"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


SCRAPS = st.sampled_from(
    (
        *("<script>", "<img src=x onerror=1>", "](javascript:x)", "](http://x)", "[a", "![", "data:text/html,<b>"),
        *("```html\n", "**", "`", "|", "\n", "\n\n", "- ", "> ", "&lt;", "&", '"', "'", "<!--", "<", ">", "x y"),
        *("$", "$$", "\\(", "\\)"),
    )
)


@given(st.lists(SCRAPS, max_size=30).map("".join))
def test_no_markup_of_the_models_own(text: str) -> None:
    for tag, attributes in Tags(to_html(text)).found:
        assert tag in ALLOWED
        assert set(attributes) <= {"class", "data-language", "href", "target", "rel", "style", "start"}
        assert not (attributes.get("href") or "").lower().startswith(("javascript", "data", "vbscript"))
        assert tag in ("td", "th") or "style" not in attributes


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<html></html>", "```html\n<html></html>\n```"),
        ('{"a": 1}', '```json\n{"a": 1}\n```'),
        ('Here:\n```json\n{"a": 1}\n```', 'Here:\n```json\n{"a": 1}\n```'),
        ("red circle", "red circle"),
        ("", ""),
    ],
)
def test_bare_markup_is_fenced(text: str, shown: str) -> None:
    assert fenced(text) == shown


@pytest.mark.parametrize(
    ("text", "formulas"),
    [
        ("$x_1^2$ and \\(y*z*w\\)", ["x_1^2", "y*z*w"]),
        ("$$\na_b\n= c_d\n$$", ["a_b\n= c_d"]),
        ("\\[a < b\\]", ["a &lt; b"]),
        ("It costs $5, or $6 more.", []),
        ("From $ 5 $ on", []),
        ("`$x$`", []),
        ("```\n$x$\n```", []),
    ],
)
def test_formulas_are_found_and_money_is_none(text: str, formulas: list[str]) -> None:
    html = to_html(text)
    assert html.count('class="formula') == len(formulas)
    for formula in formulas:
        assert f">{formula}</span>" in html


def test_code_is_coloured_by_day_and_by_night() -> None:
    assert '<span class="hl-k">def</span>' in to_html("```python\ndef f(): pass\n```")
    assert "&lt;b&gt;" in to_html("```no-such-language\n<b>\n```")
    assert {".code .hl-k ", ".dark .code .hl-k "} <= {line.partition("{")[0] for line in style_sheet().splitlines()}
