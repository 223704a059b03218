"""The list of pages, read and checked, and each as a question of the evaluation."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

from qwen3vl.bench.datasets import Item
from qwen3vl.bench.scoring import TASKS

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Page:
    """A page of a package, and what is asked about its picture.

    `width`, `height`: of the window in pixels; `at`: a CSS selector of what stands at its top, else the beginning.
    """

    name: str
    package: str
    version: str
    licence: str
    path: str
    width: int
    height: int
    task: str
    question: str
    answer: str
    at: str = ""

    @property
    def picture(self) -> Path:
        return HERE / f"{self.name}.png"

    def item(self) -> Item:
        parts = [{"type": "image", "image": self.picture}, {"type": "text", "text": self.question}]
        messages = [{"role": "user", "content": parts}]
        return Item(self.name, self.task, messages, self.question, self.answer)


def load(file: Path = HERE / "pages.toml") -> list[Page]:
    """Raises `ValueError` for a page that is not as `Page` says."""
    pages = []
    known = {field.name for field in fields(Page)}
    for number, table in enumerate(tomllib.loads(file.read_text(encoding="utf-8"))["page"], 1):
        if unknown := sorted(set(table) - known):
            raise ValueError(f"page {number} has the unknown key {unknown[0]!r}")
        page = Page(**table)
        if page.task not in TASKS:
            raise ValueError(f"page {number} has the unknown task {page.task!r}")
        pages.append(page)
    return pages
