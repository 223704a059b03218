"""From a model's name to the parts of an engine: find, plan memory, load weights, make the cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch

from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.checkpoints.generation import GenerationDefaults
from qwen3vl.checkpoints.locate import locate
from qwen3vl.checkpoints.tensors import released_shapes
from qwen3vl.checkpoints.weights import load_weights
from qwen3vl.engine.blocks import BlockPool
from qwen3vl.engine.core import EngineCore
from qwen3vl.engine.features import FeatureCache
from qwen3vl.engine.memory import MemoryPlan, parse_size, plan_memory
from qwen3vl.engine.runner import Runner
from qwen3vl.engine.scheduler import Scheduler
from qwen3vl.errors import InputError
from qwen3vl.model.network import Qwen3VL
from qwen3vl.prompt.builder import PromptBuilder

_LEAST_MAX_PIXELS = 2**20  # a request may ask for so many, even where the checkpoint's own bound is lower
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class EngineConfig:
    """How the engine works inside. The defaults suit; tests and benchmarks vary them."""

    block_size: int = 16  # tokens
    num_blocks: int | None = None  # None: what the memory allows
    step_tokens: int | None = None  # computed in one step at most; None: 512 on a CPU, 4,096 on a GPU
    max_running: int = 64  # sequences in one batch
    feature_bytes: int = 256 * 2**20  # kept of the vision tower's results


@dataclass(frozen=True)
class EngineParts:
    core: EngineCore
    builder: PromptBuilder
    config: ModelConfig
    defaults: GenerationDefaults
    plan: MemoryPlan
    max_context: int  # tokens of prompt and answer together
    max_pixels: int  # of one picture after resizing, for which memory was planned


def build_engine(
    model: str | Path,
    *,
    device: str,
    dtype: str,
    quantization: str | None,
    memory: int | str | None,
    max_context: int | None,
    config: EngineConfig,
    progress: Callable[[int, int], None] | None,
) -> EngineParts:
    """Loads everything that an engine needs. Arguments and errors as in `Engine.load`."""
    if quantization is not None:
        raise InputError(f"quantization {quantization!r} is not available in this version; use None")
    target = resolve_device(device)
    folder = locate(model, progress=progress)
    model_config = ModelConfig.from_folder(folder)
    if max_context is not None and not 1 <= max_context <= model_config.text.max_positions:
        raise InputError(
            f"max_context must be from 1 to {model_config.text.max_positions} for this model, got {max_context}"
        )
    weight_type = resolve_dtype(dtype, model_config, target)
    defaults = GenerationDefaults.from_folder(folder)
    builder = PromptBuilder.from_folder(folder, model_config)
    parameters = sum(prod(shape) for shape in released_shapes(model_config).values())
    max_pixels = max(builder.patches.picture_bounds.max_pixels, _LEAST_MAX_PIXELS)
    step_tokens = config.step_tokens or (4096 if target.type == "cuda" else 512)
    plan = plan_memory(
        model_config,
        device=target,
        dtype=weight_type,
        memory=None if memory is None else parse_size(memory),
        weight_bytes=parameters * weight_type.itemsize,
        feature_bytes=config.feature_bytes,
        step_tokens=step_tokens,
        max_running=config.max_running,
        max_patches=max_pixels // model_config.vision.patch_size**2,
        block_size=config.block_size,
        num_blocks=config.num_blocks,
        max_context=max_context,
    )
    network = Qwen3VL.empty(model_config, target, weight_type)
    load_weights(folder, network.destinations(), model_config, progress=progress)
    return assemble_engine(
        network,
        builder,
        defaults,
        plan,
        block_size=config.block_size,
        step_tokens=step_tokens,
        max_running=config.max_running,
        max_context=max_context or model_config.text.max_positions,
        max_pixels=max_pixels,
    )


def assemble_engine(
    network: Qwen3VL,
    builder: PromptBuilder,
    defaults: GenerationDefaults,
    plan: MemoryPlan,
    *,
    block_size: int,
    step_tokens: int,
    max_running: int,
    max_context: int,
    max_pixels: int,
) -> EngineParts:
    """Puts a network that has its weights together with a cache as planned."""
    runner = Runner(
        network,
        num_blocks=plan.num_blocks,
        block_size=block_size,
        max_patches=max_pixels // network.config.vision.patch_size**2,
        features=FeatureCache(plan.features),
    )
    pool = BlockPool(plan.num_blocks)
    scheduler = Scheduler(pool, block_size, step_tokens=step_tokens, max_running=max_running)
    return EngineParts(
        core=EngineCore(runner, scheduler, builder.tokenizer, frozenset(defaults.eos_token_ids)),
        builder=builder,
        config=network.config,
        defaults=defaults,
        plan=plan,
        max_context=min(max_context, plan.num_blocks * block_size),
        max_pixels=max_pixels,
    )


def resolve_device(name: str) -> torch.device:
    """ "auto" takes a CUDA device where there is one. Raises `InputError` for a device that is not there."""
    if name == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise InputError(f"device must be 'auto', 'cpu', 'cuda' or 'cuda:N', got {name!r}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device {name!r} is not there: this machine shows {torch.cuda.device_count()} CUDA devices")
    return device


def resolve_dtype(name: str, config: ModelConfig, device: torch.device) -> torch.dtype:
    """ "auto" is the checkpoint's own type on a GPU and float32 on a CPU."""
    if name == "auto":
        name = config.dtype if device.type == "cuda" else "float32"
    if name not in _DTYPES:
        raise InputError(f"dtype must be 'auto', {', '.join(map(repr, _DTYPES))}, got {name!r}")
    return _DTYPES[name]
