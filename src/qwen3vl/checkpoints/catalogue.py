"""The models known by name: the twelve released Qwen3-VL ones, and the two tiny ones that come with this package.

The released configs are built from the few numbers in which the sizes differ, so that plans can be made before anything
is downloaded. Knows names and configs; whether a model is on this machine is for `locate` to say.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.checkpoints.generation import GenerationDefaults
from qwen3vl.errors import CheckpointError

DEFAULT_MODEL = "tiny-moe"

_END_OF_TEXT, _END_OF_TURN = 151643, 151645
_EOS = (_END_OF_TURN, _END_OF_TEXT)
# What the authors recommend for each kind. The released generation_config.json leaves the presence penalty out.
_SAMPLING = {
    "instruct": GenerationDefaults(_EOS, True, temperature=0.7, top_k=20, top_p=0.8, presence_penalty=1.5),
    "thinking": GenerationDefaults(_EOS, True, temperature=0.6, top_k=20, top_p=0.95),
}


@dataclass(frozen=True)
class _Size:
    """What distinguishes one released size. `experts` is the width of one expert, None for a dense model."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    mlp: int
    experts: int | None = None

    @property
    def is_small(self) -> bool:
        """2B and 4B have the smaller vision tower and tie the output head to the embeddings."""
        return self.hidden < 4096 and self.experts is None


_SIZES = {
    "2b": _Size(hidden=2048, layers=28, heads=16, kv_heads=8, mlp=6144),
    "4b": _Size(hidden=2560, layers=36, heads=32, kv_heads=8, mlp=9728),
    "8b": _Size(hidden=4096, layers=36, heads=32, kv_heads=8, mlp=12288),
    "32b": _Size(hidden=5120, layers=64, heads=64, kv_heads=8, mlp=25600),
    "30b-a3b": _Size(hidden=2048, layers=48, heads=32, kv_heads=4, mlp=6144, experts=768),
    "235b-a22b": _Size(hidden=4096, layers=94, heads=64, kv_heads=4, mlp=12288, experts=1536),
}


@dataclass(frozen=True)
class ReleasedModel:
    """A model published by its authors. The hub id is the same on Hugging Face and on ModelScope."""

    name: str  # "4b-instruct"
    hub_id: str  # "Qwen/Qwen3-VL-4B-Instruct"
    raw_config: Mapping[str, Any]  # what its config.json says
    generation: GenerationDefaults

    @cached_property
    def config(self) -> ModelConfig:
        return ModelConfig.from_dict(self.raw_config)


@dataclass(frozen=True)
class ShippedModel:
    """A tiny model that is part of this package."""

    name: str
    folder: Path

    @cached_property
    def config(self) -> ModelConfig:
        return ModelConfig.from_folder(self.folder)

    @cached_property
    def generation(self) -> GenerationDefaults:
        return GenerationDefaults.from_folder(self.folder)


Model = ReleasedModel | ShippedModel


def find(name: str) -> Model | None:
    """The model of that name, or None. Names are read without regard to case: "tiny-moe", "4b" (the Instruct model of
    that size), "30b-a3b-thinking", "qwen3-vl-4b-instruct" and "Qwen/Qwen3-VL-4B-Instruct" are all good.
    """
    return CATALOGUE.get(_short(name))


def lookup(name: str) -> Model:
    """Like `find`, but an unknown name is a `CheckpointError` that lists the nearest known ones."""
    if (model := find(name)) is not None:
        return model
    near = difflib.get_close_matches(_short(name), CATALOGUE, n=3, cutoff=0.3) or list(CATALOGUE)
    raise CheckpointError(
        f"no model is called {name!r}; the nearest names are {', '.join(near)}. "
        "A folder or a hub id such as Qwen/Qwen3-VL-4B-Instruct will do too"
    )


def _short(name: str) -> str:
    short = name.strip().lower().removeprefix("qwen/").removeprefix("qwen3-vl-")
    return f"{short}-instruct" if short in _SIZES else short


def _released(size_name: str, kind: str) -> ReleasedModel:
    hub_id = f"Qwen/Qwen3-VL-{size_name.upper()}-{kind.capitalize()}"
    return ReleasedModel(f"{size_name}-{kind}", hub_id, _raw_config(_SIZES[size_name]), _SAMPLING[kind])


def _raw_config(size: _Size) -> dict[str, Any]:
    is_moe = size.experts is not None
    family = "qwen3_vl_moe" if is_moe else "qwen3_vl"
    text: dict[str, Any] = {
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": _END_OF_TEXT,
        "dtype": "bfloat16",
        "eos_token_id": _END_OF_TURN,
        "head_dim": 128,
        "hidden_act": "silu",
        "hidden_size": size.hidden,
        "initializer_range": 0.02,
        "intermediate_size": size.mlp,
        "max_position_embeddings": 262144,
        "model_type": f"{family}_text",
        "num_attention_heads": size.heads,
        "num_hidden_layers": size.layers,
        "num_key_value_heads": size.kv_heads,
        "rms_norm_eps": 1e-06,
        "rope_scaling": {"mrope_interleaved": True, "mrope_section": [24, 20, 20], "rope_type": "default"},
        "rope_theta": 5000000,
        "use_cache": True,
        "vocab_size": 151936,
    }
    if is_moe:
        text |= {
            "decoder_sparse_step": 1,
            "mlp_only_layers": [],
            "moe_intermediate_size": size.experts,
            "norm_topk_prob": True,
            "num_experts": 128,
            "num_experts_per_tok": 8,
        }
    vision = {
        "deepstack_visual_indexes": [5, 11, 17] if size.is_small else [8, 16, 24],
        "depth": 24 if size.is_small else 27,
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_size": 1024 if size.is_small else 1152,
        "in_channels": 3,
        "initializer_range": 0.02,
        "intermediate_size": 4096 if size.is_small else 4304,
        "model_type": family,
        "num_heads": 16,
        "num_position_embeddings": 2304,
        "out_hidden_size": size.hidden,
        "patch_size": 16,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    }
    return {
        "architectures": [f"Qwen3VL{'Moe' if is_moe else ''}ForConditionalGeneration"],
        "image_token_id": 151655,
        "model_type": family,
        "text_config": text,
        "tie_word_embeddings": size.is_small,
        "video_token_id": 151656,
        "vision_config": vision,
        "vision_end_token_id": 151653,
        "vision_start_token_id": 151652,
    }


def _shipped(name: str) -> ShippedModel:
    """In an installed package the models lie beside the code, in a checkout in `models/` at its top."""
    package = Path(str(files("qwen3vl")))
    kind = name.removeprefix("tiny-")
    installed = package / "_models" / kind
    return ShippedModel(name, installed if installed.is_dir() else package.parents[1] / "models" / kind)


CATALOGUE: Mapping[str, Model] = MappingProxyType(
    {name: _shipped(name) for name in ("tiny-moe", "tiny-dense")}
    | {model.name: model for model in (_released(size, kind) for size in _SIZES for kind in ("instruct", "thinking"))}
)
"""All models by their short names. The tiny ones come first, then the released ones from small to large."""
