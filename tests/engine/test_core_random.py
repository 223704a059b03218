"""The core driven by hand, step by step, with random requests: its books are right after every step, and whatever
happens around a request, its answer is the one it would have got alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import pytest
import torch

from qwen3vl import Engine
from qwen3vl.engine.build import EngineConfig
from qwen3vl.engine.options import GenerationOptions
from qwen3vl.engine.outputs import Delta
from qwen3vl.engine.sequence import Request, Sequence
from qwen3vl.prompt.types import Prompt
from support.engines import draft_always
from support.inputs import clip, picture, user

CONVERSATIONS = [
    [user(picture(128, 96, 51), "Count them.")],
    [user(picture(128, 96, 51), "And?")],  # the same picture: a prefix in common
    [user(picture(96, 64, 4), picture(96, 64, 4), "same?")],
    [user(clip(4, 64, 64, 12.0, 6, 50), "When?")],
    [user("a b c " * 12)],
    [user("Hello")],
]
SMALL = GenerationOptions(min_pixels=1024)  # pictures stay as small as they are drawn
STATES = {"reading", "writing", "waiting", "preempted", "not born", "finished"}
NUM_REQUESTS = 14


@dataclass(eq=False)
class Asked:
    """A request, and what came of it."""

    prompt: Prompt
    options: GenerationOptions
    request: Request | None = None
    items: list[Delta | BaseException] = field(default_factory=list)
    seen_at_cancel: int | None = None  # items, for one that was cancelled before its end

    def ask(self, engine: Engine) -> Request:
        self.request = engine._request(self.prompt, self.options, self.items.append)
        engine._core.add(self.request)
        return self.request

    def cancel(self, engine: Engine) -> None:
        """It may have ended already, which must not matter."""
        assert self.request is not None
        if self.request.id in engine._core.requests:
            self.seen_at_cancel = len(self.items)
        engine._core.cancel(self.request.id)

    def check_end(self) -> None:
        """Those that were cancelled heard nothing more, the others heard how it ended."""
        if self.seen_at_cancel is not None:
            assert len(self.items) == self.seen_at_cancel
        else:
            assert isinstance(self.items[-1], Delta)
            assert self.items[-1].usage is not None

    def answer(self, index: int) -> tuple[list[int], str]:
        return spoken(item for item in self.items if isinstance(item, Delta) and item.index == index)


def spoken(deltas: Iterable[Delta]) -> tuple[list[int], str]:
    """Tokens and text."""
    deltas = list(deltas)
    return [token for delta in deltas for token in delta.token_ids], "".join(delta.text for delta in deltas)


def random_options(rng: random.Random) -> GenerationOptions:
    return GenerationOptions(
        max_tokens=rng.randrange(1, 30),
        temperature=rng.choice([0.0, 0.0, 1.0]),
        seed=rng.randrange(50),
        mode=rng.choice(["full", "fast", 1]),
        n=rng.choice([1, 1, 2, 3]),
        ignore_eos=rng.random() < 0.7,
        presence_penalty=rng.choice([0.0, 1.0]),
        repetition_penalty=rng.choice([1.0, 1.2]),
        stop=rng.choice([(), ("e",), ("bbox",)]),
    )


def state(engine: Engine, sequence: Sequence) -> str:
    scheduler = engine._core.scheduler
    if sequence.finished:
        return "finished"
    if sequence in scheduler.running:
        return "reading" if sequence.num_computed < sequence.num_prompt else "writing"
    if sequence in scheduler.waiting:
        return "preempted" if sequence.num_generated else "waiting"
    return "not born"


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Thousands of small steps: threads that wait for each other would cost more than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def roomy() -> Iterator[Engine]:
    with Engine.load("tiny-moe", device="cpu", speculation="off", config=EngineConfig(num_blocks=100)) as engine:
        yield engine


@pytest.fixture(scope="module")
def alone(roomy: Engine) -> Callable[[Asked, int], tuple[list[int], str]]:
    """What one of a request's answers is when nobody else asks and there is room for all."""

    def answer(asked: Asked, index: int) -> tuple[list[int], str]:
        assert asked.options.seed is not None
        return spoken(roomy.stream_prompt(asked.prompt, replace(asked.options, n=1, seed=asked.options.seed + index)))

    return answer


