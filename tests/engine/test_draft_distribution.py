"""Drafts leave the distribution that answers are drawn from as it is."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from qwen3vl import Engine
from qwen3vl.engine.options import GenerationOptions
from qwen3vl.engine.sampler import SamplingParams, SamplingState, sample
from qwen3vl.engine.streams import collect
from qwen3vl.prompt.types import Prompt
from support.drafts import load, told_by, toy
from support.engines import device, draft_always, is_idle, wait_until
from support.inputs import user
from support.tiny import make_checkpoint

LETTERS = [60, 61, 62, 63]
TABLE = torch.randn(2, 4, generator=torch.Generator().manual_seed(2)) * 1.2


@pytest.fixture(scope="module")
def drafting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("dense")
    make_checkpoint(folder, moe=False, seed=3)  # what is asked is not the network
    with load(folder, "auto") as engine:
        draft_always(engine)
        yield engine


@pytest.fixture(autouse=True)
def clean_afterwards(drafting: Engine) -> Iterator[None]:
    yield
    wait_until(lambda: is_idle(drafting))
    drafting.check_invariants()
    assert drafting.stats().free_blocks == drafting.stats().total_blocks


def letters(tokens: list[int]) -> torch.Tensor:
    """Logits of a chain over four letters, which depend on whether the letter before was one of the first two."""
    row = TABLE[int(tokens[-1] in LETTERS[:2])]
    return torch.full((400,), -1e9).index_copy(0, torch.tensor(LETTERS), row)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.6, "top_k": 3},
        {"top_p": 0.8},
        {"presence_penalty": 0.9, "frequency_penalty": -0.7},
    ],
    ids=str,
)
def test_answers_follow_the_distribution(
    drafting: Engine, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chi-square of words of three letters against their probabilities, which are multiplied out; drafts are random."""
    rng = random.Random(1)
    told_by(drafting, lambda sequence: [rng.choice(LETTERS) for _ in range(3)], monkeypatch)
    checked = GenerationOptions(**({"max_tokens": 3, "temperature": 1.0, "n": 16, "ignore_eos": True} | options))
    prompt = drafting.prepare([user("Hello")], checked)
    words: Counter[tuple[int, ...]] = Counter()
    with device(drafting, toy(letters)):
        for seed in range(250):
            seeded = GenerationOptions(**(vars(checked) | {"seed": 16 * seed}))
            result = collect(drafting.stream_prompt(prompt, seeded), seeded)
            words.update(tuple(choice.token_ids) for choice in result.choices)
    assert result.usage.accepted_tokens > 0
    expected = {word: 4000 * probability(word, prompt, checked) for word in itertools.product(LETTERS, repeat=3)}
    assert sum(expected.values()) == pytest.approx(4000)
    assert all(expected[word] > 0 for word in words), "a word that cannot be"
    likely = {word: count for word, count in expected.items() if count >= 5}
    rest = 4000 - sum(likely.values())
    statistic = sum((words[word] - count) ** 2 / count for word, count in likely.items())
    if rest >= 1:
        statistic += (4000 - sum(words[word] for word in likely) - rest) ** 2 / rest
    freedom = len(likely) - 1 + (rest >= 1)
    # The 99.9th percentile, by Wilson and Hilferty.
    assert statistic < freedom * (1 - 2 / (9 * freedom) + 3.09 * math.sqrt(2 / (9 * freedom))) ** 3


def probability(word: tuple[int, ...], prompt: Prompt, options: GenerationOptions) -> float:
    """Of a word, letter by letter, from the definitions of the options."""
    share, said = 1.0, list(prompt.token_ids)
    for number, letter in enumerate(word):
        logits = letters(said)[LETTERS].double()
        counts = torch.tensor([word[:number].count(each) for each in LETTERS])
        logits -= (options.presence_penalty or 0.0) * (counts > 0) + options.frequency_penalty * counts
        ranked = (logits / (options.temperature or 1.0)).sort(descending=True)
        kept = ranked.values.masked_fill(torch.arange(4) >= (options.top_k or 4), -torch.inf).softmax(-1)
        kept = kept * (kept.cumsum(-1) - kept < (options.top_p or 1.0))
        kept /= kept.sum()
        share *= float(kept[ranked.indices.tolist().index(LETTERS.index(letter))])
        said.append(letter)
    return share


def test_sampling_ahead_is_sampling_later() -> None:
    """Rows behind a draft, all at once, against the same rows one after another; and nothing of it stays."""
    params = SamplingParams(1.0, 0, 1.0, 0.0, 0.8, 0.4, 1.3)
    rows = torch.randn(6, 40, generator=torch.Generator().manual_seed(1)) * 2
    step_by_step, at_once = (SamplingState(params, 9, [1, 2, 3]) for _ in range(2))
    tokens: list[int] = []
    for row in rows:
        drawn = sample(row[None].clone(), [step_by_step], [None])[0]
        assert drawn is not None
        step_by_step.record(drawn.token_id)
        tokens.append(drawn.token_id)
    for _ in range(2):
        states = [at_once.ahead(tokens[:count]) for count in range(6)]
        assert [token.token_id for token in sample(rows.clone(), states, [None] * 6) if token] == tokens
