"""Layers with packed weights by themselves, without an engine: where the time of a long prompt goes.

    python -m benchmarks.cpu.layers --shape 2b --bits 4 --tokens 512 [--layers 2] [--levels avx512 amx] [--json FILE]

A step of so many tokens of one sequence runs through a few layers with random weights, at each instruction set in turn,
round by round. Prints the median time of a layer and what it comes to if all layers of the shape took as long, and
beside it the products with packed matrices alone, with the multiplications they do a second, and attention alone.
Imports torch and the network, and nothing of an engine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from qwen3vl.checkpoints.catalogue import ReleasedModel, lookup
from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.kernels.attention import AttentionGroup, LayerCache, paged_attention
from qwen3vl.kernels.cpu import library
from qwen3vl.kernels.cpu.library import Level
from qwen3vl.kernels.experts import grouped_experts, route
from qwen3vl.kernels.linear import linear
from qwen3vl.kernels.packed import LANES, PackedMatrix, Packing
from qwen3vl.model.batch import Batch
from qwen3vl.model.decoder import Decoder, DenseMLP, SparseMLP
from qwen3vl.model.linear import Embedding, Projection

_BLOCK = 16  # tokens of a block of the cache
_GROUPS = {4: 64, 8: 128}  # columns that share a scale


def main() -> None:
    given = _arguments()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.threads])
    torch.set_num_threads(given.threads)
    model = lookup(given.shape)
    if not isinstance(model, ReleasedModel):
        raise SystemExit(f"{given.shape} is not a released shape")
    all_layers = model.config.text.num_layers
    with torch.inference_mode():
        decoder = _decoder(model, given.layers, Packing(given.bits, _GROUPS[given.bits]))
        found: dict[tuple[int, Level], dict[str, list[float]]] = {}
        for tokens in given.tokens:
            cache = [_cache(decoder, tokens, given.cache_bits) for _ in decoder.layers]
            works = {
                "layer": _layers(decoder, tokens, cache),
                "products": _products(decoder, tokens),
                "attention": _attention(decoder, tokens, cache),
            }
            levels = [level for level in given.levels if level <= _best()]
            for level in levels:
                for work in works.values():
                    _at(level, work)  # warm
            for _ in range(given.rounds):
                for name, work in works.items():
                    for level in levels:
                        seconds = _at(level, work) / given.layers
                        found.setdefault((tokens, level), {}).setdefault(name, []).append(seconds)
    print(f"{model.name}, {given.bits} bits, {given.layers} of {all_layers} layers, {given.threads} threads")
    multiplications = _multiplications(model.config)
    for (tokens, level), times in found.items():
        layer, products, attention = (statistics.median(times[name]) for name in ("layer", "products", "attention"))
        print(
            f"{tokens:6} tokens {level.name.lower():7} layer {1e3 * layer:8.2f} ms ({1e3 * min(times['layer']):.2f} to "
            f"{1e3 * max(times['layer']):.2f}), {tokens / layer / all_layers:8.1f} tokens/s; products "
            f"{1e3 * products:8.2f} ms, {tokens * multiplications / products / 1e9:8.1f} G/s; attention "
            f"{1e3 * attention:8.2f} ms"
        )
    if given.json is not None:
        rows = [{"tokens": tokens, "level": level.name.lower(), **times} for (tokens, level), times in found.items()]
        given.json.write_text(json.dumps(rows), encoding="utf-8")


def _best() -> Level:
    return library.best_level()


def _at(level: Level, work: Callable[[], object]) -> float:
    """Seconds of a work whose operations take this level as the best."""
    best = library.best_level
    library.best_level = lambda: level  # type: ignore[assignment]
    try:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start
    finally:
        library.best_level = best


def _decoder(model: ReleasedModel, layers: int, packing: Packing) -> Decoder:
    raw = {**model.raw_config}
    raw["text_config"] = {**raw["text_config"], "num_hidden_layers": layers}
    raw["vision_config"] = {**raw["vision_config"], "deepstack_visual_indexes": []}
    with torch.device("meta"):
        decoder = Decoder(ModelConfig.from_dict(raw).text)
    for module in decoder.modules():
        if isinstance(module, Projection | SparseMLP | Embedding):
            module.pack(packing)
    decoder.to_empty(device="cpu")
    for name, parameter in decoder.named_parameters():
        parameter.data.fill_(1.0) if "norm" in name else parameter.data.normal_(0.0, 0.02)
    for module in decoder.modules():
        for matrix in vars(module).values():
            if isinstance(matrix, PackedMatrix):
                matrix.data.copy_(PackedMatrix.of(torch.randn(LANES, matrix.columns) * 0.02, packing).data[0])
    return decoder.eval()


def _cache(decoder: Decoder, tokens: int, bits: int) -> LayerCache:
    text = decoder.config
    shape = (-(-tokens // _BLOCK), text.num_kv_heads, _BLOCK, text.head_dim)
    stored = torch.int8 if bits == 8 else torch.bfloat16
    scales = [torch.ones(shape[:-1]) for _ in range(2)] if bits == 8 else []
    return LayerCache(*(torch.zeros(shape, dtype=stored) for _ in range(2)), *scales)


def _prompt(tokens: int) -> AttentionGroup:
    return AttentionGroup(
        first_token=0,
        num_tokens=tokens,
        query_starts=torch.tensor([0, tokens]),
        context_lengths=torch.tensor([tokens]),
        block_tables=torch.arange(-(-tokens // _BLOCK))[None],
        max_queries=tokens,
        max_context=tokens,
    )


def _attention(decoder: Decoder, tokens: int, cache: list[LayerCache]) -> Callable[[], object]:
    text = decoder.config
    queries = torch.randn(tokens, text.num_heads, text.head_dim)

    def run() -> None:
        for layer in cache:
            paged_attention(queries, layer, [_prompt(tokens)], text.head_dim**-0.5)

    return run


def _layers(decoder: Decoder, tokens: int, cache: list[LayerCache]) -> Callable[[], object]:
    text = decoder.config
    ids = torch.randint(0, text.vocab_size, (tokens,))

    def run() -> torch.Tensor:
        batch = Batch(
            token_ids=ids,
            position_ids=torch.arange(tokens).expand(3, tokens),
            slots=torch.arange(tokens),
            active_experts=torch.full((tokens,), text.moe.num_experts_per_tok if text.moe else 1),
            groups=[_prompt(tokens)],
            logit_rows=torch.tensor([tokens - 1]),
            visuals=None,
        )
        out: torch.Tensor = decoder(batch, cache)
        return out

    return run


def _products(decoder: Decoder, tokens: int) -> Callable[[], object]:
    text = decoder.config
    x, heads = torch.randn(tokens, text.hidden_size), torch.randn(tokens, text.num_heads * text.head_dim)
    weights = indices = None
    if text.moe:
        active = torch.full((tokens,), text.moe.num_experts_per_tok)
        weights, indices = route(torch.randn(tokens, text.moe.num_experts), active, text.moe.num_experts_per_tok)

    def run() -> None:
        for layer in decoder.layers:
            linear(x, layer.attention.qkv_proj.weight)  # type: ignore[union-attr]
            linear(heads, layer.attention.o_proj.weight)  # type: ignore[union-attr]
            mlp = layer.mlp
            if isinstance(mlp, DenseMLP):
                linear(linear(x, mlp.gate_up_proj.weight, swiglu=True), mlp.down_proj.weight)
            elif isinstance(mlp, SparseMLP):
                assert weights is not None
                assert indices is not None
                grouped_experts(x, mlp.gate_up_proj, mlp.down_proj, weights, indices)

    return run


def _multiplications(config: ModelConfig) -> int:
    """Of one token with the matrices of a layer."""
    text = config.text
    heads = 2 * text.num_heads + 2 * text.num_kv_heads
    inner = text.moe.intermediate_size * text.moe.num_experts_per_tok if text.moe else text.intermediate_size
    return text.hidden_size * (heads * text.head_dim + 3 * inner)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cpu.layers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--shape", default="2b", help="a catalogue name: 2b, 4b, 8b, 30b-a3b, ...")
    parser.add_argument("--layers", type=int, default=2, help="that are run")
    parser.add_argument("--bits", type=int, choices=(4, 8), default=4)
    parser.add_argument("--cache-bits", type=int, choices=(8, 16), default=16)
    parser.add_argument("--tokens", type=int, nargs="+", default=[512])
    parser.add_argument("--levels", type=lambda name: Level[name.upper()], nargs="+", default=list(Level)[1:])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="where to write all times, in seconds")
    return parser.parse_args()


if __name__ == "__main__":
    main()