@pytest.mark.parametrize(
    ("seed", "config", "drafts"),
    [
        (5, EngineConfig(num_blocks=32, block_size=4, step_tokens=17, max_running=8, feature_bytes=0), None),
        (5, EngineConfig(num_blocks=32, block_size=4, step_tokens=17, max_running=8, feature_bytes=0), "fast"),
        (2, EngineConfig(num_blocks=28, block_size=4, step_tokens=200, max_running=20), "lookup"),
        (6, EngineConfig(num_blocks=28, block_size=4, step_tokens=48, max_running=5, feature_bytes=100_000), "lookup"),
    ],
)
def test_every_answer_is_the_one_alone(
    seed: int,
    config: EngineConfig,
    drafts: Literal["lookup", "fast"] | None,
    alone: Callable[[Asked, int], tuple[list[int], str]],
) -> None:
    rng = random.Random(seed)
    with Engine.load("tiny-moe", device="cpu", config=config, speculation="auto" if drafts else "off") as engine:
        if drafts:
            draft_always(engine, drafts)
        # The engine's thread is handed nothing, so it sleeps, and the core may be driven from here.
        core = engine._core
        prompts = [engine.prepare(messages, SMALL) for messages in CONVERSATIONS]
        assert max(map(len, prompts)) + 30 <= engine.info.max_context
        everyone: list[Asked] = []
        while len(everyone) < NUM_REQUESTS or not core.idle:
            if len(everyone) < NUM_REQUESTS and (core.idle or rng.random() < 0.5):
                asked = Asked(rng.choice(prompts), random_options(rng))
                asked.ask(engine)
                everyone.append(asked)
            if rng.random() < 0.02:
                rng.choice(everyone).cancel(engine)
                core.check()
            if not core.idle:
                core.step()
                core.check()
        assert core.scheduler.num_preemptions > 0
        assert core.cached_tokens > 0
        assert bool(drafts) == (core.accepted_tokens > 0) == (core.draft_tokens > core.accepted_tokens)
        assert core.scheduler.pool.num_free == core.scheduler.pool.num_blocks
    for asked in everyone:
        asked.check_end()
        if asked.seen_at_cancel is None:
            for index in range(asked.options.n):
                assert asked.answer(index) == alone(asked, index)


@pytest.mark.parametrize("drafts", [False, True])
def test_cancelling_in_each_state_leaves_no_trace(
    drafts: bool, roomy: Engine, alone: Callable[[Asked, int], tuple[list[int], str]]
) -> None:
    """One request is dropped while one of its sequences is in the wanted state; the other one does not notice."""
    config = EngineConfig(num_blocks=20, block_size=4, step_tokens=24, max_running=3)
    seen = set()
    with Engine.load("tiny-moe", device="cpu", max_context=80, config=config) as engine:
        core = engine._core
        if drafts:
            draft_always(engine)
        else:
            core.speculation = None
        short = engine.prepare([user("Hello")], GenerationOptions())
        stays_options = GenerationOptions(max_tokens=24, temperature=0.0, ignore_eos=True, seed=0)
        goes_options = GenerationOptions(max_tokens=20, temperature=1.0, ignore_eos=True, n=3, seed=1)
        for number, wanted in enumerate(sorted(STATES)):
            # Another beginning each time: what is in the prefix cache is read at once.
            long = engine.prepare([user(f"{number} " + "a b c " * 8)], GenerationOptions())
            stays, goes = Asked(short, stays_options), Asked(long, goes_options)
            stays.ask(engine)
            request = goes.ask(engine)
            while request.id in core.requests:
                if wanted in {state(engine, sequence) for sequence in request.sequences}:
                    goes.cancel(engine)
                    seen.add(wanted)
                else:
                    core.step()
                core.check()
            while not core.idle:
                core.step()
                core.check()
            goes.check_end()
            assert stays.answer(0) == alone(stays, 0)
            assert core.scheduler.pool.num_free == core.scheduler.pool.num_blocks
    assert seen == STATES
