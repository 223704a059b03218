"""Trains the small checkpoints on drawn samples.

    python -m training.train dense --seconds 560 --out runs/dense
    python -m training.train moe --from models/dense --seconds 560 --out runs/moe

A run ends in time whatever it has reached: `--seconds` counts from the start of the program and includes compiling, the
last evaluation and saving. To train longer than one run may take, give the first `--until 0.5` and the next `--resume`:
learning rates follow the share of the whole training that is done, and data goes on where it stopped. Weights that are
trained well already go on with `--from models/dense --begin 0.6 --seed 1`, which begins with lower rates.

With several GPUs, `torchrun --nproc-per-node 2 -m training.train ...` shares each batch among them.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.drawn import TASKS
from training import architecture, state
from training.batches import Budget
from training.evaluation import Score, evaluate
from training.feed import Feed, OrderedFeed, Supplies, Supply, WorkerFeed, piece_maker, pieces_of
from training.mixture import draw_sample
from training.network import Network
from training.optim import Rates
from training.parts import Parts
from training.state import RunState
from training.team import Team
from training.trainer import Losses, Trainer
from training.upcycle import initialise, upcycle
from training.vocabulary import Vocabulary

TOKENIZER = Path(__file__).parent / "tokenizer.json"
LOG_SECONDS = 10.0
EVALUATION_BATCHES = 3
EVALUATION_SECONDS = 12.0  # set aside for the last evaluation and saving; on an H100 they took 5 to 6

DENSE_HINT = 0.4  # what the auxiliary head's loss counts at first; a mixture is cut out of a model that sees already
DENSE_RATES, MOE_RATES = Rates(muon=0.02, adam=0.003), Rates(muon=0.012, adam=0.002)

LONGEST = 1280  # tokens of a conversation: the agent's prompt, the largest picture and an answer take up to 1,160

# Measured on drawn samples: pictures have 1.1 patches for each token of their conversation, videos 1.6; of the tokens
# 37% and 18% are to be predicted. A batch has about 98,000 tokens and 139,000 patches of some 240 conversations.
SUPPLIES = (
    Supply("picture", 10, Budget(8192, 11264, 4096, 64, 96, 4096, frames=1, longest=LONGEST), kept=2304),
    Supply("video", 2, Budget(8192, 13312, 1536, 48, 320, 4096, frames=2), kept=384),
)


class Log:
    """One JSON object a line, to the terminal and to a file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._start = time.monotonic()

    def write(self, event: str, **values: Any) -> None:
        line = json.dumps({"t": round(time.monotonic() - self._start, 1), "event": event, **values})
        print(line, flush=True)
        self._file.write(line + "\n")
        self._file.flush()


class Clock:
    """The share of the whole training that is done, by time or by steps, and whether this run is over."""

    def __init__(self, start: float, until: float, *, seconds: float | None, steps: int | None) -> None:
        self._start, self._until, self._seconds, self._steps = start, until, seconds, steps
        self._began = time.monotonic()
        self.done = 0  # steps of this run
        self.stopped = False

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._began

    @property
    def progress(self) -> float:
        return self._start + (self._until - self._start) * min(1.0, self._share())

    @property
    def is_over(self) -> bool:
        return self.stopped or self._share() >= 1.0

    def stop(self, signum: int, frame: FrameType | None) -> None:
        """A signal's handler: the run ends after the step it is in, and saves."""
        self.stopped = True

    def _share(self) -> float:
        if self._steps is not None:
            return self.done / self._steps
        assert self._seconds is not None
        return self.elapsed / self._seconds


