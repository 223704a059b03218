"""The same greedy tokens as the reference library, on every input kind and every layout of the network, whatever the
way there: alone, in a batch, prefilled in chunks, from the prefix cache, after a preemption, drafted, in any mode.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from qwen3vl import Engine
from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.engine.build import EngineConfig
from qwen3vl.engine.options import GenerationOptions
from qwen3vl.prompt.builder import PromptBuilder
from qwen3vl.prompt.types import Prompt
from support.engines import Run, draft_always
from support.engines import device as run_through
from support.inputs import CASES_BY_NAME as CASES
from support.oracle import Greedy, Oracle
from support.tiny import SHIPPED, make_checkpoint

NEW_TOKENS = 32
MODELS: dict[str, dict[str, Any] | None] = {
    "dense_tied": {},
    "dense_untied": {"tied": False, "dialect": "resaved"},
    "moe": {"moe": True, "tied": False},
    "moe_every_third": {"moe": True, "sparse_step": 3},
    "trained_dense": None,
    "trained_moe": None,
}
GREEDY = {"temperature": 0.0, "max_tokens": NEW_TOKENS, "ignore_eos": True}


@dataclass
class Subject:
    """A checkpoint with its oracle, whose answers are computed once."""

    folder: Path
    oracle: Oracle
    prompts: dict[str, Prompt]
    device: str
    _known: dict[tuple[str, int | None], Greedy] = field(default_factory=dict)

    def greedy(self, case: str, guess: Sequence[int] = (), experts: int | None = None) -> Greedy:
        """The oracle's answer; `guess` is what it may be, and `experts` how many each token uses: None is all."""
        if (case, experts) not in self._known:
            full = getattr(self.oracle.model.config.text_config, "num_experts_per_tok", 0)
            self.oracle.set_experts(experts or full)
            known = self.oracle.greedy(self.prompts[case], NEW_TOKENS, CASES[case].clips, guess)
            self._known[case, experts] = known
        return self._known[case, experts]

    def check(self, answers: Sequence[list[int]], cases: Iterable[str] = CASES) -> None:
        assert answers == [self.greedy(case, got).token_ids for case, got in zip(cases, answers, strict=True)]

    def engine(self, *, speculation: str = "off", **config: int) -> Engine:
        return Engine.load(
            self.folder,
            device=self.device,
            dtype="float32",
            speculation=speculation,
            config=EngineConfig(**config),
        )


@pytest.fixture(scope="module", params=MODELS)
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, device: str) -> Subject:
    options = MODELS[request.param]
    if options is None:
        return shipped(request.param.removeprefix("trained_"), device)
    folder = tmp_path_factory.mktemp(request.param)
    make_checkpoint(folder, **options)
    return make_subject(folder, device)


@pytest.fixture(scope="module")
def moe_subject(device: str) -> Subject:
    return shipped("moe", device)


@cache
def shipped(name: str, device: str) -> Subject:
    return make_subject(SHIPPED / name, device)


def make_subject(folder: Path, device: str) -> Subject:
    builder = PromptBuilder.from_folder(folder, ModelConfig.from_folder(folder))
    prompts = {name: builder.build(case.messages) for name, case in CASES.items()}
    return Subject(folder, Oracle(folder, device), prompts, device)


@pytest.fixture(scope="module")
def engine(subject: Subject) -> Iterator[Engine]:
    """For requests that have no beginning in common."""
    with subject.engine() as engine:
        yield engine


def answer(engine: Engine, prompts: list[Prompt], **options: Any) -> list[list[int]]:
    """Greedy tokens of all prompts, submitted at once."""
    streams = [engine.stream_prompt(prompt, GenerationOptions(**GREEDY, **options)) for prompt in prompts]
    answers = [[token for delta in stream for token in delta.token_ids] for stream in streams]
    engine.check_invariants()
    return answers


@pytest.mark.parametrize("case", CASES)
def test_alone(subject: Subject, engine: Engine, case: str) -> None:
    """Tokens equal, and every step's logits within 1e-4 of the largest."""
    seen: list[torch.Tensor] = []

    def noted(run: Run) -> Run:
        return lambda chunks: seen.append(run(chunks)) or seen[-1]  # type: ignore[func-returns-value]

    before = engine.stats().cached_tokens
    with run_through(engine, noted):
        tokens = answer(engine, [subject.prompts[case]])[0]
    assert engine.stats().cached_tokens == before
    expected = subject.greedy(case, tokens)
    assert tokens == expected.token_ids
    logits = torch.cat(seen).cpu()
    error = (logits - expected.logits).abs().max() / expected.logits.abs().max()
    assert error < 1e-4
    assert len(set(tokens)) > 1 or case == "long", "an answer of one repeated token shows little"


