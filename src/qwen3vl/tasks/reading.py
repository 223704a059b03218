"""Reads one answer while it is written: text as it comes, and each thing that the answer names once it is finished.

The same function reads the growing answer and the whole one, so that there is one understanding of each format. It is
called when the answer has grown by a sixty-fourth: over an answer that is a fixed number of readings of each character.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from qwen3vl.engine.outputs import TokenLogprob
from qwen3vl.tasks.confidence import with_confidence
from qwen3vl.tasks.results import TaskResult
from qwen3vl.tasks.thinking import ThinkingSplitter, split_thinking

_GROWTH = 64
_END_OF_SOMETHING = re.compile(r"[\]})>\n`|]")
_CUT_OFF = {
    "length": "the answer reached the limit of tokens and is cut off",
    "loop": "the answer repeated itself and was stopped",
}


class Update(BaseModel):
    """A piece of the thought or of the answer's text, or a thing that is finished: number `index` of `list`."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["thinking", "text", "item"]
    text: str = ""
    list: str = ""
    index: int = 0
    item: Any = None


class Reader:
    def __init__(self, read: Callable[[str, bool], TaskResult], *, thinking: bool) -> None:
        """`read(answer, whole)`: what an answer holds; what it finds in the beginning of one stays found."""
        self._read = read
        self._thinking = thinking
        self._splitter = ThinkingSplitter(opened=thinking)
        self._answer: list[str] = []
        self._length = self._read_at = 0
        self._told: dict[str, int] = {}

    def feed(self, delta_text: str) -> list[Update]:
        """Takes the next piece of the model's text; returns what is new."""
        piece = self._splitter.add(delta_text)
        updates = [Update(kind="thinking", text=piece.thought)] if piece.thought else []
        if not piece.answer:
            return updates
        updates.append(Update(kind="text", text=piece.answer))
        self._answer.append(piece.answer)
        self._length += len(piece.answer)
        if _END_OF_SOMETHING.search(piece.answer) and self._length - self._read_at >= self._length / _GROWTH:
            self._read_at = self._length
            updates += self._news()
        return updates

    def finish(
        self, text: str, logprobs: Sequence[TokenLogprob] | None = None, finish_reason: str | None = None
    ) -> TaskResult:
        """What the whole answer holds, however it came. `text` is all of the model's text, the thought included."""
        if self._thinking:
            splitter = ThinkingSplitter(opened=True)
            first, last = splitter.add(text), splitter.finish()
            thought, answer = (first.thought + last.thought).rstrip(), (first.answer + last.answer).rstrip()
        else:
            parts = split_thinking(text)
            thought, answer = parts.thought, parts.answer
        result = self._read(answer, True)
        if logprobs:
            result = with_confidence(result, text, len(text) - len(answer) if text.endswith(answer) else 0, logprobs)
        warnings = [*result.warnings, *([_CUT_OFF[finish_reason]] if finish_reason in _CUT_OFF else [])]
        return result.model_copy(update={"thinking": thought, "warnings": warnings})

    def _news(self) -> list[Update]:
        answer = "".join(self._answer)
        self._answer = [answer]
        news = []
        for name, index, item in self._read(answer, False).items():
            if index >= self._told.get(name, 0):
                self._told[name] = index + 1
                news.append(Update(kind="item", list=name, index=index, item=item))
        return news
