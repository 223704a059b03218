"""Drafts change no answer: not its tokens, nor where it ends, nor what is told about it, nor what the cache holds
afterwards. `test_draft_distribution.py` is about what answers are drawn from, `test_draft_costs.py` about whether
drafts are made.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import pytest
import torch

from qwen3vl import Engine
from qwen3vl.engine.build import EngineConfig
from qwen3vl.engine.grammar import Bits, Constraint, Grammar
from qwen3vl.engine.masks import MaskWriter
from qwen3vl.engine.options import GenerationOptions
from qwen3vl.engine.outputs import Result
from qwen3vl.engine.sequence import Sequence
from qwen3vl.engine.streams import collect
from qwen3vl.errors import InputError
from support.drafts import Teller, load, told_by, toy
from support.engines import Run, device, draft_always, is_idle, together, wait_until
from support.inputs import picture, user
from support.tiny import make_checkpoint

QUESTIONS = [
    [user("a b c " * 12)],
    [user("Hello")],
    [user("<td>1</td><td>2</td>\n" * 6 + "and so on")],
    [user(picture(128, 96, 3), "Read it.")],
]


@pytest.fixture(scope="module", params=["dense", "moe"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp(request.param)
    make_checkpoint(folder, moe=request.param == "moe", seed=3)
    return folder


@pytest.fixture(scope="module")
def plain(folder: Any) -> Iterator[Engine]:
    with load(folder, "off") as engine:
        yield engine


@pytest.fixture(scope="module")
def drafting(folder: Any) -> Iterator[Engine]:
    with load(folder, "auto") as engine:
        draft_always(engine)
        yield engine


@pytest.fixture(autouse=True)
def clean_afterwards(plain: Engine, drafting: Engine) -> Iterator[None]:
    yield
    for engine in (plain, drafting):
        wait_until(lambda engine=engine: is_idle(engine))  # type: ignore[misc]
        engine.check_invariants()
        assert engine.stats().free_blocks == engine.stats().total_blocks


def run(engine: Engine, messages: Any, **options: Any) -> Result:
    checked = GenerationOptions(**options)
    return collect(engine.stream_prompt(engine.prepare(messages, checked), checked), checked)


Said = Callable[..., Result]


@pytest.fixture(scope="module")
def said(plain: Engine) -> Said:
    """What is answered to a question without drafts; computed once."""
    known: dict[str, Result] = {}

    def said(question: int, **options: Any) -> Result:
        key = f"{question} {sorted(options.items())}"
        if key not in known:
            known[key] = run(plain, QUESTIONS[question], **options)
        return known[key]

    return said


def half_right(answers: list[list[int]], seed: int = 0) -> Teller:
    """Knows each choice's answer, and errs at random places."""
    rng = random.Random(seed)

    def tell(sequence: Sequence) -> list[int]:
        rest = answers[sequence.index][sequence.num_generated :]
        return [token + (rng.random() < 0.2) for token in rest] + [5, 6, 7]

    return tell


def same(drafted: Result, expected: Result) -> None:
    for got, want in zip(drafted.choices, expected.choices, strict=True):
        assert (got.token_ids, got.text, got.finish_reason) == (want.token_ids, want.text, want.finish_reason)
        assert (got.logprobs is None) == (want.logprobs is None)
        for a, b in zip(got.logprobs or [], want.logprobs or [], strict=True):
            assert (a.token_id, a.logprob) == (b.token_id, pytest.approx(b.logprob, abs=1e-4))
            assert [p for *_, p in a.top] == pytest.approx([p for *_, p in b.top], abs=1e-4)
    assert drafted.usage.completion_tokens == expected.usage.completion_tokens


@pytest.mark.parametrize("question", range(len(QUESTIONS)))
def test_greedy_tokens_are_the_same(said: Said, drafting: Engine, question: int) -> None:
    options = {"temperature": 0.0, "max_tokens": 150, "ignore_eos": True}
    expected = said(question, **options)
    got = run(drafting, QUESTIONS[question], **options)
    same(got, expected)
    assert got.usage.draft_tokens > got.usage.accepted_tokens > 0
    assert (expected.usage.draft_tokens, expected.usage.accepted_tokens) == (0, 0)


