"""A crowd of clients in small: what `benchmarks/load.py` does for two minutes."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.load_clients import Answer, Question, Tally, asked_alone, bodies, crowd
from qwen3vl import Engine
from qwen3vl.engine.build import EngineConfig
from qwen3vl.server import Services, create_app
from qwen3vl.settings import ServerSettings, Settings
from support.engines import is_idle
from support.server import MODELS, serving, wait_until

CLIENTS, EACH = 8, 5


def test_none_is_lost_none_is_wrong_and_nothing_is_left() -> None:
    """With a cache for some three of them, and a queue for two."""
    engine = Engine.load(MODELS / "moe", device="cpu", memory="1GiB", config=EngineConfig(num_blocks=48))
    settings = Settings(server=ServerSettings(max_queue=2))
    with Services.single(engine, settings) as services, serving(create_app(services)) as url:
        questions = asyncio.run(asked_alone(url, bodies(seed=1, count=8, max_tokens=32)))
        assert len(questions) >= 4
        tally = asyncio.run(crowd(url, questions, clients=CLIENTS, more=lambda sent: sent < EACH, seed=1, patience=0.3))
        assert (tally.wrong, tally.lost) == ([], [])
        again = tally.ended.pop("429, tried again", 0)
        assert sum(tally.ended.values()) == CLIENTS * EACH
        assert set(tally.ended) == {"answered", "cut by the client", "refused as bad"}
        wait_until(lambda: is_idle(engine))
        engine.check_invariants()
        assert engine.stats().free_blocks == 48
        assert services.gate.waiting == 0
        assert services.books.statuses["429"] >= again  # some had hung up by then


@pytest.mark.parametrize("spoil", ["wrong answer", "nobody there"])
def test_a_crowd_notices(url: str, spoil: str) -> None:
    (question,) = asyncio.run(asked_alone(url, bodies(seed=2, count=1, max_tokens=8)))
    wrong = Question(question.body, Answer(question.answer.text + "?", "stop", 3))

    def ask(url: str) -> Tally:
        return asyncio.run(crowd(url, [wrong], clients=1, more=lambda sent: sent < 4, seed=3, patience=1e-3))

    tally = ask(url) if spoil == "wrong answer" else ask("http://127.0.0.1:9")
    assert not tally.good
    assert len(tally.wrong if spoil == "wrong answer" else tally.lost) >= 1
