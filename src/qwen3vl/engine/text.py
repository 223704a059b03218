"""From token ids to the text that a reader may see: whole characters only, and nothing past a stop string."""

from __future__ import annotations

from collections.abc import Sequence

from qwen3vl.prompt.tokenizer import Tokenizer


class OutputText:
    """The text of one answer as it grows. Text that may turn out to be the start of a stop string is held back."""

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str]) -> None:
        self._decoder = tokenizer.stream()
        self._stop = tuple(stop)
        self._held = ""
        self.stopped = False

    def add(self, token_id: int) -> str:
        """Takes the next token, returns the text that is now certain. Sets `stopped` when a stop string was
        completed.
        """
        return self._release(self._decoder.step(token_id))

    def finish(self) -> str:
        """What was held back, when no more tokens come."""
        text = self._release(self._decoder.flush())
        return text if self.stopped else text + self._held

    def _release(self, text: str) -> str:
        self._held += text
        found = [at for at in (self._held.find(stop) for stop in self._stop) if at >= 0]
        if found:
            self.stopped = True
            certain, self._held = self._held[: min(found)], ""
            return certain
        keep = max((_overlap(self._held, stop) for stop in self._stop), default=0)
        certain, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return certain


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
