"""Code out of an answer: the fenced blocks, or a document that stands there bare. Runs and checks nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FENCE = re.compile(r"^[ \t]*```[ \t]*([\w+#.-]*)[^\n]*\n", re.MULTILINE)
_END = re.compile(r"^[ \t]*```[ \t]*$", re.MULTILINE)
_UNFINISHED_END = re.compile(r"\n[ \t]*`{1,3}[ \t]*\Z")

# How a document begins and ends that needs no fence to be recognised.
_BARE = {
    "html": re.compile(r"<(?:!doctype\s+html|html)\b.*?(?:</html\s*>|\Z)", re.IGNORECASE | re.DOTALL),
    "xml": re.compile(r"<(?:\?xml|mxfile|mxGraphModel)\b.*?(?:</(?:mxfile|mxGraphModel)\s*>|\Z)", re.DOTALL),
}
_NAMES = {"htm": "html", "py": "python", "python3": "python", "drawio": "xml", "svg": "xml"}


@dataclass(frozen=True)
class Code:
    """`language` is in lower case, "html", "python" and "xml" under these names; empty if the fence names none.

    `closed` is false while the block is being written, or was cut off.
    """

    language: str
    source: str
    closed: bool


def parse_code(text: str) -> list[Code]:
    """The fenced blocks of `text` in order. Without any, the HTML or XML document that it holds, from tag to tag."""
    blocks = []
    opening = _FENCE.search(text)
    while opening:
        language = opening[1].lower()
        end = _END.search(text, opening.end())
        source = text[opening.end() : end.start() if end else len(text)]
        if end is None:
            source = _UNFINISHED_END.sub("", source)
        blocks.append(Code(_NAMES.get(language, language), source.strip("\n"), end is not None))
        opening = _FENCE.search(text, end.end()) if end else None
    return blocks or _bare(text)


def find_code(text: str, language: str) -> Code | None:
    """The first block of `text` in `language`; else the first that names no language."""
    blocks = parse_code(text)
    named = (block for block in blocks if block.language == language)
    return next(named, next((block for block in blocks if not block.language), None))


def _bare(text: str) -> list[Code]:
    found = [(match.start(), language, match[0]) for language, form in _BARE.items() if (match := form.search(text))]
    return [Code(language, source.rstrip(), source.rstrip().endswith(">")) for _, language, source in sorted(found)[:1]]
