"""What a caller of the Python interface can rely on, with the shipped mixture-of-experts checkpoint."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from qwen3vl import Engine
from qwen3vl.engine.build import EngineConfig
from qwen3vl.engine.options import GenerationOptions
from qwen3vl.engine.outputs import Delta
from qwen3vl.engine.scheduler import Chunk
from qwen3vl.engine.sequence import PrefixKeys
from qwen3vl.errors import ContextLengthError, EngineClosedError, InputError, InsufficientMemoryError
from support.engines import Run, device, is_idle, wait_until
from support.inputs import CASES_BY_NAME, clip, picture, user
from support.tiny import SHIPPED

QUESTION = [user(picture(256, 192, 1), "What color is the star?")]
LONG: dict[str, Any] = {"max_tokens": 400, "ignore_eos": True, "temperature": 0.0}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine.load("tiny-moe", device="cpu", config=EngineConfig(num_blocks=400)) as engine:
        yield engine


@pytest.fixture(autouse=True)
def clean_afterwards(engine: Engine) -> Iterator[None]:
    yield
    wait_until_idle(engine)
    engine.check_invariants()
    assert engine.stats().free_blocks == engine.stats().total_blocks


def wait_until_idle(engine: Engine, seconds: float = 10.0) -> None:
    wait_until(lambda: is_idle(engine), seconds)


def test_result_is_what_the_stream_said(engine: Engine) -> None:
    deltas = list(engine.stream(QUESTION, max_tokens=30, seed=1))
    result = engine.generate(QUESTION, max_tokens=30, seed=1)
    assert result.text == "".join(delta.text for delta in deltas)
    assert result.token_ids == [token for delta in deltas for token in delta.token_ids]
    assert deltas[-1].finish_reason == result.finish_reason
    usage = deltas[-1].usage
    assert usage is not None
    assert usage.completion_tokens == len(result.token_ids)
    assert usage.visual_tokens == engine.prompt_builder.image_tokens(256, 192)
    assert usage.active_experts == 4
    assert 0 <= usage.queue_seconds <= usage.first_token_seconds <= usage.total_seconds


def test_max_tokens_ends_with_length(engine: Engine) -> None:
    result = engine.generate(QUESTION, max_tokens=7, ignore_eos=True)
    assert (len(result.token_ids), result.finish_reason) == (7, "length")


def test_closing_the_stream_cancels(engine: Engine) -> None:
    stream = engine.stream(QUESTION, **LONG)
    next(stream)
    assert engine.stats().running == 1
    stream.close()
    wait_until_idle(engine, 2.0)
    assert list(stream) == []


def test_dropping_a_stream_that_was_never_read_cancels(engine: Engine) -> None:
    before = engine.stats().generated_tokens
    stream = engine.stream(QUESTION, **LONG)
    wait_until(lambda: engine.stats().generated_tokens > before)
    del stream
    wait_until_idle(engine)
    assert engine.stats().generated_tokens - before < 150, "it would have gone on to 400"


def test_stop_string_ends_the_answer_before_it(engine: Engine) -> None:
    whole = engine.generate(QUESTION, temperature=0.0, max_tokens=40, ignore_eos=True).text
    stop = whole[len(whole) // 2 :][:3]
    result = engine.generate(QUESTION, temperature=0.0, max_tokens=40, ignore_eos=True, stop=[stop])
    assert result.text == whole[: whole.index(stop)]
    assert result.finish_reason == "stop"


def test_n_answers_share_the_prompt_and_differ_by_seed(engine: Engine) -> None:
    options: dict[str, Any] = {"temperature": 1.5, "max_tokens": 20, "ignore_eos": True}
    result = engine.generate(QUESTION, n=3, seed=5, **options)
    assert [choice.index for choice in result.choices] == [0, 1, 2]
    assert len({tuple(choice.token_ids) for choice in result.choices}) == 3
    alone = [engine.generate(QUESTION, seed=5 + i, **options).token_ids for i in range(3)]
    assert [choice.token_ids for choice in result.choices] == alone
    assert result.usage.completion_tokens == 60


def test_n_answers_compute_the_prompt_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine._core, "speculation", None)  # drafts are computed too
    prompt = engine.prepare([user(picture(256, 192, 77), "What is new here?")], GenerationOptions())
    computed: list[int] = []

    def counted(run: Run) -> Run:
        def counting(chunks: list[Chunk]) -> torch.Tensor:
            computed.append(sum(chunk.length for chunk in chunks))
            return run(chunks)

        return counting

    misses = engine.stats().feature_misses
    with device(engine, counted):
        for _ in engine.stream_prompt(prompt, GenerationOptions(n=4, max_tokens=10, ignore_eos=True)):
            pass
    assert len(prompt) > 48
    shared = (len(prompt) - 1) // 16 * 16  # whole blocks, and at least the last token is computed by each
    assert sum(computed) == len(prompt) + 3 * (len(prompt) - shared) + 4 * (10 - 1)
    assert engine.stats().feature_misses == misses + 1


def test_a_picture_read_in_pieces_is_encoded_once(engine: Engine) -> None:
    """Its features wait with the sequence, whether or not there is a cache for them, and go when it has been read."""
    config = EngineConfig(num_blocks=64, step_tokens=16, feature_bytes=0)
    with Engine.load("tiny-moe", device="cpu", speculation="off", config=config) as small:
        runner, encoded = small._core.runner, list[int]()
        encode = runner.encode
        runner.encode = lambda visuals: encoded.append(len(visuals)) or encode(visuals)  # type: ignore[method-assign, func-returns-value]
        options: dict[str, Any] = {"temperature": 0.0, "max_tokens": 8, "ignore_eos": True}
        assert small.generate(QUESTION, **options).token_ids == engine.generate(QUESTION, **options).token_ids
        assert small.stats().steps == -(-small.stats().prompt_tokens // 16) + 7 > 8 + 3
    assert encoded == [1]


def test_the_end_token_ends_with_stop(engine: Engine) -> None:
    deltas = list(engine.stream(QUESTION, temperature=0.0, max_tokens=200))
    tokens = [token for delta in deltas for token in delta.token_ids]
    assert deltas[-1].finish_reason == "stop"
    assert tokens[-1] in engine.info.defaults.eos_token_ids
    assert not set(tokens[:-1]) & set(engine.info.defaults.eos_token_ids)
    text = "".join(delta.text for delta in deltas)
    assert text
    assert "<|" not in text
    beyond = engine.generate(QUESTION, temperature=0.0, max_tokens=len(tokens) + 3, ignore_eos=True)
    assert beyond.token_ids[: len(tokens)] == tokens
    assert (len(beyond.token_ids), beyond.finish_reason) == (len(tokens) + 3, "length")
    exactly = engine.generate(QUESTION, temperature=0.0, max_tokens=len(tokens))
    assert exactly.finish_reason == "stop", "the last token that was allowed may be the end"


def test_what_the_checkpoint_says_of_sampling_applies(engine: Engine, tmp_path: Path) -> None:
    for file in (SHIPPED / "moe").iterdir():
        (tmp_path / file.name).symlink_to(file)
    path = tmp_path / "generation_config.json"
    config = json.loads(path.read_text())
    path.unlink()
    said: dict[str, Any] = {
        "temperature": 1.4,
        "top_k": 30,
        "top_p": 0.95,
        "repetition_penalty": 1.3,
        "presence_penalty": 0.8,
    }
    path.write_text(json.dumps(config | {"do_sample": True} | said))
    options: dict[str, Any] = {"max_tokens": 30, "ignore_eos": True, "seed": 9}
    explicit = engine.generate(QUESTION, **options, **said).token_ids
    with Engine.load(tmp_path, device="cpu", config=EngineConfig(num_blocks=64)) as sampling:
        assert sampling.generate(QUESTION, **options).token_ids == explicit
        greedy = engine.generate(QUESTION, **options).token_ids
        neutral: dict[str, Any] = {"temperature": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0}
        assert sampling.generate(QUESTION, **options, **neutral).token_ids == greedy, "a request has the last word"
    assert explicit != greedy
    for name in said:
        without = {key: value for key, value in said.items() if key != name}
        assert engine.generate(QUESTION, **options, **without).token_ids != explicit, f"{name} makes no difference"


def test_next_to_no_temperature_is_greedy(engine: Engine) -> None:
    options: dict[str, Any] = {"max_tokens": 12, "ignore_eos": True}
    greedy = engine.generate(QUESTION, temperature=0.0, **options).token_ids
    assert engine.generate(QUESTION, temperature=1e-40, **options).token_ids == greedy
    assert engine.healthy


def test_a_negative_seed_is_a_seed_of_its_own(engine: Engine) -> None:
    options: dict[str, Any] = {"max_tokens": 20, "ignore_eos": True, "temperature": 1.5}
    answers = [engine.generate(QUESTION, seed=seed, **options).token_ids for seed in (-1, 1, -1)]
    assert answers[0] != answers[1]
    assert answers[0] == answers[2]


def test_logprobs_come_with_every_token(engine: Engine) -> None:
    result = engine.generate(QUESTION, temperature=0.0, max_tokens=5, ignore_eos=True, logprobs=3)
    assert result.logprobs is not None
    assert [entry.token_id for entry in result.logprobs] == result.token_ids
    for entry in result.logprobs:
        assert len(entry.top) == 3
        assert entry.top[0] == (entry.token_id, entry.token, entry.logprob), "greedy takes the most likely"
        assert entry.logprob <= 0
    assert engine.generate(QUESTION, max_tokens=2).logprobs is None


def test_batch_takes_options_of_each(engine: Engine) -> None:
    batch = [QUESTION, [user("Hello")], QUESTION]
    options = [
        {"max_tokens": 3, "ignore_eos": True},
        {"max_tokens": 5, "ignore_eos": True},
        {"max_tokens": 2, "mode": 1},
    ]
    results = engine.generate_batch(batch, options)
    assert [len(result.token_ids) for result in results][:2] == [3, 5]
    assert results[2].usage.active_experts == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temprature": 1}, "unknown option 'temprature'"),
        ({"temperature": float("nan")}, "temperature must be"),
        ({"top_p": 0}, "top_p must be"),
        ({"max_tokens": 0}, "max_tokens must be"),
        ({"n": 17}, "n must be"),
        ({"mode": "turbo"}, "unknown mode 'turbo'"),
        ({"mode": 5}, "takes 1 to 4"),
        ({"stop": ""}, "non-empty"),
        ({"logprobs": 21}, "logprobs must be"),
        ({"min_pixels": 10}, "min_pixels must be"),
        ({"stop": 5}, "stop takes"),
        ({"stop": ["a", 5]}, "stop takes"),
        ({"mode": [1]}, "mode must be"),
        ({"mode": True}, "mode must be"),
        ({"temperature": 10**400}, "temperature must be"),
        ({"temperature": "hot"}, "temperature must be"),
        ({"repetition_penalty": 1e-300}, "repetition_penalty must be"),
        ({"repetition_penalty": 1e300}, "repetition_penalty must be"),
        ({"max_pixels": 2**20 + 1}, "max_pixels may be 1048576 at most"),
        ({"min_pixels": 2**20 + 1}, "min_pixels may be 1048576 at most"),
        ({"seed": 2**63}, "seed must be"),
        ({"max_tokens": True}, "max_tokens must be"),
        ({"fps": 0}, "fps must be"),
    ],
)
def test_bad_options_are_refused_with_a_reason(engine: Engine, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        engine.generate(QUESTION, **options)


def test_what_does_not_fit_is_refused(engine: Engine) -> None:
    with pytest.raises(ContextLengthError, match="does not fit into 4096"):
        engine.generate([user("word " * 5000)])
    with pytest.raises(ContextLengthError, match="4090 tokens of answer"):
        engine.generate(QUESTION, max_tokens=4090)


def test_an_answer_may_fill_the_context(engine: Engine) -> None:
    room = 64
    with Engine.load("tiny-moe", device="cpu", max_context=room, config=EngineConfig(num_blocks=4)) as small:
        result = small.generate([user("Hello")], ignore_eos=True)
        assert result.finish_reason == "length"
        assert result.usage.prompt_tokens + len(result.token_ids) == room


def test_the_last_token_of_a_prompt_is_always_computed(engine: Engine) -> None:
    """A prompt of exactly some full blocks, asked twice, still has something to sample from."""
    prompt = engine.prompt_builder.build_text("a" * 32)
    assert len(prompt) == 32
    options = GenerationOptions(temperature=0.0, max_tokens=4, ignore_eos=True)
    first, second = ([t for d in engine.stream_prompt(prompt, options) for t in d.token_ids] for _ in range(2))
    assert first == second


def test_prefix_keys_tell_apart_what_looks_alike(engine: Engine) -> None:
    """The same pads with another picture behind them, or another mode, are another prefix."""

    def keys(seed: int, mode: Any = "full") -> list[bytes]:
        messages = [user(picture(256, 256, seed), "Describe.")]
        prompt = engine.prepare(messages, GenerationOptions())
        seen: list[PrefixKeys] = []
        submit = engine._worker.submit
        engine._worker.submit = lambda request: seen.append(request.sequences[0].keys)  # type: ignore[method-assign]
        try:
            engine.submit(prompt, GenerationOptions(mode=mode), lambda delta: None)
        finally:
            engine._worker.submit = submit  # type: ignore[method-assign]
        return [seen[0].get(i, 16) for i in range(len(prompt) // 16)]

    assert keys(1) == keys(1)
    assert not set(keys(1)) & set(keys(2))
    assert not set(keys(1)) & set(keys(1, "fast"))


def test_async_stream_and_cancelled_task(engine: Engine) -> None:
    async def scenario() -> None:
        result = await engine.agenerate(QUESTION, temperature=0.0, max_tokens=8, ignore_eos=True)
        deltas: list[Delta] = []
        async for delta in engine.astream(QUESTION, temperature=0.0, max_tokens=8, ignore_eos=True):
            deltas.append(delta)
        assert [t for d in deltas for t in d.token_ids] == result.token_ids
        task = asyncio.create_task(engine.agenerate(QUESTION, **LONG))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        stream = engine.astream(QUESTION, **LONG)
        await anext(stream)
        await stream.aclose()
        with pytest.raises(InputError):
            await engine.agenerate([])

    asyncio.run(scenario())
    wait_until_idle(engine, 2.0)


def test_closing_the_engine_tells_those_who_wait() -> None:
    engine = Engine.load("tiny-moe", device="cpu", config=EngineConfig(num_blocks=64))
    stream = engine.stream(QUESTION, **LONG)
    next(stream)
    engine.close()
    engine.close()
    with pytest.raises(EngineClosedError):
        list(stream)
    assert not engine.healthy
    with pytest.raises(EngineClosedError):
        engine.generate(QUESTION)


def test_a_failing_device_fails_requests_and_health(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine.load("tiny-moe", device="cpu", config=EngineConfig(num_blocks=64))

    def broken(chunks: object) -> None:
        raise RuntimeError("device lost")

    monkeypatch.setattr(engine._core.runner, "run", broken)
    with pytest.raises(EngineClosedError, match="device lost"):
        engine.generate(QUESTION)
    assert not engine.healthy
    engine.close()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"device": "tpu"}, InputError, "device must be"),
        ({"device": "cuda:99"}, InputError, "not there"),
        ({"dtype": "int3"}, InputError, "dtype must be"),
        ({"quantization": "int3"}, InputError, "'none', 'int8', 'int4', got 'int3'"),
        ({"memory": "much"}, InputError, "such as '12GiB'"),
        ({"memory": "20MiB"}, InsufficientMemoryError, "this model needs"),
        ({"max_context": 10**6}, InputError, "max_context must be"),
    ],
)
def test_a_load_that_cannot_be_honoured_says_why(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Engine.load("tiny-moe", **options)


def test_a_memory_budget_is_kept() -> None:
    with Engine.load("tiny-moe", device="cpu", memory="700MiB") as engine:
        assert engine.info.memory_bytes <= 700 * 2**20
        cache = sum(part.nbytes for layer in engine._core.runner.cache for part in (layer.keys, layer.values))
        assert cache + engine.info.weight_bytes < engine.info.memory_bytes


def test_200_random_requests_with_cancels_in_a_cache_too_small() -> None:
    """All that are not cancelled end, with the answer that they would have got alone; the books are right all along."""
    rng = random.Random(7)
    conversations = [case.messages for name, case in CASES_BY_NAME.items() if name != "long"]
    conversations += [[user("a b c " * rng.randrange(1, 60))] for _ in range(10)]
    conversations += [[user(clip(4, 64, 64, 12.0, 6, 50), "When?")], [user(picture(300, 200, 51), "Count them.")]]
    modes = ["fast", "balanced", "full", 1]
    config = EngineConfig(num_blocks=200, block_size=4, step_tokens=256, max_running=12)
    with Engine.load("tiny-moe", device="cpu", speculation="off", config=config) as engine:
        prompts = [engine.prepare(messages, GenerationOptions()) for messages in conversations]
        plans = []
        for _ in range(200):
            options = GenerationOptions(
                max_tokens=rng.randrange(1, 24),
                temperature=rng.choice([0.0, 1.0]),
                seed=rng.randrange(100),
                mode=rng.choice(modes),  # type: ignore[arg-type]
                ignore_eos=rng.random() < 0.7,
            )
            plans.append((rng.randrange(len(prompts)), options, rng.choice([None, None, None, rng.randrange(0, 20)])))
        streams = [engine.stream_prompt(prompts[number], options) for number, options, _ in plans]
        answers: list[list[int] | None] = []
        for position, (stream, (_, _, cancel_after)) in enumerate(zip(streams, plans, strict=True)):
            tokens: list[int] = []
            for delta in stream:
                tokens += delta.token_ids
                if cancel_after is not None and len(tokens) >= cancel_after:
                    stream.close()
            answers.append(tokens if cancel_after is None else None)
            if position % 20 == 0:
                engine.check_invariants()
        wait_until_idle(engine)
        engine.check_invariants()
        assert engine.stats().preemptions > 0
        assert engine.stats().free_blocks == engine.stats().total_blocks
        for (number, options, _), tokens_or_none in list(zip(plans, answers, strict=True))[::9]:
            if tokens_or_none is not None:
                alone = [t for delta in engine.stream_prompt(prompts[number], options) for t in delta.token_ids]
                assert alone == tokens_or_none
