"""Thought and answer apart: `<think>...</think>`, also where the prompt has already opened it, whole or as a stream."""

from __future__ import annotations

from dataclasses import dataclass

OPEN, CLOSE = "<think>", "</think>"


@dataclass(frozen=True)
class Thinking:
    """The two parts of an answer, without the tags and the blanks around them. A stream's pieces keep inner blanks."""

    thought: str
    answer: str


def split_thinking(text: str) -> Thinking:
    """Splits a whole answer. One that closes a thought which it did not open came from a template that opens it; one
    that opens a thought and never closes it has no answer."""
    splitter = ThinkingSplitter(opened=CLOSE in text and OPEN not in text.partition(CLOSE)[0])
    first, last = splitter.add(text), splitter.finish()
    return Thinking((first.thought + last.thought).rstrip(), (first.answer + last.answer).rstrip())


class ThinkingSplitter:
    """Takes an answer piece by piece. `opened`: the prompt ends with `<think>`, so that the answer begins inside."""

    def __init__(self, *, opened: bool) -> None:
        self._state = "thought" if opened else "start"
        self._held = ""  # what may become a tag, and blanks that may turn out to be at an edge

    def add(self, text: str) -> Thinking:
        """What has become certain with this piece."""
        self._held += text
        thought = answer = ""
        if self._state == "start":
            self._held = self._held.lstrip()
            if self._held.startswith(OPEN):
                self._state, self._held = "thought", self._held[len(OPEN) :]
            elif self._held and not OPEN.startswith(self._held):
                self._state = "answer"
        if self._state in ("thought", "thought begun"):
            thought = self._take_thought()
        if self._state == "after":
            self._held = self._held.lstrip()
            if self._held:
                self._state = "answer"
        if self._state == "answer":
            answer, self._held = self._held, ""
        return Thinking(thought, answer)

    def finish(self) -> Thinking:
        """What was held back, when nothing more comes: the beginning of a tag that did not become one."""
        held, self._held = self._held, ""
        return Thinking(held, "") if self._state.startswith("thought") else Thinking("", held)

    def _take_thought(self) -> str:
        if self._state == "thought":
            self._held = self._held.lstrip()
        thought, tag, rest = self._held.partition(CLOSE)
        if tag:
            self._state, self._held = "after", rest
            return thought.rstrip()
        keep = max((n for n in range(len(CLOSE)) if thought.endswith(CLOSE[:n])), default=0)
        certain = thought[: len(thought) - keep].rstrip()
        self._held = thought[len(certain) :]
        if certain:
            self._state = "thought begun"
        return certain
