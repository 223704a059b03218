"""Which tensors a released checkpoint of a given config holds, by name and shape. Knows nothing of files or modules."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from qwen3vl.checkpoints.config import ModelConfig, TextConfig, VisionConfig

Shape = tuple[int, ...]
TEXT, VISION, HEAD = "model.language_model.", "model.visual.", "lm_head.weight"


def released_shapes(config: ModelConfig) -> dict[str, Shape]:
    """The shape of every tensor as released: experts fused, input dimension first; no output head where it is tied."""
    text = config.text
    shapes = dict(_vision(config.vision))
    shapes[f"{TEXT}embed_tokens.weight"] = (text.vocab_size, text.hidden_size)
    for layer in range(text.num_layers):
        shapes.update((f"{TEXT}layers.{layer}.{name}", shape) for name, shape in _decoder_layer(text, layer))
    shapes[f"{TEXT}norm.weight"] = (text.hidden_size,)
    if not config.tie_word_embeddings:
        shapes[HEAD] = (text.vocab_size, text.hidden_size)
    return shapes


def text_parameters(config: ModelConfig) -> int:
    """Weights of the language model, embeddings and output head included."""
    return sum(prod(shape) for name, shape in released_shapes(config).items() if not name.startswith(VISION))


def vision_parameters(config: ModelConfig) -> int:
    """Weights of the vision tower and its mergers."""
    return sum(prod(shape) for _, shape in _vision(config.vision))


def active_text_parameters(config: ModelConfig) -> int:
    """Weights of the language model that one token meets: those of its experts alone, not of the others. The rows of
    the input embedding that it does not look up are not counted; a tied output head reads all of them and is.
    """
    text, total = config.text, text_parameters(config)
    if not config.tie_word_embeddings:
        total -= (text.vocab_size - 1) * text.hidden_size
    if text.moe is not None:
        idle = text.moe.num_experts - text.moe.num_experts_per_tok
        total -= len(text.moe.layers) * idle * 3 * text.hidden_size * text.moe.intermediate_size
    return total


def _decoder_layer(text: TextConfig, layer: int) -> Iterator[tuple[str, Shape]]:
    hidden, head = text.hidden_size, text.head_dim
    query, key = text.num_heads * head, text.num_kv_heads * head
    yield "input_layernorm.weight", (hidden,)
    yield "post_attention_layernorm.weight", (hidden,)
    yield "self_attn.q_norm.weight", (head,)
    yield "self_attn.k_norm.weight", (head,)
    for name, width in (("q_proj", query), ("k_proj", key), ("v_proj", key)):
        yield f"self_attn.{name}.weight", (width, hidden)
        if text.attention_bias:
            yield f"self_attn.{name}.bias", (width,)
    yield "self_attn.o_proj.weight", (hidden, query)
    if text.attention_bias:
        yield "self_attn.o_proj.bias", (hidden,)
    if text.moe is not None and layer in text.moe.layers:
        experts, width = text.moe.num_experts, text.moe.intermediate_size
        yield "mlp.gate.weight", (experts, hidden)
        yield "mlp.experts.gate_up_proj", (experts, hidden, 2 * width)
        yield "mlp.experts.down_proj", (experts, width, hidden)
    else:
        yield "mlp.gate_proj.weight", (text.intermediate_size, hidden)
        yield "mlp.up_proj.weight", (text.intermediate_size, hidden)
        yield "mlp.down_proj.weight", (hidden, text.intermediate_size)


def _vision(vision: VisionConfig) -> Iterator[tuple[str, Shape]]:
    width, patch = vision.hidden_size, vision.patch_size
    yield f"{VISION}patch_embed.proj.weight", (width, vision.in_channels, vision.temporal_patch_size, patch, patch)
    yield f"{VISION}patch_embed.proj.bias", (width,)
    yield f"{VISION}pos_embed.weight", (vision.num_position_embeddings, width)
    for block in range(vision.depth):
        prefix = f"{VISION}blocks.{block}."
        yield from _norm(f"{prefix}norm1", width)
        yield from _norm(f"{prefix}norm2", width)
        yield from _linear(f"{prefix}attn.qkv", width, 3 * width)
        yield from _linear(f"{prefix}attn.proj", width, width)
        yield from _linear(f"{prefix}mlp.linear_fc1", width, vision.intermediate_size)
        yield from _linear(f"{prefix}mlp.linear_fc2", vision.intermediate_size, width)
    merged = width * vision.merge_size**2
    # The main merger normalises each patch, the DeepStack ones the merged four.
    mergers = [("merger", width)]
    mergers += [(f"deepstack_merger_list.{tap}", merged) for tap in range(len(vision.deepstack_indexes))]
    for name, normed in mergers:
        yield from _norm(f"{VISION}{name}.norm", normed)
        yield from _linear(f"{VISION}{name}.linear_fc1", merged, merged)
        yield from _linear(f"{VISION}{name}.linear_fc2", merged, vision.out_hidden_size)


def _norm(name: str, width: int) -> list[tuple[str, Shape]]:
    return [(f"{name}.weight", (width,)), (f"{name}.bias", (width,))]


def _linear(name: str, inputs: int, outputs: int) -> list[tuple[str, Shape]]:
    return [(f"{name}.weight", (outputs, inputs)), (f"{name}.bias", (outputs,))]
