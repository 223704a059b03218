"""Two processes that train together take the step of one process that has both batches, and know the same."""

from __future__ import annotations

import multiprocessing
import socket
from pathlib import Path
from typing import Any

import pytest
import torch

from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.drawn import TASKS
from support.tiny_training import SUPPLIES, config, draw, vocabulary
from training.feed import OrderedFeed, piece_maker
from training.network import Network
from training.optim import Rates
from training.parts import Parts
from training.team import Team
from training.trainer import Losses, Trainer
from training.upcycle import initialise

CPU = torch.device("cpu")


def trainer(team: Team) -> Trainer:
    network = Network(ModelConfig.from_dict(config(moe=False, rows=vocabulary().rows)))
    initialise(network, torch.Generator().manual_seed(0))
    rates = Rates(muon=0.02, adam=0.005, warmup_steps=1)
    return Trainer(network, rates, Losses(), Parts(), team, dtype=torch.float32, seed=3, tasks=len(TASKS))


def feed(rank: int) -> OrderedFeed:
    return OrderedFeed(piece_maker(draw, f"7.{rank}", "train", SUPPLIES, vocabulary()), SUPPLIES, 0, CPU)


def work(rank: int, port: int, out: Path) -> None:
    """A member's life. Runs in a process of its own."""
    import os

    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    team = Team.from_environment()
    team.join(team.device("cpu"))
    one, batches = trainer(team), feed(rank)
    for _ in range(2):
        one.step(batches.batch(), 0.0)
    tensors = [torch.full((2, 3), 1.0 + rank), torch.arange(4.0) * rank]
    team.average(tensors)
    found: dict[str, Any] = {
        "tensors": tensors,
        "weights": one.network.state_dict(),
        "highest": team.highest(0.25 * rank, rank == 0),
    }
    torch.save(found, out / f"{rank}.pt")
    team.leave()


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    out = tmp_path_factory.mktemp("team")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=work, args=(rank, port, out)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    return [torch.load(out / f"{rank}.pt") for rank in range(2)]


def test_a_member_knows_its_gpu_by_number() -> None:
    """Without one `torch.cuda.set_device` refuses it."""
    assert Team().device("cuda") == torch.device("cuda:0")
    assert Team(1, 2).device("cuda") == torch.device("cuda:1")
    assert Team().device("cuda:3") == torch.device("cuda:3")


def test_a_step_is_that_of_the_mean_gradient(members: list[dict[str, Any]]) -> None:
    one, feeds = trainer(Team()), [feed(0), feed(1)]
    step, parameters = one.optimizer.step, list(one.network.parameters())
    for _ in range(2):
        gradients = []
        for each in feeds:
            one.optimizer.step = lambda step, progress: 0.0  # type: ignore[method-assign]
            one.step(each.batch(), 0.0)
            gradients.append([parameter.grad for parameter in parameters])
            one.network.zero_grad()
            one.step_number -= 1
        for parameter, first, second in zip(parameters, *gradients, strict=True):
            assert first is not None
            assert second is not None
            parameter.grad = (first + second) / 2
        step(one.step_number, 0.0)
        one.step_number += 1
    for name, wanted in one.network.state_dict().items():
        for member in members:
            torch.testing.assert_close(member["weights"][name], wanted, rtol=1e-3, atol=1e-4)


def test_members_stay_equal_to_the_bit(members: list[dict[str, Any]]) -> None:
    first, second = (member["weights"] for member in members)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_average_is_the_mean(members: list[dict[str, Any]]) -> None:
    for member in members:
        first, second = member["tensors"]
        assert torch.equal(first, torch.full((2, 3), 1.5))
        assert torch.equal(second, torch.arange(4.0) / 2)


def test_members_agree_on_the_highest(members: list[dict[str, Any]]) -> None:
    assert [member["highest"] for member in members] == [(0.25, 1.0)] * 2
