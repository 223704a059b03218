"""What a Qwen3-VL `config.json` says, as typed dataclasses.

Reads both dialects: released folders (`rope_theta` + `rope_scaling`) and re-saved ones (`rope_parameters`). Nothing
that shapes the network has a default here: a key that is missing is an error, because the class defaults of the
libraries that write these files differ from the released checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen3vl.checkpoints.files import read_json
from qwen3vl.errors import CheckpointError

_DENSE, _MOE = "qwen3_vl", "qwen3_vl_moe"


@dataclass(frozen=True)
class YarnConfig:
    """YaRN context extension (https://arxiv.org/abs/2309.00071)."""

    factor: float
    original_max_positions: int
    beta_fast: float
    beta_slow: float
    attention_factor: float | None  # None: 0.1 ln(factor) + 1
    truncate: bool


@dataclass(frozen=True)
class RopeConfig:
    theta: float
    mrope_section: tuple[int, int, int]  # frequencies for time, row, column; sums to head_dim / 2
    yarn: YarnConfig | None


@dataclass(frozen=True)
class MoeConfig:
    num_experts: int
    num_experts_per_tok: int
    intermediate_size: int
    layers: frozenset[int]  # indices of the decoder layers that are MoE; the others are dense


@dataclass(frozen=True)
class TextConfig:
    vocab_size: int
    hidden_size: int
    intermediate_size: int  # of the dense layers
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    rms_norm_eps: float
    attention_bias: bool
    max_positions: int
    rope: RopeConfig
    moe: MoeConfig | None


@dataclass(frozen=True)
class VisionConfig:
    depth: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    in_channels: int
    patch_size: int
    temporal_patch_size: int
    merge_size: int
    num_position_embeddings: int  # a square: the side is its root
    out_hidden_size: int
    deepstack_indexes: tuple[int, ...]

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_heads

    @property
    def patch_dim(self) -> int:
        """Values of one patch, ordered channel, time, row, column."""
        return self.in_channels * self.temporal_patch_size * self.patch_size**2


@dataclass(frozen=True)
class ModelConfig:
    text: TextConfig
    vision: VisionConfig
    tie_word_embeddings: bool
    image_token_id: int
    video_token_id: int
    vision_start_token_id: int
    vision_end_token_id: int
    dtype: str  # "bfloat16", "float16" or "float32": what the tensors are stored in

    @property
    def is_moe(self) -> bool:
        return self.text.moe is not None

    @classmethod
    def from_folder(cls, folder: Path) -> ModelConfig:
        """Reads `folder/config.json`. Raises `CheckpointError`."""
        raw = read_json(folder / "config.json")
        if raw is None:
            raise CheckpointError(f"{folder} has no config.json, so it is not a Hugging Face model folder")
        return cls.from_dict(raw)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> ModelConfig:
        """Builds the config from the parsed `config.json`. Raises `CheckpointError` on anything unknown or
        inconsistent.
        """
        model_type = raw.get("model_type")
        if model_type not in (_DENSE, _MOE):
            raise CheckpointError(f"model_type is {model_type!r}; this package runs {_DENSE!r} and {_MOE!r}")
        top = _Section(raw, "")
        text, vision = top.section("text_config"), top.section("vision_config")
        tie = raw.get("tie_word_embeddings", text.raw.get("tie_word_embeddings"))
        if not isinstance(tie, bool):
            raise CheckpointError(f"config.json: tie_word_embeddings must be true or false, got {tie!r}")
        config = cls(
            text=_text(text, is_moe=model_type == _MOE),
            vision=_vision(vision),
            tie_word_embeddings=tie,
            image_token_id=top.integer("image_token_id"),
            video_token_id=top.integer("video_token_id"),
            vision_start_token_id=top.integer("vision_start_token_id"),
            vision_end_token_id=top.integer("vision_end_token_id"),
            dtype=_dtype(raw, text.raw),
        )
        if config.vision.out_hidden_size != config.text.hidden_size:
            raise CheckpointError(
                f"vision_config.out_hidden_size is {config.vision.out_hidden_size}, "
                f"but text_config.hidden_size is {config.text.hidden_size}"
            )
        if len(config.vision.deepstack_indexes) > config.text.num_layers:
            raise CheckpointError("vision_config.deepstack_visual_indexes has more taps than the text model has layers")
        return config


@dataclass(frozen=True)
class _Section:
    """A dictionary of the config that names the key in its errors."""

    raw: Mapping[str, Any]
    prefix: str

    def get(self, key: str) -> Any:
        if self.raw.get(key) is None:
            raise CheckpointError(f"config.json lacks {self.prefix}{key}")
        return self.raw[key]

    def integer(self, key: str) -> int:
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise CheckpointError(f"config.json: {self.prefix}{key} must be a non-negative integer, got {value!r}")
        return value

    def positive(self, key: str) -> int:
        value = self.integer(key)
        if value == 0:
            raise CheckpointError(f"config.json: {self.prefix}{key} must be positive")
        return value

    def integers(self, key: str) -> tuple[int, ...]:
        value = self.get(key)
        if not isinstance(value, list | tuple) or not all(type(item) is int and item >= 0 for item in value):
            raise CheckpointError(
                f"config.json: {self.prefix}{key} must be a list of non-negative integers, got {value!r}"
            )
        return tuple(value)

    def number(self, key: str) -> float:
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise CheckpointError(f"config.json: {self.prefix}{key} must be a number, got {value!r}")
        return float(value)

    def section(self, key: str) -> _Section:
        value = self.get(key)
        if not isinstance(value, Mapping):
            raise CheckpointError(f"config.json: {self.prefix}{key} must be an object")
        return _Section(value, f"{self.prefix}{key}.")


def _text(section: _Section, *, is_moe: bool) -> TextConfig:
    activation = section.raw.get("hidden_act", "silu")
    if activation != "silu":
        raise CheckpointError(f"text_config.hidden_act is {activation!r}; Qwen3-VL uses 'silu'")
    num_layers, num_heads, num_kv_heads = (
        section.positive(key) for key in ("num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    )
    if num_heads % num_kv_heads:
        raise CheckpointError(f"{num_heads} query heads cannot share {num_kv_heads} key/value heads evenly")
    head_dim = section.positive("head_dim")
    return TextConfig(
        vocab_size=section.positive("vocab_size"),
        hidden_size=section.positive("hidden_size"),
        intermediate_size=section.positive("intermediate_size"),
        num_layers=num_layers,
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        head_dim=head_dim,
        rms_norm_eps=section.number("rms_norm_eps"),
        attention_bias=bool(section.raw.get("attention_bias", False)),
        max_positions=section.positive("max_position_embeddings"),
        rope=_rope(section, head_dim),
        moe=_moe(section, num_layers) if is_moe else None,
    )


def _moe(section: _Section, num_layers: int) -> MoeConfig:
    experts_key = "num_experts" if section.raw.get("num_experts") is not None else "num_local_experts"
    num_experts, top_k = section.integer(experts_key), section.integer("num_experts_per_tok")
    if not 1 <= top_k <= num_experts:
        raise CheckpointError(f"num_experts_per_tok is {top_k}, but the model has {num_experts} experts")
    if section.raw.get("norm_topk_prob", True) is not True:
        raise CheckpointError("norm_topk_prob false is not a Qwen3-VL layout")
    step = section.positive("decoder_sparse_step") if "decoder_sparse_step" in section.raw else 1
    dense_only = section.integers("mlp_only_layers") if section.raw.get("mlp_only_layers") is not None else ()
    layers = frozenset(i for i in range(num_layers) if i not in dense_only and (i + 1) % step == 0)
    return MoeConfig(num_experts, top_k, section.positive("moe_intermediate_size"), layers)


def _rope(section: _Section, head_dim: int) -> RopeConfig:
    """Reads either dialect: `rope_parameters` holds everything, else `rope_scaling` plus a `rope_theta` beside it."""
    raw = section.raw
    parameters = dict(raw.get("rope_parameters") or raw.get("rope_scaling") or {})
    parameters.setdefault("rope_theta", raw.get("rope_theta"))
    rope = _Section(parameters, f"{section.prefix}rope_parameters.")
    sections = rope.integers("mrope_section")
    if len(sections) != 3 or sum(sections) != head_dim // 2:
        raise CheckpointError(f"mrope_section {list(sections)} must be three numbers that sum to {head_dim // 2}")
    if parameters.get("mrope_interleaved", True) is not True:
        raise CheckpointError("mrope_interleaved false is not a Qwen3-VL layout")
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    if kind not in ("default", "mrope", "yarn"):
        raise CheckpointError(f"rope_type is {kind!r}; known are 'default' and 'yarn'")
    yarn = None
    if kind == "yarn":
        attention_factor = parameters.get("attention_factor")
        yarn = YarnConfig(
            factor=rope.number("factor"),
            original_max_positions=int(
                parameters.get("original_max_position_embeddings") or section.positive("max_position_embeddings")
            ),
            beta_fast=float(parameters.get("beta_fast") or 32),
            beta_slow=float(parameters.get("beta_slow") or 1),
            attention_factor=None if attention_factor is None else float(attention_factor),
            truncate=bool(parameters.get("truncate", True)),
        )
    return RopeConfig(theta=rope.number("rope_theta"), mrope_section=sections, yarn=yarn)


def _vision(section: _Section) -> VisionConfig:
    activation = section.raw.get("hidden_act", "gelu_pytorch_tanh")
    if activation != "gelu_pytorch_tanh":
        raise CheckpointError(f"vision_config.hidden_act is {activation!r}; Qwen3-VL uses 'gelu_pytorch_tanh'")
    config = VisionConfig(
        depth=section.positive("depth"),
        hidden_size=section.positive("hidden_size"),
        intermediate_size=section.positive("intermediate_size"),
        num_heads=section.positive("num_heads"),
        in_channels=section.positive("in_channels"),
        patch_size=section.positive("patch_size"),
        temporal_patch_size=section.positive("temporal_patch_size"),
        merge_size=section.positive("spatial_merge_size"),
        num_position_embeddings=section.positive("num_position_embeddings"),
        out_hidden_size=section.positive("out_hidden_size"),
        deepstack_indexes=section.integers("deepstack_visual_indexes"),
    )
    if config.hidden_size % config.num_heads or config.head_dim % 4:
        raise CheckpointError(f"vision width {config.hidden_size} does not split into {config.num_heads} rotary heads")
    side = round(config.num_position_embeddings**0.5)
    if side * side != config.num_position_embeddings:
        raise CheckpointError(f"num_position_embeddings {config.num_position_embeddings} is not a square")
    if any(index >= config.depth for index in config.deepstack_indexes):
        raise CheckpointError(f"deepstack_visual_indexes {config.deepstack_indexes} reach past depth {config.depth}")
    return config


def _dtype(raw: Mapping[str, Any], text: Mapping[str, Any]) -> str:
    for key in ("dtype", "torch_dtype"):
        for section in (raw, text):
            if section.get(key):
                name = str(section[key]).removeprefix("torch.")
                if name not in ("bfloat16", "float16", "float32"):
                    raise CheckpointError(f"{key} is {name!r}; known are bfloat16, float16 and float32")
                return name
    return "bfloat16"
