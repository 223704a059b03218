"""Thought and answer, whole and in pieces of every size."""

from __future__ import annotations

import pytest

from qwen3vl.tasks.thinking import Thinking, ThinkingSplitter, split_thinking

WHOLE: dict[str, tuple[str, Thinking]] = {
    "both": ("<think>Two red,\n one blue.</think>\n\n3", Thinking("Two red,\n one blue.", "3")),
    "blanks": ("\n<think>\n So be it. \n</think> 3 \n", Thinking("So be it.", "3")),
    "opened by the template": ("Two red.\n</think>\n\n3", Thinking("Two red.", "3")),
    "no thought": ("Just 3 < 4 things.", Thinking("", "Just 3 < 4 things.")),
    "an empty thought": ("<think>\n\n</think>\n\n3", Thinking("", "3")),
    "never closed": ("<think>Two red, one", Thinking("Two red, one", "")),
    "tags in the answer": ("<think>a</think>Say <think>, then </think>.", Thinking("a", "Say <think>, then </think>.")),
    "almost a tag": ("<think>a </thin> b</think>c", Thinking("a </thin> b", "c")),
    "a tag that is not at the start": ("See <think> here", Thinking("", "See <think> here")),
    "half a tag": ("<thi", Thinking("", "<thi")),
    "nothing": ("", Thinking("", "")),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole(name: str) -> None:
    text, expected = WHOLE[name]
    assert split_thinking(text) == expected


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("name", WHOLE)
def test_in_pieces(name: str, size: int) -> None:
    text, expected = WHOLE[name]
    splitter = ThinkingSplitter(opened=name == "opened by the template")
    pieces = [splitter.add(text[i : i + size]) for i in range(0, len(text), size)] + [splitter.finish()]
    assert "".join(piece.thought for piece in pieces).rstrip() == expected.thought
    assert "".join(piece.answer for piece in pieces).rstrip() == expected.answer


def test_nothing_waits_without_need() -> None:
    """What can be shown is shown at once; only what may become a tag, or a blank at an edge, is held back."""
    splitter = ThinkingSplitter(opened=True)
    assert splitter.add("One red") == Thinking("One red", "")
    assert splitter.add(" < two ") == Thinking(" < two", "")
    assert splitter.add("</") == Thinking("", "")
    assert splitter.add("x") == Thinking(" </x", "")
    assert splitter.add("</think>\n") == Thinking("", "")
    assert splitter.add("3 ") == Thinking("", "3 ")
