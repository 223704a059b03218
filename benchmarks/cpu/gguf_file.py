"""GGUF files of a shape with random weights, as llama.cpp's own quantiser would lay them out.

Quantised blocks are random bytes under a scale that gives the weights a deviation of about 0.02, so that activations
stay finite. Norms and the router are float32, the output head of a 4-bit file is Q6_K, as in published files. The
vocabulary has no words. Written tensor by tensor: memory holds the largest of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter, LlamaFileType, TokenType

from benchmarks.cpu.noise import Noise
from qwen3vl.checkpoints.config import ModelConfig, TextConfig

F32, BF16 = GGMLQuantizationType.F32, GGMLQuantizationType.BF16
Q4_0, Q6_K, Q8_0 = GGMLQuantizationType.Q4_0, GGMLQuantizationType.Q6_K, GGMLQuantizationType.Q8_0
DEVIATION = 0.02

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Format:
    matrices: GGMLQuantizationType
    head: GGMLQuantizationType
    file_type: LlamaFileType


FORMATS = {
    4: Format(Q4_0, Q6_K, LlamaFileType.MOSTLY_Q4_0),
    8: Format(Q8_0, Q8_0, LlamaFileType.MOSTLY_Q8_0),
    16: Format(BF16, BF16, LlamaFileType.MOSTLY_BF16),
}


@dataclass(frozen=True)
class Tensor:
    name: str
    shape: tuple[int, ...]  # outputs first; the file has it the other way round
    kind: GGMLQuantizationType

    @property
    def nbytes(self) -> int:
        block, size = GGML_QUANT_SIZES[self.kind]
        return prod(self.shape) // block * size


def tensors(config: ModelConfig, bits: int) -> list[Tensor]:
    """Everything that a file of the text tower holds, in its order."""
    text, kinds = config.text, FORMATS[bits]
    embedding = (text.vocab_size, text.hidden_size)
    tied = config.tie_word_embeddings
    found = [Tensor("token_embd.weight", embedding, kinds.head if tied else kinds.matrices)]
    if not tied:
        found.append(Tensor("output.weight", embedding, kinds.head))
    found.append(Tensor("output_norm.weight", (text.hidden_size,), F32))
    for layer in range(text.num_layers):
        found += [
            Tensor(
                f"blk.{layer}.{name}.weight",
                shape,
                F32 if len(shape) == 1 or name == "ffn_gate_inp" else kinds.matrices,
            )
            for name, shape in _layer(text, layer)
        ]
    return found


def _layer(text: TextConfig, layer: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    hidden, head = text.hidden_size, text.head_dim
    query, key = text.num_heads * head, text.num_kv_heads * head
    yield "attn_norm", (hidden,)
    yield "attn_q", (query, hidden)
    yield "attn_k", (key, hidden)
    yield "attn_v", (key, hidden)
    yield "attn_output", (hidden, query)
    yield "attn_q_norm", (head,)
    yield "attn_k_norm", (head,)
    yield "ffn_norm", (hidden,)
    if text.moe is not None and layer in text.moe.layers:
        experts, width = text.moe.num_experts, text.moe.intermediate_size
        yield "ffn_gate_inp", (experts, hidden)
        yield "ffn_gate_exps", (experts, width, hidden)
        yield "ffn_up_exps", (experts, width, hidden)
        yield "ffn_down_exps", (experts, hidden, width)
    else:
        yield "ffn_gate", (text.intermediate_size, hidden)
        yield "ffn_up", (text.intermediate_size, hidden)
        yield "ffn_down", (hidden, text.intermediate_size)


def write(config: ModelConfig, bits: int, path: Path, *, text_only: bool = False) -> None:
    """Writes the file; under its name only when it is whole.

    `text_only`: as a dense Qwen3, which has the same weights and plain rotary positions, with a vocabulary in which
    every token is its own number: for readers that know no Qwen3-VL or cannot do without words.
    """
    if text_only and config.is_moe:
        raise ValueError("only a dense model can be written as a Qwen3")
    part = path.with_suffix(".part")
    writer = GGUFWriter(part, "qwen3" if text_only else "qwen3vlmoe" if config.is_moe else "qwen3vl")
    _describe(writer, config, bits)
    if text_only:
        _add_words(writer, config.text.vocab_size)
    else:
        writer.add_tokenizer_model("none")
        writer.add_rope_dimension_sections([*config.text.rope.mrope_section, 0])
        writer.add_num_deepstack_layers(len(config.vision.deepstack_indexes))
    planned = tensors(config, bits)
    for tensor in planned:
        writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.float32), tensor.nbytes, tensor.kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    noise = Noise(0)
    for tensor in planned:
        writer.write_tensor_data(values(tensor, noise))
    writer.close()
    part.rename(path)


def _describe(writer: GGUFWriter, config: ModelConfig, bits: int) -> None:
    text = config.text
    writer.add_file_type(FORMATS[bits].file_type)
    writer.add_context_length(text.max_positions)
    writer.add_embedding_length(text.hidden_size)
    writer.add_block_count(text.num_layers)
    writer.add_feed_forward_length(text.intermediate_size)
    writer.add_head_count(text.num_heads)
    writer.add_head_count_kv(text.num_kv_heads)
    writer.add_key_length(text.head_dim)
    writer.add_value_length(text.head_dim)
    writer.add_layer_norm_rms_eps(text.rms_norm_eps)
    writer.add_rope_freq_base(text.rope.theta)
    if text.moe is not None:
        writer.add_expert_count(text.moe.num_experts)
        writer.add_expert_used_count(text.moe.num_experts_per_tok)
        writer.add_expert_feed_forward_length(text.moe.intermediate_size)
    writer.add_vocab_size(text.vocab_size)


def _add_words(writer: GGUFWriter, vocabulary: int) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([f"<{number}>" for number in range(vocabulary)])
    writer.add_token_types([TokenType.NORMAL] * (vocabulary - 1) + [TokenType.CONTROL])
    writer.add_token_merges(["< >"])
    writer.add_eos_token_id(vocabulary - 1)


def values(tensor: Tensor, noise: Noise) -> npt.NDArray[np.generic]:
    """The tensor's bytes as the file holds them."""
    if len(tensor.shape) == 1:
        return np.ones(tensor.shape, np.float32)
    if tensor.kind is F32:
        return noise.rng.normal(0.0, DEVIATION, tensor.shape).astype(np.float32)
    if tensor.kind is BF16:
        return noise.bfloat16(prod(tensor.shape))
    _, size = GGML_QUANT_SIZES[tensor.kind]
    blocks = noise.bytes(tensor.nbytes).reshape(-1, size)
    _SCALE[tensor.kind](blocks)
    return blocks


def _scale_q4_0(blocks: Bytes) -> None:
    """A float16 scale, then 32 codes of 4 bits around 8."""
    _put_scales(blocks, 0, DEVIATION / 4.6)


def _scale_q8_0(blocks: Bytes) -> None:
    """A float16 scale, then 32 codes of 8 bits around 0."""
    _put_scales(blocks, 0, DEVIATION / 74)


def _scale_q6_k(blocks: Bytes) -> None:
    """256 codes of 6 bits around 32, 16 scales of 8 bits, and a float16 scale of those."""
    blocks[:, 192:208] = 32
    _put_scales(blocks, 208, DEVIATION / (18.5 * 32))


def _put_scales(blocks: Bytes, at: int, scale: float) -> None:
    """Codes of both signs are not centred exactly; scales of either sign keep the mean of the weights at 0."""
    signs = (blocks[:, at] & 1).astype(np.float16) * 2 - 1
    blocks[:, at : at + 2] = (signs * np.float16(scale)).view(np.uint8).reshape(-1, 2)


_SCALE: dict[GGMLQuantizationType, Callable[[Bytes], None]] = {
    Q4_0: _scale_q4_0,
    Q6_K: _scale_q6_k,
    Q8_0: _scale_q8_0,
}
