"""The sampler against the reference library's logits processors, and its draws against the distribution they should
follow.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from qwen3vl.engine import sampler
from qwen3vl.engine.grammar import Bits
from qwen3vl.engine.sampler import SampledToken, SamplingParams, SamplingState, sample

VOCABULARY = 40
NEUTRAL = SamplingParams(
    temperature=1.0,
    top_k=0,
    top_p=1.0,
    min_p=0.0,
    presence_penalty=0.0,
    frequency_penalty=0.0,
    repetition_penalty=1.0,
)


def logits_for(seed: int, rows: int = 1) -> torch.Tensor:
    return torch.randn(rows, VOCABULARY, generator=torch.Generator().manual_seed(seed)) * 2


def sampled(logits: torch.Tensor, states: list[SamplingState], num_logprobs: list[int | None]) -> list[SampledToken]:
    """`sample` for rows that hold numbers only: each gets a token, which its state records."""
    tokens = [token for token in sample(logits.clone(), states, num_logprobs) if token is not None]
    for state, token in zip(states, tokens, strict=True):
        state.record(token.token_id)
    return tokens


def frequencies(logits: torch.Tensor, params: SamplingParams, draws: int = 6000) -> torch.Tensor:
    """How often each token comes up, the row drawn in large batches by sequences with seeds of their own."""
    counts = torch.zeros(VOCABULARY)
    for start in range(0, draws, 2000):
        states = [SamplingState(params, seed, []) for seed in range(start, start + 2000)]
        tokens = sampled(logits.expand(2000, -1), states, [None] * 2000)
        counts += torch.bincount(torch.tensor([token.token_id for token in tokens]), minlength=VOCABULARY)
    return counts / draws


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"temperature": 0.5},
        {"top_k": 5},
        {"top_p": 0.7},
        {"min_p": 0.2},
        {"temperature": 1.7, "top_k": 12, "top_p": 0.9, "min_p": 0.05},
        {"temperature": 0.7, "top_k": 20, "top_p": 0.8},
    ],
)
def test_draws_follow_the_reference_distribution(changes: dict[str, float]) -> None:
    params = replace(NEUTRAL, **changes)  # type: ignore[arg-type]
    logits = logits_for(3)
    warped = TemperatureLogitsWarper(params.temperature)(None, logits)
    if params.top_k:
        warped = TopKLogitsWarper(params.top_k)(None, warped)
    if params.top_p < 1:
        warped = TopPLogitsWarper(params.top_p)(None, warped)
    if params.min_p:
        warped = MinPLogitsWarper(params.min_p)(None, warped)  # type: ignore[arg-type]
    expected = warped.softmax(-1)[0]
    seen = frequencies(logits, params)
    assert seen[expected == 0].sum() == 0, "a token that was cut came up"
    deviation = (seen - expected).abs()
    assert (deviation <= 4 * (expected * (1 - expected) / 6000).sqrt() + 1e-3).all()


@pytest.mark.parametrize("changes", [{"top_k": 5}, {"top_p": 0.6}, {"min_p": 0.1}, {"top_k": 9, "top_p": 0.8}, {}])
def test_the_largest_draw_falls_on_no_token_that_was_cut(
    changes: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A draw just below one is one in float32, and so as large as the sum of all that is kept."""
    params = replace(NEUTRAL, **changes)  # type: ignore[arg-type]
    logits = logits_for(5, rows=50)
    probabilities, ids = logits.softmax(-1).sort(-1, descending=True)
    ranks = torch.arange(VOCABULARY)
    kept = ranks < (params.top_k or VOCABULARY)
    cut = probabilities * kept
    cut /= cut.sum(-1, keepdim=True)
    kept = kept & (cut.cumsum(-1) - cut < params.top_p) & (cut >= params.min_p * cut[:, :1])
    last = ids.gather(-1, kept.sum(-1, keepdim=True) - 1)[:, 0]
    monkeypatch.setattr(SamplingState, "draw", lambda state: 1 - 2**-53)
    tokens = sampled(logits, [SamplingState(params, 0, []) for _ in range(50)], [None] * 50)
    assert [token.token_id for token in tokens] == last.tolist()


