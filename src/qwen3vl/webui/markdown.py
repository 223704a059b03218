"""What a model wrote as HTML that is safe to show: Markdown without raw HTML and pictures, code in colours, formulas
marked for the browser to set.

Nothing in the text becomes markup of its own, whatever it says.
"""

from __future__ import annotations

import re
from html import escape

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from pygments import highlight as colour
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

_LARGEST_COLOURED = 200_000  # characters; what is longer stays plain
_FORMULAS = (
    ("$$", re.compile(r"\$\$(.+?)\$\$", re.DOTALL), True),
    ("\\[", re.compile(r"\\\[(.+?)\\\]", re.DOTALL), True),
    ("\\(", re.compile(r"\\\((.+?)\\\)", re.DOTALL), False),
    # One dollar is money more often than not: it must touch the formula, and no digit may follow.
    ("$", re.compile(r"\$(?!\s)([^$\n]+?)(?<![\s\\])\$(?!\d)"), False),
)
_BARE = {"<": "html", "{": "json", "[": "json"}
_formatter = HtmlFormatter(nowrap=True, classprefix="hl-")


def to_html(text: str) -> str:
    """An answer as HTML."""
    return str(_markdown.render(fenced(text)))


def fenced(text: str) -> str:
    """Bare HTML and JSON in a fence: the answer is code then, and a browser should not see paragraphs in it."""
    bare = text.lstrip()
    language = "json" if bare.startswith("<tool_call>") else _BARE.get(bare[:1])
    return text if language is None or "```" in text else f"```{language}\n{text}\n```"


def highlighted(source: str, language: str) -> str:
    """Code with its words in spans."""
    try:
        lexer = get_lexer_by_name(language or "text", stripnl=False)
    except ClassNotFound:
        return escape(source)
    return escape(source) if len(source) > _LARGEST_COLOURED else colour(source, lexer, _formatter)


def style_sheet() -> str:
    """The colours of code, by day and by night."""
    day = HtmlFormatter(style="tango", classprefix="hl-").get_style_defs(".code")
    night = HtmlFormatter(style="one-dark", classprefix="hl-").get_style_defs(".dark .code")
    rules = [line for line in f"{day}\n{night}".splitlines() if ".hl-" in line and ".hl-err" not in line]
    return "\n".join(rules) + "\n"


def _code(source: str, language: str, attributes: str) -> str:
    name = escape(language, quote=True)
    return f'<pre class="code" data-language="{name}"><code>{highlighted(source, language)}</code></pre>'


def _formula(state: StateInline, silent: bool) -> bool:
    for opening, pattern, display in _FORMULAS:
        if state.src.startswith(opening, state.pos) and (match := pattern.match(state.src, state.pos)):
            if not silent:
                token = state.push("formula", "", 0)
                token.content, token.meta = match[1].strip(), {"display": display}
            state.pos = match.end()
            return True
    return False


def _render_formula(self: object, tokens: list, index: int, options: object, environment: object) -> str:  # type: ignore[type-arg]
    kind = "formula display" if tokens[index].meta["display"] else "formula"
    return f'<span class="{kind}">{escape(tokens[index].content)}</span>'


def _make() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False, "linkify": False, "highlight": _code, "breaks": True})
    made.enable(["table", "strikethrough"]).disable(["image", "html_block", "html_inline"])
    made.inline.ruler.before("escape", "formula", _formula)
    made.add_render_rule("formula", _render_formula)
    made.add_render_rule("link_open", _open_link)
    return made


def _open_link(self: object, tokens: list, index: int, options: object, environment: object) -> str:  # type: ignore[type-arg]
    address = escape(str(tokens[index].attrGet("href") or ""), quote=True)
    return f'<a href="{address}" target="_blank" rel="noopener noreferrer nofollow">'


_markdown = _make()
