"""Training steps in bfloat16, the type of the real runs: the loss falls, and a saved run goes on as if not stopped."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.drawn import TASKS
from support.tiny_training import SUPPLIES, config, draw, vocabulary
from training import state
from training.batches import Batch
from training.evaluation import evaluate
from training.feed import OrderedFeed, piece_maker, pieces_of
from training.network import Network
from training.optim import Rates
from training.parts import Parts
from training.state import RunState
from training.team import Team
from training.trainer import Losses, Trainer
from training.upcycle import initialise, upcycle

CPU = torch.device("cpu")
MAKE = piece_maker(draw, "7", "train", SUPPLIES, vocabulary())


def network(*, moe: bool) -> Network:
    made = Network(ModelConfig.from_dict(config(moe=moe, rows=vocabulary().rows)))
    generator = torch.Generator().manual_seed(0)
    dense = Network(ModelConfig.from_dict(config(moe=False, rows=vocabulary().rows)))
    initialise(dense, generator)
    weights = dense.state_dict()
    if made.config.text.moe is not None:
        weights = upcycle(weights, made.config.text.moe, generator)
    made.load_state_dict(weights)
    return made


def trainer(made: Network, *, dtype: torch.dtype = torch.bfloat16) -> Trainer:
    rates = Rates(muon=0.02, adam=0.005, warmup_steps=4)
    return Trainer(made, rates, Losses(), Parts(), Team(), dtype=dtype, seed=3, tasks=len(TASKS))


def loss_of(one: Trainer) -> float:
    by_task, _, _ = one.tally.read()
    return float(by_task[0].sum() / by_task[2, 1:].sum())


@pytest.mark.parametrize("moe", [False, True])
def test_learns_in_bfloat16(moe: bool) -> None:
    """The loss falls, and held-out answers come out right more often."""
    one, feed = trainer(network(moe=moe)), OrderedFeed(MAKE, SUPPLIES, 0, CPU)
    make = piece_maker(draw, "7", "held_out", SUPPLIES, vocabulary())
    held_out = [make(number) for number in range(2 * pieces_of(SUPPLIES))]
    before = evaluate(one.network, held_out, SUPPLIES, dtype=torch.bfloat16)["all"]
    losses = []
    for _ in range(24):
        one.step(feed.batch(), 0.3)
        losses.append(loss_of(one))
    after = evaluate(one.network, held_out, SUPPLIES, dtype=torch.bfloat16)["all"]
    assert 5.0 < losses[0] < 9.0  # that of guessing is 5.8
    assert sum(losses[-5:]) / 5 < 0.6 * losses[0]
    assert after.answers == before.answers > 10
    assert after.loss < 0.7 * before.loss
    assert 0.0 <= before.token_accuracy < after.token_accuracy <= 1.0
    assert 0.0 <= after.exact <= after.token_accuracy


@pytest.mark.parametrize("moe", [False, True])
def test_gradients_in_bfloat16_are_those_of_float32(moe: bool) -> None:
    """To the precision of the type, for every parameter: none is cut off, and none is wrong by a factor."""
    batch = OrderedFeed(MAKE, SUPPLIES, 0, CPU).batch()
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        one = trainer(network(moe=moe), dtype=dtype)
        with torch.no_grad():  # residual branches start silent, which would silence what is before them
            for parameter in one.network.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.05)
        one.optimizer.step = lambda step, progress: 0.0  # type: ignore[method-assign]
        one.step(batch, 0.0)
        found.append({name: p.grad for name, p in one.network.named_parameters()})
    exact, rough = found
    for name, gradient in exact.items():
        other = rough[name]
        assert gradient is not None
        assert other is not None
        assert gradient.abs().max() > 0, name
        similarity = torch.cosine_similarity(gradient.flatten(), other.flatten(), dim=0)
        assert similarity > (0.9 if ".gate.weight" in name else 0.97), (name, similarity)
        assert 0.8 < other.norm() / gradient.norm() < 1.25, name


@pytest.mark.parametrize("moe", [False, True])
def test_a_saved_run_goes_on_bit_by_bit(moe: bool, tmp_path: Path) -> None:
    raw = config(moe=moe, rows=vocabulary().rows)
    one, feed = trainer(network(moe=moe)), OrderedFeed(MAKE, SUPPLIES, 0, CPU)
    for _ in range(3):
        one.step(feed.batch(), 0.2)
    reached = RunState(raw, one.step_number, 0.2, feed.next_piece, 3)
    state.save(tmp_path, reached, one.network.state_dict(), one.optimizer.state())

    loaded, weights, optimizer = state.load(tmp_path)
    assert loaded == reached
    other = trainer(Network(ModelConfig.from_dict(loaded.config)))
    other.network.load_state_dict(weights)
    other.optimizer.load_state(optimizer, loaded.step)
    other.step_number = loaded.step
    again = OrderedFeed(MAKE, SUPPLIES, loaded.next_piece, CPU)
    for _ in range(2):
        one.step(feed.batch(), 0.3)
        other.step(again.batch(), 0.3)
    for name, tensor in one.network.state_dict().items():
        assert torch.equal(tensor, other.network.state_dict()[name]), name
    assert loss_of(one) != loss_of(other)  # the sums since the start, which are not the run's state


def test_the_first_steps_hold_no_surprise_for_the_mixture() -> None:
    """Cut out of the dense model, the mixture computes the same with all of its k experts, and less so with fewer."""
    dense, generator = network(moe=False), torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in dense.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    mixture = Network(ModelConfig.from_dict(config(moe=True, rows=vocabulary().rows)))
    assert mixture.config.text.moe is not None
    mixture.load_state_dict(upcycle(dense.state_dict(), mixture.config.text.moe, generator))
    batch = OrderedFeed(MAKE, SUPPLIES, 0, CPU).batch()
    with torch.no_grad():
        wanted, _, _ = dense(batch, Parts(), torch.float32)
        errors = []
        for experts in (4, 2, 1):
            active = torch.full_like(batch.token_ids, experts)
            found, _, balance = mixture(batch, Parts(), torch.float32, active)
            errors.append(float((found - wanted).norm() / wanted.norm()))
            assert torch.isfinite(balance)
    assert errors[0] < 0.15
    assert errors[0] < errors[1] < errors[2]


def test_only_answers_are_learnt() -> None:
    """What stands in the free places of a batch changes no gradient."""
    batch = OrderedFeed(MAKE, SUPPLIES, 0, CPU).batch()
    wanted = batch.target_tasks > 0
    assert not wanted.all()
    gradients = []
    for other in (batch, replace(batch, target_ids=torch.where(wanted, batch.target_ids, 7))):
        one = trainer(network(moe=False), dtype=torch.float32)
        one.optimizer.step = lambda step, progress: 0.0  # type: ignore[method-assign]
        one.step(other, 0.0)
        gradients.append([p.grad for p in one.network.parameters()])
    for ours, theirs in zip(*gradients, strict=True):
        assert ours is not None
        assert theirs is not None
        torch.testing.assert_close(ours, theirs)


def test_evaluation_counts_every_answer_once() -> None:
    """Against sums over the batches' rows, which know nothing of answers."""
    made = network(moe=False)
    pieces = [MAKE(number) for number in range(2 * pieces_of(SUPPLIES))]
    scores = evaluate(made, pieces, SUPPLIES, dtype=torch.float32)
    feed, language = OrderedFeed(MAKE, SUPPLIES, 0, CPU), made.model.language_model
    losses, hits = [], []
    with torch.no_grad():
        for _ in range(2):
            batch = feed.batch()
            hidden, _, _ = made(batch, Parts(), torch.float32)
            loss, right = Parts.answer_scores(
                hidden, language.norm.weight, language.embed_tokens.weight, batch.target_ids, torch.float32
            )
            losses.append(loss[batch.target_tasks > 0])
            hits.append(right[batch.target_tasks > 0])
    assert scores["all"].loss == pytest.approx(torch.cat(losses).mean().item(), rel=1e-4)
    assert scores["all"].token_accuracy == pytest.approx(torch.cat(hits).float().mean().item())
    assert scores["all"].answers == sum(len(piece.answers) for piece in pieces)
    assert scores["color"].answers == scores["all"].answers  # the one task of these samples


