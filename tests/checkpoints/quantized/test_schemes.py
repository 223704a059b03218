"""Which scheme a config.json names."""

from __future__ import annotations

from typing import Any

import pytest

from qwen3vl.checkpoints.quantized.awq import AwqScheme
from qwen3vl.checkpoints.quantized.schemes import scheme_of
from qwen3vl.errors import CheckpointError

AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128}


@pytest.mark.parametrize(
    "config", [{}, {"quantization_config": None}, {"quantization_config": {}}, {"text_config": {}}]
)
def test_no_quantisation(config: dict[str, Any]) -> None:
    assert scheme_of(config) is None


@pytest.mark.parametrize("config", [{"quantization_config": AWQ}, {"text_config": {"quantization_config": AWQ}}])
def test_either_place(config: dict[str, Any]) -> None:
    """Some tools write it beside the settings of the language model."""
    assert scheme_of(config) == AwqScheme(group_size=128)


@pytest.mark.parametrize("method", ["bitsandbytes", "mxfp4", "AWQ ", None, ["awq"]])
def test_an_unknown_method_names_the_known_ones(method: object) -> None:
    with pytest.raises(CheckpointError, match="this package reads awq, gptq, fp8, compressed-tensors and plain floats"):
        scheme_of({"quantization_config": {"quant_method": method}})


def test_settings_that_are_no_object() -> None:
    with pytest.raises(CheckpointError, match="quantization_config must be an object"):
        scheme_of({"quantization_config": "awq"})