def start_network(
    arguments: argparse.Namespace, vocabulary: Vocabulary
) -> tuple[Network, RunState, dict[str, torch.Tensor]]:
    """The network with its first weights, drawn, given, cut out of given dense ones, or saved by an earlier run; the
    state it is in; and the optimisers' tensors, of an earlier run only."""
    moe = arguments.model == "moe"
    generator = torch.Generator().manual_seed(arguments.seed)
    optimizer: dict[str, torch.Tensor] = {}
    if arguments.resume:
        found, weights, optimizer = state.load(arguments.resume)
    else:
        shape = architecture.config(vocabulary.rows, moe=moe)
        # The mixture goes on after the dense model, with other data.
        found = RunState(config=shape, seed=2 * arguments.seed + moe, progress=arguments.begin)
    config = ModelConfig.from_dict(found.config)
    if config.is_moe != moe or config.text.vocab_size != vocabulary.rows:
        sys.exit(f"{arguments.resume} is a run of another model, or was started with another tokenizer.json")
    network = Network(config)
    if not arguments.resume:
        initialise(network, generator)
        weights = network.state_dict()
        if arguments.first_weights:
            given = state.load_weights(arguments.first_weights)
            if config.text.moe is not None and not any(".experts." in name for name in given):
                given = upcycle(given, config.text.moe, generator)
            weights |= given
    network.load_state_dict(weights)
    return network, found, optimizer


def run(arguments: argparse.Namespace) -> None:
    vocabulary = Vocabulary.load(arguments.tokenizer)
    team = Team.from_environment()
    device = team.device(arguments.device)
    torch.set_float32_matmul_precision("high")
    network, begun, optimizer = start_network(arguments, vocabulary)
    supplies = shared_supplies(team)
    make = piece_maker(draw_sample, f"{begun.seed}.{team.rank}", "train", supplies, vocabulary)
    feed: Feed
    if arguments.workers:
        feed = WorkerFeed(make, supplies, begun.next_piece, device, workers=arguments.workers)
    else:
        feed = OrderedFeed(make, supplies, begun.next_piece, device)
    seconds = None if arguments.seconds is None else arguments.seconds - EVALUATION_SECONDS
    clock = Clock(begun.progress, arguments.until, seconds=seconds, steps=arguments.steps)
    signal.signal(signal.SIGTERM, clock.stop)
    team.join(device)
    trainer = Trainer(
        network.to(device),
        MOE_RATES if network.config.is_moe else DENSE_RATES,
        Losses(hint=0.0 if network.config.is_moe else DENSE_HINT, expert_shares=arguments.expert_shares),
        Parts.compiled() if device.type == "cuda" else Parts(),
        team,
        dtype=torch.bfloat16,
        seed=begun.seed,
        tasks=len(TASKS),
    )
    trainer.step_number = begun.step
    if optimizer:
        trainer.optimizer.load_state(optimizer, begun.step)
    parameters = sum(tensor.numel() for name, tensor in network.state_dict().items() if name.startswith("model."))
    arguments.out.mkdir(parents=True, exist_ok=True)
    log = Log(arguments.out / "train.log") if team.rank == 0 else None
    if log:
        log.write("start", parameters=parameters, vocabulary=vocabulary.size, team=team.size, step=begun.step)
    progress = train(trainer, feed, clock, log)
    (used,) = team.highest(feed.next_piece)
    batches = math.ceil(used / pieces_of(SUPPLIES))  # also for a next run with another number of processes
    reached = replace(begun, step=trainer.step_number, progress=progress, next_piece=batches * pieces_of(SUPPLIES))
    team.leave()
    if log is None:
        feed.close()
        return
    state.save(arguments.out, reached, network.state_dict(), trainer.optimizer.state())
    log.write("saved", step=reached.step, progress=reached.progress, next_piece=reached.next_piece)
    feed.close()
    make_held_out = piece_maker(draw_sample, str(begun.seed), "held_out", SUPPLIES, vocabulary)
    held_out = [make_held_out(number) for number in range(arguments.evaluate * pieces_of(SUPPLIES))]
    counts = range(1, network.config.text.moe.num_experts_per_tok + 1) if network.config.text.moe else [None]
    for experts in counts:
        scores = evaluate(network, held_out, SUPPLIES, dtype=torch.bfloat16, experts=experts)
        log.write("held out", experts=experts, scores={task: _rounded(score) for task, score in scores.items()})
    log.write("end")


