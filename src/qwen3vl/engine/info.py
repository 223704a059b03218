"""What an engine says of itself: what was loaded, its state, and what it has measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qwen3vl.checkpoints.generation import GenerationDefaults
from qwen3vl.telemetry.histogram import Histogram


@dataclass(frozen=True)
class EngineInfo:
    """What was loaded, and where."""

    name: str  # a folder's last part, or what the model was asked for as
    is_moe: bool
    num_experts: int  # 0 for a dense model
    num_experts_per_tok: int  # 1 for a dense model
    max_context: int  # tokens of prompt and answer together
    max_pixels: int  # that a request may ask for, of one picture after resizing
    device: str
    dtype: str  # of hidden states, and of weights that are not packed
    quantization: str  # "none", "int8" or "int4"
    kernels: str  # of products with packed weights: "amx", "avx512", "avx2" or "torch"
    kv_cache: str
    parameters: int
    weight_bytes: int
    cache_token_bytes: int  # keys and values of one token in all layers
    memory_bytes: int  # weights, cache, picture features and room for activations
    defaults: GenerationDefaults


@dataclass(frozen=True)
class EngineStats:
    """The state of the engine at one moment, and its counters since the start."""

    running: int
    waiting: int
    free_blocks: int
    total_blocks: int
    steps: int
    preemptions: int
    prompt_tokens: int
    cached_tokens: int  # prompt tokens found in the prefix cache
    generated_tokens: int
    feature_hits: int
    feature_misses: int
    spec_decode_num_drafts: int
    spec_decode_num_draft_tokens: int
    spec_decode_num_accepted_tokens: int


@dataclass(frozen=True)
class EngineTelemetry:
    """What the engine has measured since the start, for whoever watches it."""

    queue_seconds: Histogram  # of requests until they were admitted
    first_token_seconds: Histogram
    total_seconds: Histogram  # of finished requests
    oldest_waiting_seconds: float  # how long the next to be admitted has waited; 0 where none waits
    memory_bytes: Mapping[str, int]  # by what it is for
    request_joules: float | None  # that requests were charged with; None where energy is not measured
    device_joules: float | None  # that the devices have taken in all
