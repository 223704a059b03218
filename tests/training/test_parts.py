"""The arithmetic that is compiled, and the look-up and attention that have gradients or paths of their own."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch
import torch.nn.functional as F
from torch._dynamo.utils import counters

from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.drawn import TASKS
from support.tiny_training import SUPPLIES, config, draw, vocabulary
from training.attention import stretch_attention
from training.feed import OrderedFeed, piece_maker
from training.network import Network
from training.optim import Rates
from training.parts import Parts, embed
from training.team import Team
from training.trainer import Losses, Trainer

CPU = torch.device("cpu")


@pytest.mark.parametrize("moe", [False, True])
def test_compiles_to_whole_graphs_with_the_same_gradients(moe: bool) -> None:
    """Traced forward and backward as for a GPU, but for the last stage, which writes the kernels. In bfloat16."""
    batch = OrderedFeed(piece_maker(draw, "7", "train", SUPPLIES, vocabulary()), SUPPLIES, 0, CPU).batch()
    found = []
    torch.compiler.reset()
    counters.clear()
    for parts in (Parts(), Parts.compiled(backend="aot_eager")):
        network = Network(ModelConfig.from_dict(config(moe=moe, rows=vocabulary().rows)))
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.normal_(0.0, 0.1, generator=generator)
        one = Trainer(network, Rates(0.0, 0.0), Losses(), parts, Team(), dtype=torch.bfloat16, seed=0, tasks=len(TASKS))
        one.optimizer.step = lambda step, progress: 0.0  # type: ignore[method-assign]
        one.step(batch, 0.0)
        found.append({name: p.grad for name, p in network.named_parameters()})
    for name, gradient in found[0].items():
        other = found[1][name]
        assert gradient is not None
        assert other is not None
        assert torch.cosine_similarity(gradient.flatten(), other.flatten(), dim=0) > 0.999, name
        assert 0.98 < other.norm() / gradient.norm() < 1.02, name
    # Pictures and videos differ in the values of a patch; else one graph serves all layers.
    assert (
        counters["stats"]["unique_graphs"] == len(fields(Parts)) + 1 - 1
    )  # and one kind of decoder layer is not there


def test_the_look_up_s_gradient_is_the_usual_one() -> None:
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(20, 8, generator=generator, requires_grad=True)
    ids, wanted = torch.randint(20, (200,), generator=generator), torch.rand(200, generator=generator) < 0.7
    gradient = torch.randn(200, 8, generator=generator)
    out = embed(table, ids, wanted, torch.float32)
    (ours,) = torch.autograd.grad(out, table, gradient)
    usual = F.embedding(ids, table) * wanted[:, None]
    (theirs,) = torch.autograd.grad(usual, table, gradient)
    assert torch.equal(out, usual)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_does_not_look_beyond_its_stretch(causal: bool) -> None:
    """Against one masked softmax over all tokens."""
    q, k, v = (torch.randn(24, 2, 8, generator=torch.Generator().manual_seed(seed)) for seed in range(3))
    offsets = torch.tensor([0, 7, 7, 8, 24], dtype=torch.int32)
    number = torch.bucketize(torch.arange(24), offsets[1:], right=True)
    seen = number[:, None] == number[None]
    if causal:
        seen &= torch.ones(24, 24, dtype=torch.bool).tril()
    scores = torch.einsum("qhd,khd->hqk", q, k) / 8**0.5
    wanted = torch.einsum("hqk,khd->qhd", scores.masked_fill(~seen, -torch.inf).softmax(-1), v)
    torch.testing.assert_close(stretch_attention(q, k, v, offsets, 16, causal=causal), wanted)


def test_the_call_of_the_gpu_s_kernel_is_known_here_too() -> None:
    """Without a GPU only its shapes, its place in autograd and the types of its arguments can be checked."""
    q, k, v = (torch.empty(24, 2, 32, device="meta", dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
    offsets = torch.empty(5, device="meta", dtype=torch.int32)
    out = torch.ops.aten._flash_attention_forward(q, k, v, offsets, offsets, 16, 16, 0.0, True, False)[0]
    out.sum().backward()
    assert out.shape == q.shape
    assert q.grad is not None
    assert v.grad is not None
