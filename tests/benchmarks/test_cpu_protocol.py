"""A runner in a process of its own, written as a module of the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.cpu import protocol
from benchmarks.cpu.protocol import Job, Moment, RemoteRunner, RunnerFailed, Timing
from benchmarks.cpu.shapes import Shape, Weights

RUNNER = """
import os
from benchmarks.cpu.protocol import Loaded, serve, stopwatch
from benchmarks.cpu.shapes import Weights

class Fake:
    def load(self, job):
        os.write(1, b"a library that prints\\n")
        return Loaded(f"{job.shape.config.text.num_layers} layers, {job.bits} bits", {"fake": "1"}, Weights(1, 2, 3))

    def prefill(self, tokens):
        with stopwatch() as timing:
            sum(range(10**6))
        return timing

    def decode(self, sequences, context, tokens):
        if context:
            os._exit(3)
        raise ValueError(f"not {sequences} sequences")

serve(Fake)
"""


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RemoteRunner:
    (tmp_path / "fake_runner.py").write_text(RUNNER, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{protocol.ROOT}")
    return RemoteRunner("fake_runner", tmp_path / "log")


JOB = Job(Shape("2b", layers=3), bits=8, threads=1, folder=".", positions=8, sequences=1)


def test_a_runner_answers_past_what_libraries_print(runner: RemoteRunner) -> None:
    with runner:
        loaded = runner.load(JOB)
        assert (loaded.label, loaded.versions, loaded.weights) == ("3 layers, 8 bits", {"fake": "1"}, Weights(1, 2, 3))
        timing = runner.prefill(5)
        assert 0 < timing.seconds < 5
        assert 0 < timing.cores < 1.5
    assert runner.process.returncode == 0
    assert "a library that prints" in runner.log.read_text()


def test_what_goes_wrong_is_told_in_its_words(runner: RemoteRunner) -> None:
    with runner:
        with pytest.raises(RunnerFailed, match="ValueError: not 4 sequences"):
            runner.decode(4, 0, 1)
        runner.process.wait()
        with pytest.raises(RunnerFailed, match="log may say why"):
            runner.prefill(1)


def test_a_runner_that_dies_names_the_log(runner: RemoteRunner) -> None:
    with runner, pytest.raises(RunnerFailed, match="log may say why"):
        runner.decode(1, 1, 1)


def test_others_are_what_the_machine_computed_and_the_runner_did_not() -> None:
    assert Timing.between(Moment(1, 10, 100), Moment(3, 13, 104)) == Timing(2, 1.5, 0.5)


def test_the_machine_computes_when_a_process_does() -> None:
    start = Moment.now()
    while Moment.now().own - start.own < 0.3:
        pass
    assert Moment.now().machine - start.machine >= 0.2
