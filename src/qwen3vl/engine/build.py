"""From a model's name to the parts of an engine: find, plan memory, load weights, make the cache."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.checkpoints.generation import GenerationDefaults
from qwen3vl.checkpoints.hubs import known_source
from qwen3vl.checkpoints.locate import locate
from qwen3vl.checkpoints.progress import Progress
from qwen3vl.checkpoints.weights import load_weights
from qwen3vl.engine import saved
from qwen3vl.engine.blocks import BlockPool
from qwen3vl.engine.core import EngineCore
from qwen3vl.engine.features import FeatureCache
from qwen3vl.engine.formats import QUANTIZATIONS, Formats, check_formats
from qwen3vl.engine.memory import GIB, MemoryPlan, parse_size, plan_memory
from qwen3vl.engine.runner import Runner
from qwen3vl.engine.scheduler import Scheduler
from qwen3vl.engine.speculation import Speculation
from qwen3vl.errors import InputError, InsufficientMemoryError
from qwen3vl.model.network import Qwen3VL
from qwen3vl.prompt.builder import PromptBuilder
from qwen3vl.telemetry.energy import meter_for

SPECULATIONS = ("auto", "off")
# torch keeps the code that oneDNN makes for each shape of a bfloat16 product, of 1,024 shapes unless told otherwise, in
# two caches. Each size of picture has shapes of its own: that came to half a gigabyte that nobody had asked for.
for _cache in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(_cache, "64")
_LEAST_MAX_PIXELS = 2**20  # a request may ask for so many, even where the checkpoint's own bound is lower


@dataclass(frozen=True)
class EngineConfig:
    """How the engine works inside. The defaults suit; tests and benchmarks vary them."""

    block_size: int = 16  # tokens
    num_blocks: int | None = None  # None: what the memory allows
    step_tokens: int | None = None  # computed in one step at most; None: 512 on a CPU, 4,096 on a GPU
    max_running: int = 64  # sequences in one batch
    feature_bytes: int = 256 * 2**20  # kept of the vision tower's results
    remember_answers: bool = True  # for drafts of other answers


@dataclass(frozen=True)
class EngineParts:
    core: EngineCore
    builder: PromptBuilder
    config: ModelConfig
    defaults: GenerationDefaults
    plan: MemoryPlan
    formats: Formats
    max_context: int  # tokens of prompt and answer together
    max_pixels: int  # of one picture after resizing, for which memory was planned


def build_engine(
    model: str | Path,
    *,
    source: str,
    device: str,
    dtype: str,
    quantization: str | None,
    kv_cache: str,
    memory: int | str | None,
    max_context: int | None,
    speculation: str,
    config: EngineConfig,
    progress: Progress | None,
) -> EngineParts:
    """Loads everything that an engine needs. Arguments and errors as in `Engine.load`."""
    target = resolve_device(device)
    check_formats(target, dtype=dtype, quantization=quantization, kv_cache=kv_cache)
    if speculation not in SPECULATIONS:
        raise InputError(f"speculation must be {' or '.join(map(repr, SPECULATIONS))}, got {speculation!r}")
    folder = locate(model, source=known_source(source), progress=progress)
    model_config = ModelConfig.from_folder(folder)
    if max_context is not None and not 1 <= max_context <= model_config.text.max_positions:
        raise InputError(
            f"max_context must be from 1 to {model_config.text.max_positions} for this model, got {max_context}"
        )
    stored = saved.stored_quantization(folder)
    if stored is not None and quantization not in (None, "none", stored):
        raise InputError(f"{folder} holds weights of {stored}; quantization must be left out or {stored!r}")

    def fill(network: Qwen3VL) -> None:
        if stored is not None:
            saved.load(network, folder, progress=progress)
        else:
            load_weights(folder, network.destinations(), model_config, progress=progress)

    formats = Formats.resolve(model_config, target, dtype=dtype, quantization=stored or quantization, kv_cache=kv_cache)
    try:
        return build_parts(
            PromptBuilder.from_folder(folder, model_config),
            GenerationDefaults.from_folder(folder),
            fill,
            device=target,
            formats=formats,
            memory=None if memory is None else parse_size(memory),
            max_context=max_context,
            speculates=speculation == "auto",
            config=config,
        )
    except InsufficientMemoryError as error:
        if stored is not None:  # packed as it is, and no other way
            raise
        raise InsufficientMemoryError(f"{error}{_smaller_forms(model_config, target, formats)}") from None


def quantize(
    model: str | Path,
    folder: Path,
    quantization: str,
    progress: Progress | None = None,
    *,
    source: str = "huggingface",
) -> None:
    """Packs the weights of a model as `Engine.load` would, and saves them to a new folder that loads at once.

    Raises what `Engine.load` raises, and `InputError` where the folder exists or the model is packed already.
    """
    device = torch.device("cpu")
    if quantization not in QUANTIZATIONS:
        raise InputError(f"quantization must be one of {', '.join(map(repr, QUANTIZATIONS))}, got {quantization!r}")
    saved.check_new(folder)
    checkpoint = locate(model, source=known_source(source), progress=progress)
    if (stored := saved.stored_quantization(checkpoint)) is not None:
        raise InputError(f"{checkpoint} holds weights of {stored} already; quantise the checkpoint that it came from")
    config = ModelConfig.from_folder(checkpoint)
    formats = Formats.resolve(config, device, dtype="auto", quantization=quantization, kv_cache="auto")
    network = Qwen3VL.empty(config, device, formats.dtype, formats.packings, formats.tower)
    load_weights(checkpoint, network.destinations(), config, progress=progress)
    saved.save(network, quantization, checkpoint, folder)


def build_parts(
    builder: PromptBuilder,
    defaults: GenerationDefaults,
    fill: Callable[[Qwen3VL], None],
    *,
    device: torch.device,
    formats: Formats,
    memory: int | None,
    max_context: int | None,
    config: EngineConfig,
    speculates: bool = False,
) -> EngineParts:
    """Plans memory, makes the network, lets `fill` give it values, and puts it together with a cache as planned."""
    model_config = builder.config
    max_pixels = max(builder.patches.picture_bounds.max_pixels, _LEAST_MAX_PIXELS)
    max_patches = max_pixels // model_config.vision.patch_size**2
    step_tokens = config.step_tokens or (4096 if device.type == "cuda" else 512)
    plan = plan_memory(
        model_config,
        device=device,
        dtype=formats.dtype,
        tower_dtype=formats.tower,
        memory=memory,
        weight_bytes=formats.weight_bytes(model_config),
        cache_token_bytes=formats.cache_token_bytes(model_config),
        feature_bytes=config.feature_bytes,
        step_tokens=step_tokens,
        max_running=config.max_running,
        max_patches=max_patches,
        block_size=config.block_size,
        num_blocks=config.num_blocks,
        max_context=max_context,
    )
    network = Qwen3VL.empty(model_config, device, formats.dtype, formats.packings, formats.tower)
    fill(network)
    runner = Runner(
        network,
        num_blocks=plan.num_blocks,
        block_size=config.block_size,
        cache_dtype=formats.cache,
        max_patches=max_patches,
        features=FeatureCache(plan.features),
    )
    pool = BlockPool(plan.num_blocks)
    scheduler = Scheduler(pool, config.block_size, step_tokens=step_tokens, max_running=config.max_running)
    return EngineParts(
        core=EngineCore(
            runner,
            scheduler,
            builder.tokenizer,
            frozenset(defaults.eos_token_ids),
            meter_for(device),
            Speculation(scheduler, runner, remember_answers=config.remember_answers) if speculates else None,
        ),
        builder=builder,
        config=model_config,
        defaults=defaults,
        plan=plan,
        formats=formats,
        max_context=min(max_context or model_config.text.max_positions, plan.num_blocks * config.block_size),
        max_pixels=max_pixels,
    )


def _smaller_forms(config: ModelConfig, device: torch.device, formats: Formats) -> str:
    """For a model that does not fit: what its weights would take in the forms that are smaller."""
    if device.type != "cpu":
        return ""
    now, found = formats.weight_bytes(config), []
    for name in QUANTIZATIONS:
        packed = Formats.resolve(config, device, dtype="auto", quantization=name, kv_cache="auto").weight_bytes(config)
        if packed < now:
            found.append(f"{packed / GIB:.2f} with quantization {name!r}")
    return f"; the weights would take {' and '.join(found)}" if found else ""


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