def train(trainer: Trainer, feed: Feed, clock: Clock, log: Log | None) -> float:
    """Steps until a clock of the team says that the run is over, with a line of the log every ten seconds. Returns the
    share of the whole training that is done."""
    logged, share = clock.elapsed, 0.0
    while True:
        progress, over = trainer.team.highest(clock.progress, clock.is_over)
        if log and trainer.tally.steps and (over or clock.elapsed - logged >= LOG_SECONDS):
            _log_step(trainer, feed, log, progress, share, clock.elapsed - logged)
            logged = clock.elapsed
        if over:
            return progress
        share = trainer.step(feed.batch(), progress)
        clock.done += 1


def shared_supplies(team: Team) -> Supplies:
    """What each member draws of a batch: its share, so that a step is as large as one process's."""
    if any(supply.pieces % team.size for supply in SUPPLIES):
        sys.exit(f"{team.size} processes cannot share a batch of {[supply.pieces for supply in SUPPLIES]} pieces")
    return [replace(supply, pieces=supply.pieces // team.size) for supply in SUPPLIES]


def _log_step(trainer: Trainer, feed: Feed, log: Log, progress: float, share: float, seconds: float) -> None:
    by_task, others, steps = trainer.tally.read()
    losses, right, tokens = by_task[:, 1:].tolist()
    loss = sum(losses) / sum(tokens)
    values: dict[str, Any] = {
        "step": trainer.step_number,
        "progress": round(progress, 4),
        "loss": round(loss, 4),
        "accuracy": round(sum(right) / sum(tokens), 4),
        "hint": round(others[0].item() / steps, 4),
        "balance": round(others[1].item() / steps, 4),
        "rate": round(share, 3),
        "ms": round(seconds / steps * 1000, 1),
        "samples/s": round(trainer.team.size * others[2].item() / seconds),
        "answer tokens/s": round(trainer.team.size * sum(tokens) / seconds),
    }
    if isinstance(feed, WorkerFeed):
        values["fresh"], values["failed"] = round(feed.fresh / max(1, feed.used), 3), feed.failed
    values["tasks"] = {
        task: round(task_loss / count, 3) for task, task_loss, count in zip(TASKS, losses, tokens, strict=True) if count
    }
    log.write("step", **values)
    if not math.isfinite(loss):
        sys.exit("the loss is not finite; nothing was saved")


def _rounded(score: Score) -> dict[str, float]:
    return {name: round(value, 4) for name, value in asdict(score).items()}


def _shares(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=("dense", "moe"))
    parser.add_argument("--out", type=Path, required=True, help="folder for the state and the log")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--seconds", type=float, help="time from the start to the end of the program")
    length.add_argument("--steps", type=int, help="steps of this run instead of a time")
    origin = parser.add_mutually_exclusive_group()
    origin.add_argument("--resume", type=Path, help="folder of a run to go on after")
    origin.add_argument(
        "--from",
        dest="first_weights",
        type=Path,
        help="folder of the weights to begin with, a run or a release; a moe can be cut out of the dense model",
    )
    parser.add_argument(
        "--begin",
        type=float,
        default=0.0,
        help="share of the training that --from counts as: rates and the auxiliary loss begin as they are then",
    )
    parser.add_argument("--until", type=float, default=1.0, help="share of the whole training that this run ends at")
    parser.add_argument("--seed", type=int, default=0, help="of the data too: weights that saw a seed need another")
    parser.add_argument("--workers", type=int, default=14, help="processes that draw; 0 draws in order, repeatably")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tokenizer", type=Path, default=TOKENIZER)
    parser.add_argument("--evaluate", type=int, default=EVALUATION_BATCHES, help="held-out batches at the end")
    parser.add_argument(
        "--expert-shares", type=_shares, default=Losses().expert_shares, help="how often 1, 2, ... experts are used"
    )
    parsed = parser.parse_args(arguments)
    if parsed.model == "moe" and not parsed.resume and not parsed.first_weights:
        parser.error("a new moe needs --from")
    if not 0 <= parsed.begin < parsed.until or (parsed.begin and not parsed.first_weights):
        parser.error("--begin needs --from and lies from 0 to below --until")
    return parsed


if __name__ == "__main__":
    run(parse())
