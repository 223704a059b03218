"""The forms in which a model can be held on a CPU, by the names that people give them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from qwen3vl import Engine
from qwen3vl.engine.build import EngineConfig


@dataclass(frozen=True)
class Format:
    """`dtype`, `quantization` and `kv_cache` are what `Engine.load` takes."""

    name: str
    dtype: str = "float32"
    quantization: str = "none"
    kv_cache: str = "auto"

    def load(self, model: str, config: EngineConfig) -> Engine:
        """Without drafts: they may turn a tie, which is no matter of the format."""
        return Engine.load(
            model,
            device="cpu",
            dtype=self.dtype,
            quantization=self.quantization,
            kv_cache=self.kv_cache,
            speculation="off",
            config=config,
        )


# A released checkpoint is bfloat16, and float32 holds and adds its numbers without a rounding of its own.
UNQUANTISED = Format("float32")

_PARTS: dict[str, Callable[[Format], Format]] = {
    "bf16": lambda base: replace(base, dtype="bfloat16"),
    "int8": lambda base: replace(base, quantization="int8"),
    "int4": lambda base: replace(base, quantization="int4"),
    "int8-kv": lambda base: replace(base, kv_cache="int8"),
}


def parse(name: str) -> Format:
    """`int4`, or several with a plus between them: `int4+int8-kv`. Raises `ValueError` for a part that is not known."""
    found = Format(name)
    for part in name.split("+"):
        if part not in _PARTS:
            raise ValueError(f"unknown format {part!r}; known are {', '.join(_PARTS)}, and several with + between them")
        found = _PARTS[part](found)
    return found