def test_rows_with_different_options_do_not_disturb_each_other() -> None:
    logits = logits_for(4, rows=4)
    options = [replace(NEUTRAL, temperature=0.0), NEUTRAL, replace(NEUTRAL, top_k=2), replace(NEUTRAL, top_p=0.4)]
    together = sampled(logits, [SamplingState(p, 7, []) for p in options], [None] * 4)
    alone = [sampled(logits[i : i + 1], [SamplingState(p, 7, [])], [None])[0] for i, p in enumerate(options)]
    assert together == alone
    assert together[0].token_id == int(logits[0].argmax())


def test_a_seed_repeats_its_draws() -> None:
    first, second = (SamplingState(NEUTRAL, 11, []) for _ in range(2))
    rows = [logits_for(i) for i in range(20)]
    assert [sampled(r, [first], [None]) for r in rows] == [sampled(r, [second], [None]) for r in rows]


def test_a_row_that_is_not_a_number_gives_no_token() -> None:
    logits = logits_for(6, rows=4)
    logits[1, 3] = torch.nan
    logits[2] = torch.nan
    options = [NEUTRAL, replace(NEUTRAL, top_k=3), replace(NEUTRAL, temperature=0.0), replace(NEUTRAL, min_p=0.1)]
    got = sample(logits, [SamplingState(p, 2, []) for p in options], [None] * 4)
    assert got[1] is None
    assert got[2] is None
    for row in (0, 3):
        assert got[row] == sample(logits[row : row + 1], [SamplingState(options[row], 2, [])], [None])[0]


@pytest.mark.parametrize("temperature", [1e-3, 1e-4, 1e-5, 1e-40])
def test_next_to_no_temperature_is_greedy(temperature: float) -> None:
    logits = logits_for(8, rows=20) * 10
    states = [SamplingState(replace(NEUTRAL, temperature=temperature), seed, []) for seed in range(20)]
    tokens = sampled(logits, states, [None] * 20)
    assert [token.token_id for token in tokens] == logits.argmax(-1).tolist()


def test_repetition_penalty_equals_the_reference() -> None:
    prompt, penalty = [3, 5, 5, 8], 1.3
    state = SamplingState(replace(NEUTRAL, temperature=0.0, repetition_penalty=penalty), 0, prompt)
    history = list(prompt)
    for step in range(12):
        logits = logits_for(step)
        expected = RepetitionPenaltyLogitsProcessor(penalty)(torch.tensor([history]), logits.clone()).argmax()
        token = sampled(logits, [state], [None])[0].token_id
        assert token == int(expected)
        history.append(token)


@pytest.mark.parametrize(("presence", "frequency"), [(1.5, 0.0), (0.0, 0.7), (-1.0, 0.5)])
def test_presence_and_frequency_count_the_answer_only(presence: float, frequency: float) -> None:
    """OpenAI's formula: logit - count * frequency - (count > 0) * presence, over the tokens sampled so far."""
    params = replace(NEUTRAL, temperature=0.0, presence_penalty=presence, frequency_penalty=frequency)
    state = SamplingState(params, 0, [1, 2, 3])
    counts = torch.zeros(VOCABULARY)
    for step in range(15):
        logits = logits_for(step % 3)  # the same favourites come back
        expected = int((logits[0] - counts * frequency - (counts > 0) * presence).argmax())
        assert sampled(logits, [state], [None])[0].token_id == expected
        counts[expected] += 1


def penalised(logits: torch.Tensor, states: list[SamplingState]) -> torch.Tensor:
    logits = logits.clone()
    sampler._penalise(logits, states)
    return logits


def test_penalties_of_a_long_answer_of_mixed_rows_and_of_tokens_ahead() -> None:
    """Against the definition over the whole vocabulary, for more tokens than a state has room for at first; the row
    between has no penalty, and tokens that are only assumed count too.
    """
    first, second = [7, 7, 1010], [1011]
    penalties = ({"repetition_penalty": 1.4, "presence_penalty": 1}, {"frequency_penalty": 0.02, "presence_penalty": 0})
    params = [replace(NEUTRAL, temperature=0.0, **penalty) for penalty in penalties]  # type: ignore[arg-type]
    states = [SamplingState(each, 0, prompt) for each, prompt in zip(params, (first, second), strict=True)]
    answer = torch.randint(0, 1000, (900,), generator=torch.Generator().manual_seed(0)).tolist()
    for token in answer:
        for state in states:
            state.record(token)
    ahead = [states[0].ahead([1001, 1001, 5]), SamplingState(NEUTRAL, 0, []), states[1].ahead([1001, 1001, 5])]
    logits = torch.randn(3, 1024, generator=torch.Generator().manual_seed(1))
    counts = torch.bincount(torch.tensor([*answer, 1001, 1001, 5]), minlength=1024)
    seen = (counts > 0) | (torch.bincount(torch.tensor(first), minlength=1024) > 0)
    repeated = torch.where(logits[0] > 0, logits[0] / 1.4, logits[0] * 1.4)
    expected = logits.clone()
    expected[0] = torch.where(seen, repeated, logits[0]) - 1.0 * (counts > 0)
    expected[2] = logits[2] - 0.02 * counts
    torch.testing.assert_close(penalised(logits, ahead), expected)
    counts = torch.bincount(torch.tensor(answer), minlength=1024)
    expected = logits[:1] - 0.02 * counts
    torch.testing.assert_close(penalised(logits[:1], states[1:]), expected)