def test_batched(subject: Subject) -> None:
    with subject.engine() as engine:
        tokens = answer(engine, list(subject.prompts.values()))
    subject.check(tokens)


def test_drafted(subject: Subject) -> None:
    """Several rows of one sequence in a step, right and wrong ones."""
    check_drafted(subject, "lookup")


def test_drafted_by_fewer_experts(moe_subject: Subject) -> None:
    check_drafted(moe_subject, "fast")


def check_drafted(subject: Subject, by: Literal["lookup", "fast"]) -> None:
    with subject.engine(speculation="auto") as engine:
        draft_always(engine, by)
        alone = [answer(engine, [prompt])[0] for prompt in subject.prompts.values()]
        together = answer(engine, list(subject.prompts.values()))
        stats = engine.stats()
    assert alone == together
    subject.check(alone)
    assert 0 < stats.spec_decode_num_accepted_tokens < stats.spec_decode_num_draft_tokens


@pytest.mark.parametrize("step_tokens", [7, 64])
def test_prefilled_in_chunks(subject: Subject, step_tokens: int) -> None:
    """Chunks cut through pictures, through blocks, and through what DeepStack adds."""
    chosen = [case for case in CASES if case != "long" or step_tokens > 7]
    with subject.engine(step_tokens=step_tokens) as engine:
        tokens = answer(engine, [subject.prompts[case] for case in chosen])
    subject.check(tokens, chosen)


def test_from_the_prefix_cache(subject: Subject) -> None:
    with subject.engine() as engine:
        for _ in range(2):
            before = engine.stats().cached_tokens
            tokens = answer(engine, list(subject.prompts.values()))
            subject.check(tokens)
        reused = engine.stats().cached_tokens - before
        blocks = sum((len(prompt) - 1) // 16 for prompt in subject.prompts.values())
        assert reused == 16 * blocks, "every full block of every prompt should have been found"


def test_features_found_without_the_prefix(subject: Subject, engine: Engine) -> None:
    """A picture seen before, behind another beginning: its features come from the cache, its keys and values do not."""
    answer(engine, [subject.prompts["image"]])
    before = engine.stats()
    changed = [{"role": "system", "content": "Answer."}, *CASES["image"].messages]
    prompt = engine.prepare(changed, GenerationOptions())
    tokens = answer(engine, [prompt])[0]
    after = engine.stats()
    assert (after.feature_misses, after.cached_tokens) == (before.feature_misses, before.cached_tokens)
    assert tokens == subject.oracle.greedy(prompt, NEW_TOKENS, guess=tokens).token_ids


def test_preempted(subject: Subject) -> None:
    """A cache too small for all: the youngest are thrown out in the middle of their answers, and come to the same
    end.
    """
    chosen = [case for case in CASES if case != "long"]
    longest = max(len(subject.prompts[case]) for case in chosen)
    blocks = -(-(longest + NEW_TOKENS) // 16) + 14
    with subject.engine(num_blocks=blocks) as engine:
        tokens = answer(engine, [subject.prompts[case] for case in reversed(chosen)])
        assert engine.stats().preemptions > 0
    subject.check(tokens, reversed(chosen))


def test_modes_mixed_in_one_batch(moe_subject: Subject) -> None:
    """Each request gets what the oracle gives with `num_experts_per_tok` set to its number, and no other's cache."""
    modes: list[tuple[str | int, int]] = [("fast", 2), ("balanced", 3), ("full", 4), (1, 1)]
    chosen = ["text", "image", "video_and_image"]
    with moe_subject.engine() as engine:
        for _ in range(2):  # the second time from the prefix cache
            streams = {
                (case, count): engine.stream_prompt(
                    moe_subject.prompts[case],
                    GenerationOptions(**GREEDY, mode=mode),  # type: ignore[arg-type]
                )
                for case in chosen
                for mode, count in modes
            }
            tokens = {key: [t for delta in stream for t in delta.token_ids] for key, stream in streams.items()}
            engine.check_invariants()
            for (case, count), got in tokens.items():
                assert got == moe_subject.greedy(case, got, count).token_ids, (case, count)
    answers = {tuple(tokens["image", count]) for _, count in modes}
    assert len(answers) > 1, "modes that give one answer show nothing"


def test_a_mode_never_finds_another_modes_prefix(moe_subject: Subject) -> None:
    with moe_subject.engine() as engine:
        prompt = moe_subject.prompts["image"]
        answer(engine, [prompt], mode="full")
        before = engine.stats()
        answer(engine, [prompt], mode="fast")
        after = engine.stats()
        assert after.cached_tokens == before.cached_tokens
        assert after.feature_misses == before.feature_misses, "what the vision tower found does not depend on the mode"
        answer(engine, [prompt], mode="fast")
        assert engine.stats().cached_tokens > after.cached_tokens