OPTIONS: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0.0},
    "drawn": {"temperature": 0.5},
    "cut": {"temperature": 0.8, "top_p": 0.7, "top_k": 30, "min_p": 0.01},
    "penalised": {"temperature": 1.0, "presence_penalty": 1.5, "frequency_penalty": 0.5, "repetition_penalty": 1.3},
    "greedy and penalised": {"temperature": 0.0, "frequency_penalty": 1.0, "repetition_penalty": 1.2},
    "with logprobs": {"temperature": 0.5, "logprobs": 3},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_seed_gives_the_same_answers(
    plain: Engine, drafting: Engine, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three choices, drafts right and wrong: each token is drawn with its own number, penalties and all.

    Rows computed together differ from rows computed alone in the last bits (1e-6 of the largest logit). At a
    temperature of 1 these random networks give each of 2,000 tokens a like share, and one number in some hundreds then
    falls so near the border of two tokens that these bits decide; hence the lower one.
    """
    options = {"max_tokens": 60, "ignore_eos": True, "seed": 4, "n": 3} | OPTIONS[name]
    expected = run(plain, QUESTIONS[0], **options)
    told_by(drafting, half_right([choice.token_ids for choice in expected.choices]), monkeypatch)
    got = run(drafting, QUESTIONS[0], **options)
    same(got, expected)
    assert got.usage.draft_tokens > got.usage.accepted_tokens > 60


def test_a_right_draft_is_written_in_one_step(said: Said, drafting: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"temperature": 0.0, "max_tokens": 46, "ignore_eos": True}
    expected = said(1, **options)
    told_by(drafting, lambda sequence: expected.token_ids[sequence.num_generated :], monkeypatch)
    before = drafting.stats()
    same(run(drafting, QUESTIONS[1], **options), expected)
    after = drafting.stats()
    assert after.steps - before.steps == 6, "the prompt, and nine tokens each"
    assert after.spec_decode_num_drafts - before.spec_decode_num_drafts == 5
    assert after.spec_decode_num_draft_tokens - before.spec_decode_num_draft_tokens == 40
    assert after.spec_decode_num_accepted_tokens - before.spec_decode_num_accepted_tokens == 40


def test_fewer_experts_are_another_model(
    plain: Engine, drafting: Engine, folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a mixture they draft what is often wrong; a request in Fast mode already, and a dense model, have nobody."""
    options = {"temperature": 0.0, "max_tokens": 40, "ignore_eos": True}
    monkeypatch.setattr(drafting._core.speculation, "_guess", lambda chunk, follower, most: ([], []))
    with drafting_by(drafting, "fast"):
        got = run(drafting, QUESTIONS[2], **options)
        same(got, run(plain, QUESTIONS[2], **options))
        if plain.info.is_moe:
            assert 0 < got.usage.accepted_tokens < got.usage.draft_tokens
            got = run(drafting, QUESTIONS[2], mode="fast", **options)
        assert got.usage.draft_tokens == 0


@pytest.mark.parametrize("max_tokens", [1, 2, 3, 9, 10, 11])
def test_an_answer_is_no_longer_than_it_may_be(
    said: Said, drafting: Engine, max_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"temperature": 0.0, "max_tokens": max_tokens, "ignore_eos": True}
    longer = said(1, **(options | {"max_tokens": 40})).token_ids
    told_by(drafting, lambda sequence: longer[sequence.num_generated :], monkeypatch)
    computed: list[int] = []

    def noted(run: Run) -> Run:
        return lambda chunks: computed.extend(chunk.end for chunk in chunks) or run(chunks)

    with device(drafting, noted):
        got = run(drafting, QUESTIONS[1], **options)
    assert (got.token_ids, got.finish_reason) == (longer[:max_tokens], "length")
    assert max(computed) < got.usage.prompt_tokens + max_tokens, "and no row was computed for nothing"


@pytest.mark.parametrize("end", range(1, 12))
def test_the_end_within_a_draft(
    plain: Engine, said: Said, drafting: Engine, end: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that ends the turn, and a stop string, at every place of a draft that goes on behind it."""
    options = {"temperature": 0.0, "max_tokens": 30, "ignore_eos": True, "repetition_penalty": 3.0}
    longer = said(0, **options)
    told_by(drafting, lambda sequence: longer.token_ids[sequence.num_generated :], monkeypatch)
    stop = plain.prompt_builder.tokenizer.decode(longer.token_ids[end : end + 2]).replace("\ufffd", "")
    if stop:
        same(*(run(engine, QUESTIONS[0], stop=stop, **options) for engine in (drafting, plain)))
    for engine in (plain, drafting):
        monkeypatch.setattr(engine._core, "eos_token_ids", frozenset({longer.token_ids[end]}))
    results = [run(engine, QUESTIONS[0], **(options | {"ignore_eos": False})) for engine in (drafting, plain)]
    same(*results)
    assert results[0].finish_reason == "stop"


def test_a_loop_is_seen_in_what_was_accepted(drafting: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that goes round by itself ends where it does without drafts; one that is only drafted is none."""
    tell: list[int] = [40, 41, 42] * 3
    told_by(drafting, lambda sequence: tell[sequence.num_generated % 3 :], monkeypatch)
    options: dict[str, Any] = {"temperature": 0.0, "max_tokens": 1000, "stop_loops": True, "ignore_eos": True}
    with device(drafting, toy(lambda tokens: 40 + len(tokens) % 3)):
        looping = run(drafting, QUESTIONS[1], **options)
    with device(drafting, toy(lambda tokens: 40 + len(tokens) % 3 if len(tokens) % 100 else 50)):
        honest = run(drafting, QUESTIONS[1], **options)
    assert (looping.finish_reason, honest.finish_reason) == ("loop", "length")
    assert len(looping.token_ids) == 832, "256 times three, and up to the next look"


@pytest.mark.parametrize("by", ["told", "lookup", "fast"])
def test_under_a_grammar(
    said: Said, drafting: Engine, by: Literal["told", "lookup", "fast"], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Masks go along with the draft, right or wrong, and the answer is the one without."""
    schema = {
        "type": "array",
        "items": {"type": "object", "properties": {"box": {"type": "array", "items": {"type": "integer"}}}},
        "minItems": 3,
        "maxItems": 3,
    }
    options: dict[str, Any] = {"temperature": 1.0, "top_k": 5, "seed": 2, "max_tokens": 200}
    options |= {"grammar": Grammar.json_schema(schema), "repetition_penalty": 1.05}
    expected = said(1, **options)
    if by == "told":
        told_by(drafting, half_right([expected.token_ids]), monkeypatch)
    with drafting_by(drafting, "fast" if by == "fast" else "lookup"):
        got = run(drafting, QUESTIONS[1], **options)
    same(got, expected)
    assert got.usage.accepted_tokens > 0


class drafting_by:
    """Within the block, drafts are made this way."""

    def __init__(self, engine: Engine, by: Literal["lookup", "fast"]) -> None:
        self._engine, self._by = engine, by

    def __enter__(self) -> None:
        draft_always(self._engine, self._by)

    def __exit__(self, *_: object) -> None:
        draft_always(self._engine)


@pytest.mark.parametrize("thinking", [False, True])
def test_masks_along_a_draft(plain: Engine, thinking: bool) -> None:
    """Row by row those of a constraint that took the tokens one by one; behind a token that cannot be, none."""
    tokenizer = plain.prompt_builder.tokenizer
    grammar = Grammar("regex", "(ab){3}c+d?")
    prompt = tokenizer.encode("<think>\n" if thinking else "x")
    draft = tokenizer.encode("hm</think>\n\nababab" if thinking else "ababa")
    wrong = tokenizer.encode("x")

    def constraint() -> Constraint:
        return plain._grammars.constraint(grammar, prompt)

    expected: dict[int, Bits] = {}
    step_by_step = constraint()
    for row, token_id in enumerate([*draft, None], 3):
        if step_by_step.active:
            expected[row] = step_by_step.allowed()
        if token_id is not None:
            step_by_step.take(token_id)
    assert len(expected) > 1

    free, bound, idle = (_Bound(each) for each in (None, constraint(), None))
    writer = MaskWriter()
    for extra in ([], wrong, wrong):  # a second time: the first left nothing behind
        drafted = [(free, [1, 1]), (bound, [*draft, *extra]), (idle, [])]
        allowed, errors = writer.begin(drafted).wait()  # type: ignore[arg-type]
        assert set(allowed) == set(expected)
        assert all(np.array_equal(allowed[row], bits) for row, bits in expected.items())
        assert not {row for row in errors if row < 3 + len(draft) + 1}
    writer.close()


class _Bound:
    def __init__(self, constraint: Constraint | None) -> None:
        self.constraint = constraint


@pytest.mark.parametrize("by", ["lookup", "fast"])
def test_the_cache_holds_what_it_held_without(plain: Engine, drafting: Engine, by: Literal["lookup", "fast"]) -> None:
    """Every block that both engines know by its key holds the same keys and values: none of a wrong draft, and none of
    a draft by fewer experts.
    """
    options = {"temperature": 0.0, "max_tokens": 60, "ignore_eos": True}
    with drafting_by(drafting, by):
        for question in QUESTIONS[:3]:
            same(run(drafting, question, **options), run(plain, question, **options))
    places = [dict(engine._core.scheduler.pool._block_of) for engine in (plain, drafting)]
    common = set(places[0]) & set(places[1])
    assert len(common) > 3 * 15
    for ours, theirs in zip(drafting._core.runner.cache, plain._core.runner.cache, strict=True):
        for key in common:
            for name in ("keys", "values"):
                a, b = getattr(ours, name)[places[1][key]], getattr(theirs, name)[places[0][key]]
                assert torch.allclose(a, b, atol=1e-4 * float(b.abs().max()), rtol=1e-4)


def test_drafts_push_nobody_out(folder: Any) -> None:
    """With no block to spare, those who run do so as far as they would; then who came last gives way as always."""
    config = EngineConfig(num_blocks=24, block_size=4, max_running=6)
    options = GenerationOptions(temperature=0.0, max_tokens=24, ignore_eos=True)
    answers = []
    for speculation in ("off", "auto"):
        with load(folder, speculation, config=config) as engine:  # type: ignore[arg-type]
            if speculation == "auto":
                draft_always(engine)
            prompts = [engine.prepare([user(text)], options) for text in ("ab " * 6, "Hello", "c " * 9, "d")]
            streams = together(engine, [(prompt, options) for prompt in prompts])
            answers.append([collect(stream, options).token_ids for stream in streams])
            engine.check_invariants()
            assert engine.stats().preemptions > 0
            assert engine.stats().free_blocks == 24
    assert answers[0] == answers[1]


def test_rows_stay_within_the_plan_for_memory(drafting: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    told_by(drafting, lambda sequence: [1] * 8, monkeypatch)
    scheduler = drafting._core.scheduler
    monkeypatch.setattr(scheduler, "max_running", 7)
    options = GenerationOptions(temperature=0.0, max_tokens=20, ignore_eos=True)
    rows: list[int] = []

    def counted(run: Run) -> Run:
        return lambda chunks: rows.append(sum(len(chunk.rows) for chunk in chunks)) or run(chunks)  # type: ignore[func-returns-value]

    with device(drafting, counted):
        prompts = [drafting.prepare(question, options) for question in QUESTIONS[:3]]
        for stream in together(drafting, [(prompt, options) for prompt in prompts]):
            collect(stream, options)
    assert max(rows) == 7


def test_answers_to_others_help_and_need_not(folder: Any) -> None:
    options = {"temperature": 0.0, "max_tokens": 60, "ignore_eos": True}
    accepted = {}
    for remember in (True, False):
        config = EngineConfig(num_blocks=300, remember_answers=remember)
        with load(folder, "auto", config=config) as engine:
            draft_always(engine)
            first, second = (run(engine, QUESTIONS[1], **options) for _ in range(2))
            assert first.token_ids == second.token_ids
            accepted[remember] = second.usage.accepted_tokens - first.usage.accepted_tokens
    assert accepted[True] > 20
    assert accepted[False] < 5, "guesses are weighed a little better the second time"


def test_only_what_there_is_can_be_asked_for(folder: Any) -> None:
    with pytest.raises(InputError, match="speculation must be 'auto' or 'off', got 'on'"):
        Engine.load(folder, device="cpu", speculation="on")
