"""Checkpoints written by the library compressed-tensors, as llm-compressor publishes them."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import torch
from compressed_tensors.compressors import BaseCompressor, ModelCompressor
from compressed_tensors.quantization import (
    QuantizationArgs,
    QuantizationConfig,
    QuantizationScheme,
    apply_quantization_config,
)
from compressed_tensors.quantization.utils import calculate_qparams

from support.quantized import Quantize, Tensors
from support.tiny import make_checkpoint, random_model

IGNORED = ["lm_head", "re:.*visual.*", "re:.*mlp.gate$"]


def scheme(targets: list[str], weights: dict[str, Any], **more: Any) -> QuantizationScheme:
    return QuantizationScheme(targets=targets, weights=QuantizationArgs(**weights), **more)


def make_compressed(folder: Path, *schemes: QuantizationScheme, scale_type: torch.dtype = torch.float32) -> Tensors:
    """Writes a dense checkpoint by the library, and returns the tensors that the library reads from it."""
    config = make_checkpoint(folder, tied=False)
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    model: Any = random_model(config)
    groups = {f"group_{number}": scheme for number, scheme in enumerate(schemes)}
    apply_quantization_config(model, QuantizationConfig(config_groups=groups, ignore=IGNORED))
    for module in model.modules():
        if getattr(module, "quantization_scheme", None) is not None:
            _calibrate(module, scale_type)
    compressor = ModelCompressor.from_pretrained_model(model)
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bars
        compressor.compress_model(model)
        model.save_pretrained(folder, max_shard_size=150_000)
        compressor.update_config(str(folder))
        compressor.decompress_model(model)
    state = model.state_dict()
    return {name: tensor.float() for name, tensor in state.items() if not name.endswith(("_scale", "_point", "_shape"))}


def by_the_library(scheme: QuantizationScheme) -> Quantize:
    """Quantises one matrix by itself: for experts, which the library would have to see as modules of their own."""
    layout = BaseCompressor.get_value_from_registry(scheme.format)

    def quantize(weight: torch.Tensor) -> tuple[Tensors, torch.Tensor]:
        scale, zero = _scales(weight, scheme.weights)
        parts = layout.compress({"weight": weight, "weight_scale": scale, "weight_zero_point": zero}, scheme)
        floats: torch.Tensor = layout.decompress(parts, scheme)["weight"]
        return parts, floats

    return quantize


def _calibrate(module: Any, scale_type: torch.dtype) -> None:
    scale, zero = _scales(module.weight.data, module.quantization_scheme.weights)
    module.weight_scale.data = scale.to(scale_type)
    if hasattr(module, "weight_zero_point"):
        module.weight_zero_point.data = zero
    if hasattr(module, "input_scale"):
        module.input_scale.data.fill_(1.0)


def _scales(weight: torch.Tensor, args: QuantizationArgs) -> tuple[torch.Tensor, torch.Tensor]:
    """From the least and greatest weight of all that share a scale."""
    if args.strategy == "group":
        values, dims = weight.unflatten(1, (-1, args.group_size)), (2,)
    elif args.strategy == "block":
        height, width = args.block_structure
        values, dims = weight.unflatten(1, (-1, width)).unflatten(0, (-1, height)), (1, 3)
    elif args.strategy == "channel":
        values, dims = weight[:, None], (2,)
    else:
        values, dims = weight[None], (1, 2)
    scale, zero = calculate_qparams(values.amin(dims), values.amax(dims), args)
    return scale, zero.to(args.zp_dtype or torch.int8)