def test_conversations_draw_their_experts() -> None:
    one = trainer(network(moe=True))
    batch: Batch = OrderedFeed(MAKE, SUPPLIES, 0, CPU).batch()
    [drawn] = one._draw_experts(batch)
    offsets = batch.token_offsets.tolist()
    per_conversation = [set(drawn[a:b].tolist()) for a, b in itertools.pairwise(offsets) if a < b]
    assert all(len(counts) == 1 for counts in per_conversation)
    assert {1, 2, 3, 4} >= set(drawn.tolist()) > {4}
    [again] = one._draw_experts(batch)  # of the same step
    assert torch.equal(drawn, again)


def test_a_batch_takes_other_tensors() -> None:
    feed = OrderedFeed(MAKE, SUPPLIES, 0, CPU)
    one, other = feed.batch(), feed.batch()
    became = one.replaced(other.tensors)
    assert not torch.equal(one.token_ids, other.token_ids)
    assert all(a is b for a, b in zip(became.tensors, other.tensors, strict=True))
    assert (became.patches[1] is other.patches[1], became.longest) == (True, one.longest)


@pytest.mark.parametrize("moe", [False, True])
def test_recorded_gradients_are_those_computed_anew(moe: bool, device: str) -> None:
    if device == "cpu":
        pytest.skip("only a GPU records")
    feed = OrderedFeed(MAKE, SUPPLIES, 0, torch.device(device))
    one = trainer(network(moe=moe).to(device))
    one.optimizer.step = lambda step, progress: 0.0  # type: ignore[method-assign]
    for _ in range(3):
        batch = feed.batch()
        experts = one._draw_experts(batch)
        one.step(batch, 0.0)
        recorded = [parameter.grad.clone() for parameter in one.network.parameters() if parameter.grad is not None]
        for parameter in one.network.parameters():
            parameter.grad = None
        one._compute(batch, torch.full((), one.losses.hint_weight(0.0), device=device), *experts)
        for (name, parameter), gradient in zip(one.network.named_parameters(), recorded, strict=True):
            assert parameter.grad is not None
            assert torch.cosine_similarity(gradient.flatten(), parameter.grad.flatten(), dim=0) > 0.999, name


def test_state_files_are_small_enough_to_carry(tmp_path: Path) -> None:
    weights = {f"w{i}": torch.randn(1_000_000) for i in range(12)}
    state.save(tmp_path, RunState({}), weights, {})
    files = list(tmp_path.glob("weights-*.safetensors"))
    assert len(files) == 2
    assert all(file.stat().st_size <= 16_000_000 for file in files)
    _, loaded, optimizer = state.load(tmp_path)
    assert not optimizer
    assert all(torch.equal(loaded[name].float(), weights[name]) for name in weights)  # rounded in place as well
