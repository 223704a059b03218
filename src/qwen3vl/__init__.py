"""Run the Qwen3-VL vision-language models, dense and mixture of experts, on one's own machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qwen3vl.engine.engine import Engine

__version__ = "0.1.0"
__all__ = ["Engine", "__version__"]


def __getattr__(name: str) -> Any:
    """Imports the engine, and torch with it, only for those who use it: `qwen3vl --help` should not wait for them."""
    if name == "Engine":
        from qwen3vl.engine.engine import Engine

        return Engine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
