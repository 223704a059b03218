"""The engine's thread: one request's failure is its own, and the thread ends when nobody needs it any more."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from qwen3vl import Engine
from qwen3vl.engine.build import EngineConfig
from qwen3vl.engine.options import GenerationOptions
from qwen3vl.engine.outputs import Delta
from qwen3vl.engine.scheduler import Chunk
from qwen3vl.errors import InsufficientMemoryError, ModelOutputError
from qwen3vl.prompt.types import Prompt
from support.engines import Run, device, is_idle, together, token_ids, wait_until
from support.inputs import picture, user

OPTIONS = GenerationOptions(max_tokens=12, temperature=0.0, ignore_eos=True)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine.load("tiny-moe", device="cpu", speculation="off", config=EngineConfig(num_blocks=100)) as engine:
        yield engine


@pytest.fixture(autouse=True)
def clean_afterwards(engine: Engine) -> Iterator[None]:
    yield
    wait_until(lambda: is_idle(engine))
    engine.check_invariants()
    assert engine.healthy
    assert engine.stats().free_blocks == engine.stats().total_blocks


@pytest.fixture(scope="module")
def prompts(engine: Engine) -> list[Prompt]:
    conversations = [[user("Hello")], [user(picture(128, 96, 1), "What is it?")], [user("Which color?")]]
    return [engine.prepare(messages, GenerationOptions()) for messages in conversations]


@pytest.fixture(scope="module")
def answers(engine: Engine, prompts: list[Prompt]) -> list[list[int]]:
    return [token_ids(engine.stream_prompt(prompt, OPTIONS)) for prompt in prompts]


def test_a_receiver_that_fails_loses_its_own_request_only(
    engine: Engine, prompts: list[Prompt], answers: list[list[int]], caplog: pytest.LogCaptureFixture
) -> None:
    got: list[Delta | BaseException] = []

    def receive(item: Delta | BaseException) -> None:
        got.append(item)
        if len(got) == 3:
            raise ValueError("the receiver is broken")

    def start() -> Iterator[Delta]:
        engine.submit(prompts[0], OPTIONS, receive)
        return engine.stream_prompt(prompts[1], OPTIONS)

    with caplog.at_level(logging.ERROR):
        assert token_ids(engine._worker.call(start)) == answers[1]
    assert token_ids(item for item in got if isinstance(item, Delta)) == answers[0][:3], "nothing comes after"
    assert "the receiver is broken" in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: 9 bytes"),
        MemoryError("9.00 GiB"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_memory_that_runs_out_fails_the_steps_requests_only(
    engine: Engine, prompts: list[Prompt], answers: list[list[int]], error: Exception
) -> None:
    in_step: list[set[Prompt]] = []

    def once(run: Run) -> Run:
        def failing(chunks: list[Chunk]) -> torch.Tensor:
            if in_step or any(chunk.length > 1 for chunk in chunks):
                return run(chunks)
            in_step.append({chunk.sequence.request.prompt for chunk in chunks})
            raise error

        return failing

    scheduler = engine._core.scheduler
    bound, scheduler.max_running = scheduler.max_running, 2
    engine._core.runner.features.put(b"kept", torch.zeros(4))
    try:
        with device(engine, once):
            first, second, waits = together(engine, [(prompt, OPTIONS) for prompt in prompts])
            for stream, answer in ((first, answers[0]), (second, answers[1])):
                got = [next(stream).token_ids[0]]
                with pytest.raises(InsufficientMemoryError, match=r"memory ran out on this request: .*9"):
                    got += token_ids(stream)
                assert got == answer[:1]
            assert token_ids(waits) == answers[2], "who was not in the step is not touched"
    finally:
        scheduler.max_running = bound
    assert in_step == [set(prompts[:2])]
    assert engine._core.runner.features.num_bytes == 0, "what can be spared was given back"
    assert [token_ids(engine.stream_prompt(prompt, OPTIONS)) for prompt in prompts] == answers


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("spoiled", [slice(None), slice(7, 8)], ids=["all", "one"])
def test_what_is_not_a_number_fails_its_own_request_only(
    engine: Engine, prompts: list[Prompt], temperature: float, spoiled: slice
) -> None:
    bad, good, _ = prompts
    options = replace(OPTIONS, temperature=temperature, seed=3)
    expected = {prompt: token_ids(engine.stream_prompt(prompt, options)) for prompt in (bad, good)}
    done = 0

    def spoil(run: Run) -> Run:
        def spoiling(chunks: list[Chunk]) -> torch.Tensor:
            nonlocal done
            owners = [chunk.sequence.request.prompt for chunk in chunks for _ in chunk.rows]
            logits = run(chunks)
            done += 1
            if done > 4 and bad in owners:
                logits[owners.index(bad), spoiled] = torch.nan
            return logits

        return spoiling

    with device(engine, spoil):
        failing, going = together(engine, [(bad, options), (good, options)])
        got: list[int] = []
        with pytest.raises(ModelOutputError, match="not a number"):
            got.extend(token for delta in failing for token in delta.token_ids)
        assert got == expected[bad][:4]
        assert token_ids(going) == expected[good]
    assert token_ids(engine.stream_prompt(bad, options)) == expected[bad], "no later request meets what it left"


def test_a_request_fails_once_however_many_answers_it_has(engine: Engine, prompts: list[Prompt]) -> None:
    got: list[Delta | BaseException] = []

    def spoil(run: Run) -> Run:
        def spoiling(chunks: list[Chunk]) -> torch.Tensor:
            logits = run(chunks)
            if len(chunks) == 3:
                logits[:2] = torch.nan  # the third one's token comes when the request has failed already
            return logits

        return spoiling

    with device(engine, spoil):
        engine.submit(prompts[0], replace(OPTIONS, n=3), got.append)
        wait_until(lambda: any(isinstance(item, ModelOutputError) for item in got))
        engine.check_invariants()  # after the step that failed
    assert [isinstance(item, ModelOutputError) for item in got] == [False] * (len(got) - 1) + [True]


def test_an_engine_that_is_dropped_ends_its_thread() -> None:
    engine = Engine.load("tiny-moe", device="cpu", config=EngineConfig(num_blocks=64))
    thread = engine._worker._thread
    engine.generate([user("Hello")], max_tokens=2)
    assert thread.is_alive()
    del engine
    gc.collect()
    thread.join(5)
    assert not thread.is_alive()


def test_a_program_may_end_with_an_answer_unfinished() -> None:
    program = """
from qwen3vl import Engine
from qwen3vl.engine.build import EngineConfig
engine = Engine.load("tiny-moe", device="cpu", config=EngineConfig(num_blocks=100))
stream = engine.stream([{"role": "user", "content": "Hello"}], ignore_eos=True, temperature=0.0)
next(stream)
print("the end")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "the end\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads as Linux lists them")
def test_loading_leaves_no_threads_behind_but_the_engines() -> None:
    code = (
        "import os, time, torch\n"
        "from qwen3vl import Engine\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "engine = Engine.load('tiny-dense', device='cpu')\n"
        "end = time.monotonic() + 30\n"
        "while (more := len(os.listdir('/proc/self/task')) - before) > 1 and time.monotonic() < end:\n"
        "    time.sleep(0.01)\n"  # a helper that was told to end takes a moment
        "print(more)\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "3"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert int(run.stdout) == 1