def test_logprobs_are_the_models_own() -> None:
    """Before penalties and temperature, most likely first."""
    logits = logits_for(9)
    state = SamplingState(replace(NEUTRAL, temperature=0.3, presence_penalty=1.0), 0, [])
    for seen in logits[0].topk(3).indices.tolist():
        state.record(seen)
    logprobs = logits[0].log_softmax(-1)
    [token] = sample(logits, [state], [5])
    assert token is not None
    assert not torch.equal(logits[0].log_softmax(-1), logprobs), "the penalty is at work"
    assert token.logprob == pytest.approx(float(logprobs[token.token_id]))
    best = logprobs.topk(5)
    assert [t for t, _ in token.top] == best.indices.tolist()
    assert [p for _, p in token.top] == pytest.approx(best.values.tolist())


def bits_of(allowed: list[int]) -> Bits:
    bits = np.zeros(-(-VOCABULARY // 32) * 32, dtype=np.uint8)
    bits[allowed] = 1
    return np.packbits(bits, bitorder="little").view(np.int32)


@pytest.mark.parametrize("changes", [{}, {"temperature": 0.0}, {"top_k": 5}, {"top_p": 0.7, "min_p": 0.1}])
def test_what_is_forbidden_never_comes_and_the_rest_keeps_its_shares(changes: dict[str, float]) -> None:
    """As if the vocabulary had only the allowed tokens."""
    params = replace(NEUTRAL, **changes)  # type: ignore[arg-type]
    allowed = [1, 5, 6, 17, 31, 32, 39]
    logits = logits_for(8, rows=300)
    states = [SamplingState(params, seed, []) for seed in range(300)]
    tokens = [
        token
        for token in sample(logits.clone(), states, [None] * 300, dict.fromkeys(range(300), bits_of(allowed)))
        if token
    ]
    fewer = [SamplingState(params, seed, []) for seed in range(300)]
    expected = [token for token in sample(logits[:, allowed], fewer, [None] * 300) if token]
    assert [token.token_id for token in tokens] == [allowed[token.token_id] for token in expected]


def test_a_grammar_binds_its_own_rows_only() -> None:
    logits = logits_for(9, rows=4)
    states = [SamplingState(replace(NEUTRAL, temperature=0.0), 0, []) for _ in range(4)]
    best = logits.argmax(-1).tolist()
    worst = int(logits[2].argmin())
    tokens = [token for token in sample(logits.clone(), states, [1] * 4, {2: bits_of([worst])}) if token]
    assert [token.token_id for token in tokens] == [best[0], best[1], worst, best[3]]
    assert tokens[2].logprob == pytest.approx(float(logits[2].log_softmax(-1)[worst])), "the model's own, not 0"
    assert tokens[2].top[0][0] == best[2]


def test_the_largest_draw_falls_on_no_token_that_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SamplingState, "draw", lambda state: 1 - 2**-53)
    logits = logits_for(10, rows=50)
    allowed = [0, 3, 33]
    for changes in ({}, {"top_k": 20}):
        states = [SamplingState(replace(NEUTRAL, **changes), 0, []) for _ in range(50)]  # type: ignore[arg-type]
        tokens = sample(logits.clone(), states, [None] * 50, dict.fromkeys(range(50), bits_of(allowed)))
        assert {token.token_id for token in tokens if token} <= set(allowed)


def test_a_row_that_is_not_a_number_is_none_where_the_grammar_would_not_look() -> None:
    logits = logits_for(11)
    logits[0, 20] = torch.nan
    assert sample(logits, [SamplingState(NEUTRAL, 0, [])], [None], {0: bits_of([1, 2])}) == [None]
