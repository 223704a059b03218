"""Which scheme of quantisation a `config.json` names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from qwen3vl.checkpoints.quantized.awq import AwqScheme
from qwen3vl.checkpoints.quantized.compressed import CompressedScheme
from qwen3vl.checkpoints.quantized.fp8 import Fp8Scheme
from qwen3vl.checkpoints.quantized.gptq import GptqScheme
from qwen3vl.checkpoints.sources import Scheme
from qwen3vl.errors import CheckpointError

SCHEMES: Mapping[str, Callable[[Mapping[str, Any]], Scheme]] = MappingProxyType(
    {
        "awq": AwqScheme.from_config,
        "gptq": GptqScheme.from_config,
        "fp8": Fp8Scheme.from_config,
        "compressed-tensors": CompressedScheme.from_config,
    }
)
"""By the `quant_method` of a `quantization_config`."""


def scheme_of(config: Mapping[str, Any]) -> Scheme | None:
    """The scheme of a parsed `config.json`, None for a model that is not quantised. Raises `CheckpointError` for one
    that is not known, and for settings of a known one that are not.
    """
    text = config.get("text_config")
    raw = config.get("quantization_config") or (text.get("quantization_config") if isinstance(text, Mapping) else None)
    if not raw:
        return None
    if not isinstance(raw, Mapping):
        raise CheckpointError(f"config.json: quantization_config must be an object, got {raw!r}")
    method = raw.get("quant_method")
    build = SCHEMES.get(str(method))
    if build is None:
        known = ", ".join(SCHEMES)
        raise CheckpointError(f"the checkpoint is quantised by {method!r}; this package reads {known} and plain floats")
    return build(raw)
