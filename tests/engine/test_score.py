"""Log-probabilities of a given answer: those of the reference library, whatever the way to them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from qwen3vl import Engine
from qwen3vl.engine.build import EngineConfig
from qwen3vl.engine.options import GenerationOptions
from qwen3vl.engine.outputs import TokenLogprob
from qwen3vl.errors import ContextLengthError, InputError, ModelOutputError
from qwen3vl.prompt.types import Prompt
from support.inputs import CASES_BY_NAME as CASES
from support.oracle import Oracle
from support.tiny import make_checkpoint

ANSWER = '[{"bbox_2d": [12, 40, 333, 999], "label": "Save 保存"}]\nThat is all there is to see in this picture.'
CHOSEN = ["text", "image", "turns", "video_and_image"]
TOLERANCE = 2e-4  # of a log-probability, float32 on both sides


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("moe")
    make_checkpoint(folder, moe=True)
    return folder


@pytest.fixture(scope="module")
def oracle(folder: Path) -> Oracle:
    return Oracle(folder)


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[Engine]:
    with Engine.load(folder, device="cpu", dtype="float32") as engine:
        yield engine


@pytest.fixture(scope="module")
def prompts(engine: Engine) -> dict[str, Prompt]:
    return {name: engine.prepare(CASES[name].messages, GenerationOptions()) for name in CHOSEN}


@pytest.fixture(scope="module")
def expected(engine: Engine, oracle: Oracle, prompts: dict[str, Prompt]) -> dict[str, list[float]]:
    return {name: reference(engine, oracle, name, prompts[name]) for name in CHOSEN}


def answer_ids(engine: Engine) -> list[int]:
    tokenizer = engine.prompt_builder.tokenizer
    end = tokenizer.token_id("<|im_end|>")
    assert end is not None
    return [*tokenizer.encode(ANSWER), end]


def reference(engine: Engine, oracle: Oracle, name: str, prompt: Prompt) -> list[float]:
    answer = answer_ids(engine)
    logits = oracle.forced(prompt, answer, CASES[name].clips)
    chosen = logits.log_softmax(-1)[torch.arange(len(answer)), torch.tensor(answer)]
    return [float(logprob) for logprob in chosen]


def score_all(engine: Engine, prompts: dict[str, Prompt]) -> dict[str, list[TokenLogprob]]:
    streams = {name: engine.stream_score(prompt, ANSWER) for name, prompt in prompts.items()}
    scores = {name: next(stream).logprobs for name, stream in streams.items()}
    engine.check_invariants()
    return {name: logprobs for name, logprobs in scores.items() if logprobs is not None}


def check(engine: Engine, got: dict[str, list[TokenLogprob]], expected: dict[str, list[float]]) -> None:
    for name in CHOSEN:
        assert [entry.token_id for entry in got[name]] == answer_ids(engine)
        assert [entry.logprob for entry in got[name]] == pytest.approx(expected[name], abs=TOLERANCE)


def test_alone(engine: Engine, expected: dict[str, list[float]]) -> None:
    check(engine, {name: engine.score(CASES[name].messages, ANSWER) for name in CHOSEN}, expected)


def test_batched_and_from_the_prefix_cache(
    engine: Engine, prompts: dict[str, Prompt], expected: dict[str, list[float]]
) -> None:
    for _ in range(2):
        cached = engine.stats().cached_tokens
        check(engine, score_all(engine, prompts), expected)
    assert engine.stats().cached_tokens > cached


@pytest.mark.parametrize(("step_tokens", "max_running"), [(7, 64), (512, 2), (512, 1)])
def test_in_pieces(
    folder: Path,
    prompts: dict[str, Prompt],
    expected: dict[str, list[float]],
    step_tokens: int,
    max_running: int,
) -> None:
    """Chunks that cut through the answer; and never more rows of logits in a step than the memory plan has room for."""
    config = EngineConfig(step_tokens=step_tokens, max_running=max_running)
    with Engine.load(folder, device="cpu", dtype="float32", config=config) as engine:
        rows: list[int] = []
        run = engine._core.runner.run

        def counted(chunks: list) -> torch.Tensor:  # type: ignore[type-arg]
            logits = run(chunks)
            rows.append(len(logits))
            return logits

        engine._core.runner.run = counted  # type: ignore[method-assign]
        check(engine, score_all(engine, prompts), expected)
    assert max(rows) <= max_running


def test_the_whole_distributions(folder: Path, engine: Engine, oracle: Oracle, prompts: dict[str, Prompt]) -> None:
    """In the place of each token, also where the answer is cut into pieces; and only where they are asked for."""
    answer = answer_ids(engine)
    with Engine.load(folder, device="cpu", dtype="float32", config=EngineConfig(step_tokens=7)) as pieces:
        for name in ("text", "image"):
            want = oracle.forced(prompts[name], answer, CASES[name].clips).log_softmax(-1)
            for each in (engine, pieces):
                found = next(each.stream_score(prompts[name], ANSWER, distributions=True))
                assert found.distributions is not None
                assert found.distributions.shape == (len(answer), want.shape[-1])
                assert (found.distributions - want).abs().max() < TOLERANCE
                chosen = found.distributions[torch.arange(len(answer)), torch.tensor(answer)]
                assert [entry.logprob for entry in found.logprobs or []] == chosen.tolist()
    assert next(engine.stream_score(prompts["text"], ANSWER)).distributions is None


def test_beside_generations_and_preempted(
    folder: Path, oracle: Oracle, prompts: dict[str, Prompt], expected: dict[str, list[float]]
) -> None:
    """A cache too small for all of them, and prompts whose answers are written while others' are scored."""
    options = GenerationOptions(temperature=0.0, max_tokens=40, ignore_eos=True)
    longest = max(map(len, prompts.values()))
    config = EngineConfig(num_blocks=-(-(longest + 200) // 16) + 4, step_tokens=64)
    with Engine.load(folder, device="cpu", dtype="float32", config=config) as engine:
        written = {name: engine.stream_prompt(prompt, options) for name, prompt in prompts.items()}
        scores = {name: engine.stream_score(prompt, ANSWER) for name, prompt in prompts.items()}
        tokens = {name: [t for delta in stream for t in delta.token_ids] for name, stream in written.items()}
        got = {name: next(stream).logprobs or [] for name, stream in scores.items()}
        engine.check_invariants()
        assert engine.stats().preemptions > 0
        assert engine.stats().running == engine.stats().waiting == 0
        check(engine, got, expected)
    for name, prompt in prompts.items():
        assert tokens[name] == oracle.greedy(prompt, 40, CASES[name].clips).token_ids


def test_each_mode_has_its_own(engine: Engine, oracle: Oracle, prompts: dict[str, Prompt]) -> None:
    sums = set()
    try:
        for mode, count in (("fast", 2), ("full", 4)):
            oracle.set_experts(count)
            want = reference(engine, oracle, "image", prompts["image"])
            got = engine.score(CASES["image"].messages, ANSWER, mode=mode)  # type: ignore[arg-type]
            assert [entry.logprob for entry in got] == pytest.approx(want, abs=TOLERANCE)
            sums.add(round(sum(want), 1))
    finally:
        oracle.set_experts(4)
    assert len(sums) == 2, "modes that agree show nothing"


def test_what_is_not_a_number_is_an_error(folder: Path, prompts: dict[str, Prompt]) -> None:
    with Engine.load(folder, device="cpu", dtype="float32") as engine:
        run = engine._core.runner.run
        engine._core.runner.run = lambda chunks: run(chunks) * torch.nan  # type: ignore[method-assign]
        with pytest.raises(ModelOutputError), engine.stream_score(prompts["text"], ANSWER) as scores:
            next(scores)
        engine.check_invariants()
        assert engine.stats().running == engine.stats().waiting == 0


def test_an_empty_answer_is_the_end_at_once(engine: Engine) -> None:
    [end] = engine.score(CASES["text"].messages, "")
    assert end.token == "<|im_end|>"


def test_cancelled_and_refused(engine: Engine, prompts: dict[str, Prompt]) -> None:
    engine.stream_score(prompts["image"], ANSWER).close()
    with pytest.raises(InputError, match=r"control token <\|im_end\|>"):
        engine.score(CASES["text"].messages, "Yes<|im_end|>")
    with pytest.raises(InputError, match="1 to 4"):
        engine.score(CASES["text"].messages, "Yes", mode=5)
    with pytest.raises(ContextLengthError, match="tokens of answer"):
        engine.score(CASES["text"].messages, "Yes " * 20_000)
    engine.check_invariants()
    assert engine.stats().running == engine.stats().waiting == 0
