"""The shapes of the two small models, as the `config.json` of the released dialect. Knows nothing of training."""

from __future__ import annotations

from typing import Any

from training.vocabulary import END_OF_TEXT, IMAGE_PAD, TURN_END, VIDEO_PAD, VISION_END, VISION_START

# The MLP of the dense model is cut into as many slices as a token of the MoE uses experts, and each is there twice.
EXPERTS_PER_TOKEN = 4
NUM_EXPERTS = 2 * EXPERTS_PER_TOKEN

TEXT: dict[str, Any] = {
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": END_OF_TEXT,
    "dtype": "bfloat16",
    "eos_token_id": TURN_END,
    "head_dim": 64,
    "hidden_act": "silu",
    "hidden_size": 256,
    "initializer_range": 0.04,
    "intermediate_size": 768,
    "max_position_embeddings": 4096,
    "num_attention_heads": 4,
    "num_hidden_layers": 7,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_scaling": {"mrope_interleaved": True, "mrope_section": [12, 10, 10], "rope_type": "default"},
    "rope_theta": 10000.0,
    "use_cache": True,
}

VISION: dict[str, Any] = {
    "deepstack_visual_indexes": [1, 3],
    "depth": 6,
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_size": 192,
    "in_channels": 3,
    "initializer_range": 0.04,
    "intermediate_size": 768,
    "num_heads": 6,
    "num_position_embeddings": 256,
    "out_hidden_size": 256,
    "patch_size": 16,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}


def config(
    vocab_size: int, *, moe: bool, text: dict[str, Any] | None = None, vision: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The content of `config.json`. `text` and `vision` replace single values, for tests and trials."""
    family = "qwen3_vl_moe" if moe else "qwen3_vl"
    text_config = (
        TEXT | {"model_type": f"{family}_text", "tie_word_embeddings": True, "vocab_size": vocab_size} | (text or {})
    )
    if moe:
        text_config |= {
            "decoder_sparse_step": 1,
            "mlp_only_layers": [],
            "moe_intermediate_size": text_config["intermediate_size"] // EXPERTS_PER_TOKEN,
            "norm_topk_prob": True,
            "num_experts": NUM_EXPERTS,
            "num_experts_per_tok": EXPERTS_PER_TOKEN,
            "router_aux_loss_coef": 0.02,
        }
    return {
        "architectures": ["Qwen3VLMoeForConditionalGeneration" if moe else "Qwen3VLForConditionalGeneration"],
        "image_token_id": IMAGE_PAD,
        "model_type": family,
        "text_config": dict(sorted(text_config.items())),
        "tie_word_embeddings": True,
        "video_token_id": VIDEO_PAD,
        "vision_config": dict(sorted((VISION | {"model_type": family} | (vision or {})).items())),
        "vision_end_token_id": VISION_END,
        "vision_start_token_id": VISION_START,
    }
