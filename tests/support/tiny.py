"""Small random checkpoints that keep every structural feature of Qwen3-VL, built by the reference library.

The tokenizer, the chat template and the processor configs are those of the shipped tiny models, so the folders are
complete. The weights are random and large enough that the answer changes from token to token.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub import save_torch_state_dict
from transformers import (
    PreTrainedConfig,
    PreTrainedModel,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLMoeConfig,
    Qwen3VLMoeForConditionalGeneration,
)

SHIPPED = Path(__file__).parents[2] / "models"
MAX_PIXELS = 512 * 512

Layout = Literal["released", "transposed", "per_expert"]
Dialect = Literal["released", "resaved"]


def make_checkpoint(
    folder: Path,
    *,
    moe: bool = False,
    tied: bool = True,
    sparse_step: int = 1,
    mlp_only: Sequence[int] = (),
    layout: Layout = "released",
    yarn: bool = False,
    dialect: Dialect = "released",
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    expert_width: int = 40,
) -> PreTrainedConfig:
    """Writes a complete model folder with random weights and returns the reference library's config of it.

    `layout` is how the experts are stored: as released, transposed by a newer exporter, or one tensor per expert.
    `dialect` is how the config is written: as released (`rope_theta`, `rope_scaling`) or re-saved (`rope_parameters`).
    `yarn` doubles the context from 4096 positions. The weights are sharded, so that the index is read too.
    """
    config = make_config(
        moe=moe,
        tied=tied,
        sparse_step=sparse_step,
        mlp_only=mlp_only,
        yarn=yarn,
        dtype=dtype,
        expert_width=expert_width,
    )
    folder.mkdir(parents=True, exist_ok=True)
    for source in (SHIPPED / "dense").glob("*"):
        if source.suffix in (".json", ".jinja") and source.name not in ("config.json", "model.safetensors.index.json"):
            shutil.copyfile(source, folder / source.name)
    _allow_pictures(folder / "preprocessor_config.json")
    _allow_pictures(folder / "video_preprocessor_config.json")

    if dialect == "resaved":
        config.save_pretrained(folder)
    else:
        (folder / "config.json").write_text(json.dumps(_released(config), indent=2), encoding="utf-8")
    tensors = stored_tensors(random_model(config, seed).state_dict(), layout)
    if tied:
        del tensors["lm_head.weight"]
    tensors = {name: tensor.to(dtype).clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    save_torch_state_dict(tensors, folder, max_shard_size=500_000)
    return config


def make_config(
    *,
    moe: bool = False,
    tied: bool = True,
    sparse_step: int = 1,
    mlp_only: Sequence[int] = (),
    yarn: bool = False,
    dtype: torch.dtype = torch.float32,
    expert_width: int = 40,
) -> PreTrainedConfig:
    """The reference library's config of the small model. No two sizes that could be mixed up are equal."""
    shipped = json.loads((SHIPPED / "dense" / "config.json").read_text(encoding="utf-8"))
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": 10_000.0}
    if yarn:
        rope |= {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 4096}
    text: dict[str, Any] = {
        "vocab_size": shipped["text_config"]["vocab_size"],
        "hidden_size": 64,
        "intermediate_size": 112,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,  # unlike hidden_size / num_attention_heads
        "hidden_act": "silu",
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-6,
        "attention_bias": False,
        "rope_parameters": rope | {"mrope_section": [6, 5, 5], "mrope_interleaved": True},
        "tie_word_embeddings": tied,
        "dtype": str(dtype).removeprefix("torch."),
    }
    if moe:
        text |= {
            "num_experts": 8,
            "num_experts_per_tok": 4,
            "moe_intermediate_size": expert_width,
            "decoder_sparse_step": sparse_step,
            "mlp_only_layers": list(mlp_only),
        }
    vision = {
        "depth": 4,
        "hidden_size": 72,
        "intermediate_size": 136,
        "num_heads": 3,  # of 24 each
        "in_channels": 3,
        "patch_size": 16,
        "temporal_patch_size": 2,
        "spatial_merge_size": 2,
        "num_position_embeddings": 64,
        "out_hidden_size": 64,
        "deepstack_visual_indexes": [0, 1, 3],
        "hidden_act": "gelu_pytorch_tanh",
    }
    ids = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    build, name = (Qwen3VLMoeConfig, "Qwen3VLMoe") if moe else (Qwen3VLConfig, "Qwen3VL")
    config: PreTrainedConfig = build(
        text_config=text,
        vision_config=vision,
        tie_word_embeddings=tied,
        architectures=[f"{name}ForConditionalGeneration"],
        dtype=str(dtype).removeprefix("torch."),
        **{key: shipped[key] for key in ids},
    )
    return config


def random_model(config: PreTrainedConfig, seed: int = 0) -> PreTrainedModel:
    """The reference model in float32 on the CPU with weights of standard deviation 0.3, norms around one."""
    build = (
        Qwen3VLMoeForConditionalGeneration if config.model_type == "qwen3_vl_moe" else Qwen3VLForConditionalGeneration
    )
    model: Any = build._from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0.0, 0.3, generator=generator)
            if "norm" in name and name.endswith("weight"):
                parameter.add_(1.0)
    model.tie_weights()
    ready: PreTrainedModel = model.eval()
    return ready


def stored_tensors(state: Mapping[str, torch.Tensor], layout: Layout) -> dict[str, torch.Tensor]:
    """What a checkpoint of this layout stores, from the state of a reference model, whose experts are output dimension
    first.
    """
    stored: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        prefix, separator, kind = name.partition(".mlp.experts.")
        if not separator or layout == "transposed":
            stored[name] = tensor
        elif layout == "released":
            stored[name] = tensor.transpose(1, 2)
        else:
            for expert, weight in enumerate(tensor):
                parts = zip(("gate_proj", "up_proj"), weight.chunk(2), strict=True)
                for part, value in parts if kind == "gate_up_proj" else [("down_proj", weight)]:
                    stored[f"{prefix}.mlp.experts.{expert}.{part}.weight"] = value
    return stored


def _released(config: PreTrainedConfig) -> dict[str, Any]:
    raw: dict[str, Any] = config.to_dict()
    text, vision = raw["text_config"], raw["vision_config"]
    rope = text.pop("rope_parameters")
    text["rope_theta"] = rope.pop("rope_theta")
    text["rope_scaling"] = rope
    if "num_local_experts" in text:
        text["num_experts"] = text.pop("num_local_experts")
    vision.pop("rope_parameters", None)
    vision["model_type"] = raw["model_type"]
    return raw


def _allow_pictures(path: Path) -> None:
    """Lets pictures of up to `MAX_PIXELS` pass; videos may be 16 times as large in all."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    video = "video_processor_type" in raw
    raw["size"] = {"shortest_edge": 4096 if video else 64 * 64, "longest_edge": MAX_PIXELS * (16 if video else 1)}
    path.write_text(json.dumps(raw, indent=2), encoding="utf-8")
