"""What a caller may ask of one generation, checked where it enters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from qwen3vl.engine.grammar import Grammar
from qwen3vl.errors import InputError
from qwen3vl.experts.modes import Mode

MAX_TOP_LOGPROBS = 20
_MAX_STOPS = 16
_LARGEST = float("inf")  # comparing with it, unlike converting, works for integers of any size


@dataclass(frozen=True)
class GenerationOptions:
    """Options of one request. None means: what the checkpoint's `generation_config.json` says, else the neutral value.

    `logprobs` is how many alternatives to report for each token (0: only the chosen one's; None: none at all). `mode`
    is "fast", "balanced", "full" or a number of active experts. `min_pixels`, `max_pixels` bound every picture after
    resizing, `fps` is the rate at which videos are sampled. `grammar` is what the answer must be, after its thought;
    `stop_loops` ends an answer that only repeats itself (`qwen3vl.engine.loops` says what counts).
    """

    max_tokens: int | None = None  # None: until the context is full
    temperature: float | None = None  # 0: greedy
    top_k: int | None = None  # 0: off
    top_p: float | None = None
    min_p: float = 0.0
    presence_penalty: float | None = None
    frequency_penalty: float = 0.0
    repetition_penalty: float | None = None
    seed: int | None = None
    stop: str | Sequence[str] = ()
    logprobs: int | None = None
    n: int = 1
    mode: Mode = "full"
    ignore_eos: bool = False
    grammar: Grammar | None = None
    stop_loops: bool = False
    min_pixels: int | None = None
    max_pixels: int | None = None
    fps: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "stop", _strings("stop", self.stop))
        _integer("max_tokens", self.max_tokens, 1, None)
        _number("temperature", self.temperature, 0.0, 2.0)
        _integer("top_k", self.top_k, 0, None)
        _number("top_p", self.top_p, 0.0, 1.0, low_open=True)
        _number("min_p", self.min_p, 0.0, 1.0)
        _number("presence_penalty", self.presence_penalty, -2.0, 2.0)
        _number("frequency_penalty", self.frequency_penalty, -2.0, 2.0)
        _number("repetition_penalty", self.repetition_penalty, 0.01, 100.0)
        _integer("seed", self.seed, -(2**63), 2**63 - 1)
        _integer("logprobs", self.logprobs, 0, MAX_TOP_LOGPROBS)
        _integer("n", self.n, 1, 16)
        _integer("min_pixels", self.min_pixels, 1, None)
        _integer("max_pixels", self.max_pixels, 1, None)
        _number("fps", self.fps, 0.0, 240.0, low_open=True)
        if not isinstance(self.grammar, Grammar | None):
            raise InputError(f"grammar must be a Grammar, got {type(self.grammar).__name__}")
        if not isinstance(self.stop_loops, bool):
            raise InputError(f"stop_loops must be true or false, got {self.stop_loops!r}")
        if isinstance(self.mode, bool) or not isinstance(self.mode, str | int):
            raise InputError(f"mode must be a name or a number of experts, got {self.mode!r}")

    @classmethod
    def from_mapping(cls, options: Mapping[str, Any]) -> GenerationOptions:
        """Like the constructor, but an unknown name is an `InputError` that lists the known ones."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(options) - known):
            raise InputError(f"unknown option {unknown[0]!r}; known are {', '.join(sorted(known))}")
        return cls(**options)


def _integer(name: str, value: object, low: int, high: int | None) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < low or (high is not None and value > high):
        allowed = f"at least {low}" if high is None else f"from {low} to {high}"
        raise InputError(f"{name} must be a whole number {allowed}, got {value!r}")


def _strings(name: str, value: object) -> tuple[str, ...]:
    items = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list | tuple) else None
    if value is None:
        return ()
    if items is None or len(items) > _MAX_STOPS or not all(isinstance(item, str) and item for item in items):
        raise InputError(f"{name} takes up to {_MAX_STOPS} non-empty strings, got {value!r}")
    return items


def _number(name: str, value: object, low: float, high: float | None, *, low_open: bool = False) -> None:
    if value is None:
        return
    bad = isinstance(value, bool) or not isinstance(value, int | float) or not -_LARGEST < value < _LARGEST
    if bad or value < low or (low_open and value == low) or (high is not None and value > high):  # type: ignore[operator]
        allowed = f"{'above' if low_open else 'at least'} {low:g}" + ("" if high is None else f" and at most {high:g}")
        raise InputError(f"{name} must be a number {allowed}, got {value!r}")
