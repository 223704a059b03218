"""Steps of a few tokens as one program of compiled operations, against the same layers one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.kernels.attention import AttentionGroup, LayerCache
from qwen3vl.kernels.cpu.library import Level, best_level, multiplies_bfloat16
from qwen3vl.kernels.packed import PackedMatrix, Packing
from qwen3vl.model.batch import Batch
from qwen3vl.model.decoder import Decoder
from qwen3vl.model.network import Packings, Qwen3VL
from qwen3vl.model.plan import MOST_TOKENS, Plan
from tests.support.tiny import make_config

BLOCK, BLOCKS = 4, 200
Lengths = list[tuple[int, int]]  # (new tokens, context after them) of each sequence

pytestmark = pytest.mark.skipif(best_level() is Level.NONE, reason="no compiled kernels")


@pytest.fixture(params=["dense", "moe", "mixed", "dense-untied", "plain-dense", "plain-moe"])
def network(request: pytest.FixtureRequest) -> Qwen3VL:
    """Random weights, packed or plain float32; "mixed" has dense layers between those with experts, and "untied"
    embeddings of their own in bfloat16.
    """
    step = 2 if request.param == "mixed" else 1
    tied, moe = "untied" not in request.param, "dense" not in request.param
    config = ModelConfig.from_dict(make_config(moe=moe, tied=tied, sparse_step=step).to_dict())
    packings = None if "plain" in request.param else Packings(layers=Packing(4, 32), head=Packing(8, 32))
    made = Qwen3VL.empty(config, torch.device("cpu"), torch.float32, packings)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in made.named_parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.3 + ("norm" in name))
    for matrix in made.packed().values():
        values = torch.randn(matrix.shape, generator=generator) * 0.2
        matrix.data.copy_(PackedMatrix.of(values, matrix.packing, halves=matrix.halves).data)
    return made


def empty_cache(config: ModelConfig, dtype: torch.dtype) -> list[LayerCache]:
    text = config.text
    shape = (BLOCKS, text.num_kv_heads, BLOCK, text.head_dim)
    scales = 2 if dtype == torch.int8 else 0
    return [
        LayerCache(
            *(torch.zeros(shape, dtype=dtype) for _ in range(2)), *(torch.zeros(shape[:-1]) for _ in range(scales))
        )
        for _ in range(text.num_layers)
    ]


def batch(config: ModelConfig, lengths: Lengths, generator: torch.Generator) -> Batch:
    """Sequences that decode first, as the engine has them; their blocks lie one after the other in the cache."""
    groups, slots, first_block, first_token = [], [], 0, 0
    for part in ([pair for pair in lengths if pair[0] == 1], [pair for pair in lengths if pair[0] > 1]):
        if not part:
            continue
        width = -(-max(context for _, context in part) // BLOCK)
        tables = torch.stack([torch.arange(width) + first_block + i * width for i in range(len(part))])
        for table, (queries, context) in zip(tables, part, strict=True):
            places = torch.arange(context - queries, context)
            slots.append(table[places // BLOCK] * BLOCK + places % BLOCK)
        starts = torch.tensor([0, *(queries for queries, _ in part)]).cumsum(0)
        contexts = torch.tensor([context for _, context in part])
        groups.append(
            AttentionGroup(
                first_token, int(starts[-1]), starts, contexts, tables, max(q for q, _ in part), int(contexts.max())
            )
        )
        first_block, first_token = first_block + len(part) * width, first_token + int(starts[-1])
    moe = config.text.moe
    tokens = int(first_token)
    return Batch(
        token_ids=torch.randint(0, config.text.vocab_size, (tokens,), generator=generator),
        position_ids=torch.randint(0, 300, (3, tokens), generator=generator),
        slots=torch.cat(slots),
        active_experts=torch.arange(tokens) % (moe.num_experts_per_tok if moe else 1) + 1,
        groups=groups,
        logit_rows=torch.arange(0, tokens, 2),
        visuals=None,
    )


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16, torch.int8], ids=["f32", "bf16", "int8"])
def test_steps_give_what_the_layers_give(
    network: Qwen3VL, stored: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of several sizes over one cache: one sequence, several, chunks beside them, a table of blocks that outgrows
    its room, and one size again. A norm that differs in the last bit turns the rounding of an activation here and there
    (most in a mixture, whose experts then differ), so that single tokens may be off by a little. Over a cache in
    bfloat16 or int8 layers multiply a chunk's queries in bfloat16, and steps one by one do not.
    """
    caches = [empty_cache(network.config, stored) for _ in range(2)]
    steps: list[Lengths] = [[(9, 9)], [(1, 10)], [(1, 10), (1, 3), (1, 1)], [(1, 7), (4, 12), (2, 2)]]
    steps += [[(1, 320)], [(1, 11)], [(1, 300), (1, 40)]]
    errors, plans = [], []
    for number, lengths in enumerate(steps):
        outs = []
        for planned, cache in zip((True, False), caches, strict=True):
            with monkeypatch.context() as patch:
                if not planned:
                    patch.setattr(Decoder, "_plan_for", lambda *_: None)
                generator = torch.Generator().manual_seed(number)
                outs.append(network(batch(network.config, lengths, generator), cache))
        plans.append(network.decoder._plan)
        errors.append((outs[0] - outs[1]).norm(dim=1) / outs[1].norm(dim=1))
        for one, other in zip(*caches, strict=True):  # what one token is off by must not come back in later steps
            for mine, theirs in zip(vars(one).values(), vars(other).values(), strict=True):
                if mine is not None:
                    mine.copy_(theirs)
    assert plans[0] is not None
    assert all(plan is plans[0] for plan in plans), "made once, used by all steps"
    rounded = stored != torch.float32 and multiplies_bfloat16()
    alike = [error for error, lengths in zip(errors, steps, strict=True) if not rounded or lengths[-1][0] == 1]
    assert torch.cat(alike).median() < 1e-5
    assert torch.cat(alike).max() < 0.1
    assert torch.cat(errors).max() < (0.3 if rounded else 0.1)


def test_a_plan_is_for_few_tokens_without_pictures(network: Qwen3VL, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    run = Plan.run
    monkeypatch.setattr(Plan, "run", lambda plan, ids, step: taken.append(len(ids)) or run(plan, ids, step))  # type: ignore[func-returns-value]
    cache, generator = empty_cache(network.config, torch.bfloat16), torch.Generator().manual_seed(0)
    for tokens in (1, MOST_TOKENS, MOST_TOKENS + 1):
        network(batch(network.config, [(tokens, tokens)], generator), cache)
    assert taken == [1, MOST_TOKENS]
    other = [replace(each, keys=each.keys.half(), values=each.values.half()) for each in cache]
    network(batch(network.config, [(1, 1)], generator), other)
    assert taken == [1, MOST_TOKENS]


def test_the_weights_are_free_when_they_are_given_back(network: Qwen3VL) -> None:
    cache = empty_cache(network.config, torch.bfloat16)
    network(batch(network.config, [(1, 1)], torch.Generator()), cache)
    network.release()
    assert network.decoder._plan is None
