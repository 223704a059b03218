"""What counts as a loop, and what is honest repetition."""

from __future__ import annotations

import itertools
import random
import re
import zlib

import pytest
import torch

from qwen3vl import Engine
from qwen3vl.engine.loops import LONGEST_PERIOD, LoopDetector, repeated_tokens
from qwen3vl.engine.options import GenerationOptions
from qwen3vl.engine.scheduler import Chunk
from qwen3vl.engine.streams import collect
from qwen3vl.errors import InputError
from support.engines import Run, device
from support.inputs import user


def caught_at(tokens: list[int]) -> int | None:
    """How many tokens it takes to see the loop."""
    detector = LoopDetector()
    return next((number for number, token in enumerate(tokens, 1) if detector.add(token)), None)


@pytest.mark.parametrize("period", [1, 2, 3, 4, 5, 17, 64, 100, 255, 256, 700, 1500, LONGEST_PERIOD])
@pytest.mark.parametrize("letters", [1, 3, 1000])
def test_a_loop_is_found_soon_after_there_is_evidence(period: int, letters: int) -> None:
    """Also one whose period repeats something itself: few letters, in runs longer than what is looked for at first."""
    rng = random.Random(period * letters)
    pieces = [[letter] * 20 for letter in range(letters)]
    once = [token for _ in range(period) for token in rng.choice(pieces)][:period]
    if letters == 1000:
        once = list(range(period))
    true_period = next(p for p in range(1, period + 1) if once[p:] + once[:p] == once)
    start = [5000 + i for i in range(rng.randrange(300))]
    evidence = len(start) + true_period + repeated_tokens(true_period)
    found = caught_at(start + once * (20000 // period))
    assert found is not None
    assert found < evidence + 64


def test_letters_in_pairs() -> None:
    """Where the last sixteen tokens were seen, they went on otherwise: x x y y, each after the same long text."""
    common = list(range(100, 150))
    once = [*common, 1, *common, 1, *common, 2, *common, 2]
    assert caught_at(once * 40) is not None


TEXTS = {
    "a rule of dashes": "-" * 100 + "\n",
    "a table's rule": "|" + "---|" * 60 + "\n",
    "an empty table": "<table>" + ("<tr>" + "<td></td>" * 8 + "</tr>\n") * 10 + "</table>",
    "rows that differ in a number": "".join(f"<tr><td>Item</td><td>{i}</td><td>0.00</td></tr>\n" for i in range(1000)),
    "counting": ", ".join(map(str, range(1, 1500))),
    "zeros": "[" + ", ".join(["0"] * 120) + "]",
    "boxes": "".join(f'{{"bbox_2d": [{i}, 10, {i + 9}, 20], "label": "brick"}},\n' for i in range(0, 900, 10)),
    "leader dots": "".join(f"Chapter {i} {'.' * 90} {i * 7}\n" for i in range(60)),
    "blank lines": "a" + "\n" * 100 + "b",
}


@pytest.mark.parametrize("name", TEXTS)
def test_honest_text_is_left_alone(name: str) -> None:
    """Letter by letter, which makes the longest runs, and in pieces such as a large vocabulary has."""
    text = TEXTS[name]
    assert caught_at([ord(letter) for letter in text]) is None
    pieces = re.findall(r"</?\w+|>|\s|\d|[^<>\s\d]{1,6}", text * (2 if name == "an empty table" else 1))
    assert caught_at([zlib.crc32(piece.encode()) % 2**31 for piece in pieces]) is None


def test_memory_is_bounded() -> None:
    """With random text, and with the worst there is: nearly a loop everywhere, never one."""
    rng = random.Random(1)
    for tokens in ([rng.randrange(1000) for _ in range(30_000)], [int(i % 201 == 0) * i for i in range(30_000)]):
        detector = LoopDetector()
        assert not any(detector.add(token) for token in tokens)
        assert len(detector._tokens) < 25_000


@pytest.mark.parametrize("stop_loops", [True, False])
def test_in_the_engine(stop_loops: bool) -> None:
    """The end of the loop is the last that is shown, and the reason says what it was."""
    options = GenerationOptions(max_tokens=900, temperature=0.0, stop_loops=stop_loops, ignore_eos=True)
    cycle = torch.tensor([40, 41, 42])

    def looping(run: Run) -> Run:
        """In the place of the network."""
        steps = itertools.count()

        def replaced(chunks: list[Chunk]) -> torch.Tensor:
            logits = torch.zeros(sum(len(chunk.rows) for chunk in chunks), 500)
            logits[:, cycle[next(steps) % 3]] = 1000.0
            return logits

        return replaced

    with Engine.load("tiny-moe", device="cpu", speculation="off") as engine, device(engine, looping):
        result = collect(engine.stream([user("Hello")], **vars(options)), options)
        name = engine.prompt_builder.tokenizer.decode([40, 41, 42])
    if stop_loops:
        assert result.finish_reason == "loop"
        assert 600 < len(result.token_ids) < 3 * 256 + 3 + 64
        assert result.text.startswith(name * 200)
    else:
        assert (result.finish_reason, len(result.token_ids)) == ("length", 900)


def test_the_option_is_a_truth_value() -> None:
    with pytest.raises(InputError, match="stop_loops"):
        GenerationOptions(stop_loops=1)  # type: ignore[arg-type]
