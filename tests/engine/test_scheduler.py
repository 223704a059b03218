"""Who computes what in a step. No model: a step's chunks are noted as computed, and who could sample gets a token."""

from __future__ import annotations

import itertools
import random
from typing import cast

import pytest
import torch

from qwen3vl.engine.blocks import BlockPool
from qwen3vl.engine.options import GenerationOptions
from qwen3vl.engine.sampler import SamplingState
from qwen3vl.engine.scheduler import Chunk, Scheduler
from qwen3vl.engine.sequence import Request, Sequence
from qwen3vl.engine.text import OutputText
from qwen3vl.prompt.types import Prompt

BLOCK = 4
_fresh = itertools.count()


def sequence(length: int, *, beginning: list[int] | None = None) -> Sequence:
    """A sequence whose prompt begins with the given tokens and goes on with ones that no other has."""
    known = beginning or []
    token_ids = known + [next(_fresh) for _ in range(length - len(known))]
    prompt = Prompt(token_ids, torch.zeros(3, length, dtype=torch.long), 0, [])
    request = Request(next(_fresh), prompt, GenerationOptions(), 1, lambda item: None)
    made = Sequence(
        request=request,
        index=0,
        max_tokens=1000,
        sampling=cast(SamplingState, None),  # neither is looked at here
        text=cast(OutputText, None),
        token_ids=list(token_ids),
    )
    request.sequences.append(made)
    return made


def scheduler(num_blocks: int = 100, *, step_tokens: int = 64, max_running: int = 8) -> Scheduler:
    return Scheduler(BlockPool(num_blocks), BLOCK, step_tokens=step_tokens, max_running=max_running)


def compute(scheduler: Scheduler, chunks: list[Chunk]) -> None:
    """What the engine does with a plan."""
    for chunk in chunks:
        wanted = chunk.rows
        scheduler.commit(chunk)
        if wanted:
            chunk.sequence.token_ids.append(next(_fresh))
    scheduler.check()


def step(scheduler: Scheduler) -> dict[Sequence, int]:
    """Plans and computes one step. Returns how many tokens of which sequence."""
    chunks = scheduler.schedule()
    compute(scheduler, chunks)
    return {chunk.sequence: chunk.length for chunk in chunks}


def add(scheduler: Scheduler, *sequences: Sequence) -> None:
    for each in sequences:
        scheduler.add(each)


def test_no_more_run_than_may() -> None:
    queue = scheduler(max_running=2)
    first, second, third, fourth = (sequence(3) for _ in range(4))
    add(queue, first, second, third, fourth)
    assert step(queue) == {first: 3, second: 3}
    assert step(queue) == {first: 1, second: 1}
    assert queue.running == [first, second]
    queue.finish(first)
    assert step(queue) == {second: 1, third: 3}, "who waited longest comes next"
    assert list(queue.waiting) == [fourth]


def test_a_newcomer_who_would_push_someone_out_waits() -> None:
    queue = scheduler(num_blocks=4)
    runs, large = sequence(7), sequence(9)
    add(queue, runs)
    step(queue)
    add(queue, large)
    assert step(queue) == {runs: 1}
    assert list(queue.waiting) == [large]
    queue.finish(runs)
    assert step(queue) == {large: 9}
    assert queue.num_preemptions == 0


def test_a_newcomer_who_just_fits_comes_in() -> None:
    queue = scheduler(num_blocks=4)
    runs, fits = sequence(7), sequence(8)
    add(queue, runs, fits)
    assert step(queue) == {runs: 7, fits: 8}


def test_a_small_newcomer_does_not_overtake_a_large_one() -> None:
    queue = scheduler(num_blocks=4)
    runs, large, small = sequence(7), sequence(9), sequence(3)
    add(queue, runs, large, small)
    assert step(queue) == {runs: 7}
    assert list(queue.waiting) == [large, small]


def test_blocks_of_a_known_prefix_are_free_only_once() -> None:
    """The two free blocks hold the newcomer's beginning: taken up again, they leave nothing for its third."""
    queue = scheduler(num_blocks=4)
    before, runs = sequence(8), sequence(7)
    add(queue, before, runs)
    step(queue)
    queue.finish(before)
    assert queue.pool.num_free == 2
    again = sequence(10, beginning=before.token_ids[:8])
    add(queue, again)
    assert step(queue) == {runs: 1}
    queue.finish(runs)
    assert step(queue) == {again: 2}, "and when there is room, they are not computed again"


def test_blocks_shared_with_someone_who_runs_cost_nothing() -> None:
    queue = scheduler(num_blocks=4)
    runs = sequence(9)
    add(queue, runs)
    step(queue)
    same = sequence(10, beginning=runs.token_ids[:8])
    add(queue, same)
    assert step(queue) == {runs: 1, same: 2}
    assert queue.pool.num_free == 0


def test_decoding_goes_on_while_a_long_prompt_is_read() -> None:
    queue = scheduler(step_tokens=6)
    decodes, reads = sequence(3), sequence(13)
    add(queue, decodes)
    step(queue)
    add(queue, reads)
    assert [step(queue) for _ in range(3)] == [{decodes: 1, reads: 5}, {decodes: 1, reads: 5}, {decodes: 1, reads: 3}]


def read_in_part(queue: Scheduler, reading: int) -> tuple[Sequence, Sequence]:
    """Two that run: one that decodes and, as if it had come first, one that has read four of `reading` tokens."""
    decodes, reads = sequence(3), sequence(reading)
    add(queue, decodes)
    step(queue)
    add(queue, reads)
    queue.step_tokens = 5
    assert step(queue) == {decodes: 1, reads: 4}
    queue.running.reverse()
    return decodes, reads


def decode_until(queue: Scheduler, num_free: int) -> None:
    """Lets only the one that decodes go on, until it has taken all blocks but `num_free`."""
    queue.step_tokens = 1
    while queue.pool.num_free > num_free:
        step(queue)


def test_decoding_comes_before_reading_whoever_is_older() -> None:
    queue = scheduler()
    decodes, reads = read_in_part(queue, 20)
    queue.step_tokens = 6
    assert step(queue) == {decodes: 1, reads: 5}


def test_the_youngest_gives_way_and_the_oldest_takes_its_whole_chunk() -> None:
    queue = scheduler(num_blocks=6)
    decodes, reads = read_in_part(queue, 16)
    decode_until(queue, num_free=0)
    queue.step_tokens = 8
    assert step(queue) == {reads: 7}, "what the step has left beside the one token planned for the youngest"
    assert list(queue.waiting) == [decodes]
    assert queue.num_preemptions == 1
    assert decodes.num_computed == 0
    assert not decodes.blocks


def test_of_those_who_decode_the_youngest_gives_way() -> None:
    queue = scheduler(num_blocks=3)
    oldest, middle, youngest = sequence(4), sequence(3), sequence(2)
    add(queue, oldest, middle, youngest)
    assert len(step(queue)) == 3
    waits = sequence(2)
    add(queue, waits)
    assert step(queue) == {oldest: 1, middle: 1}
    assert list(queue.waiting) == [youngest, waits], "who gave way comes back before those who never ran"
    queue.finish(oldest)
    assert step(queue) == {middle: 1, youngest: 3}


def test_a_short_space_is_filled_before_someone_gives_way() -> None:
    queue = scheduler(num_blocks=6)
    decodes, reads = read_in_part(queue, 16)
    decode_until(queue, num_free=1)
    queue.step_tokens = 8
    assert step(queue) == {decodes: 1, reads: 4}, "one block is left, and four of seven tokens fit"
    assert queue.num_preemptions == 0


def test_chunks_come_by_kind_then_by_context() -> None:
    queue = scheduler()
    decoding = [sequence(length) for length in (9, 5, 7)]
    add(queue, *decoding)
    step(queue)
    add(queue, *(sequence(length) for length in (6, 3)))
    chunks = queue.schedule()
    assert [(chunk.length, chunk.end) for chunk in chunks] == [(1, 6), (1, 8), (1, 10), (3, 3), (6, 6)]


def test_the_tokens_of_a_step_are_kept_to_and_used() -> None:
    queue = scheduler(step_tokens=10)
    add(queue, sequence(4), sequence(13), sequence(8))
    assert [sum(step(queue).values()) for _ in range(4)] == [10, 10, 8, 3]


def test_rows_of_logits_are_as_few_as_may_run() -> None:
    """An answer that is to be scored wants one for each of its tokens, so it is read in pieces."""
    queue = scheduler(max_running=4)
    scored, decodes = sequence(6), sequence(3)
    scored.token_ids += [next(_fresh) for _ in range(9)]
    scored.scores = []
    add(queue, decodes)
    step(queue)
    add(queue, scored)
    pieces = []
    while scored in queue.running or scored in queue.waiting:
        chunks = {chunk.sequence: chunk for chunk in queue.schedule()}
        assert len(chunks[decodes].rows) == 1
        pieces.append(chunks[scored].rows)
        queue.commit(chunks[scored])
        queue.commit(chunks[decodes])
        decodes.token_ids.append(next(_fresh))
        scored.scores += [0.0] * len(pieces[-1])
        if len(scored.scores) == 9:
            queue.finish(scored)
        queue.check()
    assert pieces == [range(5, 8), range(8, 11), range(11, 14)]


@pytest.mark.parametrize(("step_tokens", "max_running"), [(5, 6), (16, 3), (40, 6)])
def test_random_arrivals_and_departures_end_well(step_tokens: int, max_running: int) -> None:
    """Every step keeps its bounds and does something, the oldest never gives way, and all come to their end."""
    rng = random.Random(step_tokens)
    queue = scheduler(num_blocks=30, step_tokens=step_tokens, max_running=max_running)
    shared = [next(_fresh) for _ in range(50)]
    targets: dict[Sequence, int] = {}  # tokens of prompt and answer
    coming = 60
    while coming or targets:
        if coming and (not targets or rng.random() < 0.3):
            coming -= 1
            length = rng.randrange(1, 50)
            newcomer = sequence(length, beginning=shared[: rng.randrange(length)])
            targets[newcomer] = length + rng.randrange(1, 40)
            add(queue, newcomer)
        oldest = queue.running[:1]
        chunks = queue.schedule()
        assert 0 < sum(chunk.length for chunk in chunks) <= step_tokens
        assert len({chunk.sequence for chunk in chunks}) == len(chunks) <= len(queue.running) <= max_running
        assert all(chunk.sequence in queue.running for chunk in chunks)
        assert oldest in ([], queue.running[:1])
        compute(queue, chunks)
        for each in [each for each in targets if len(each.token_ids) >= targets[each] or rng.random() < 0.005]:
            queue.finish(each)
            del targets[each]
    queue.check()
    assert queue.num_preemptions > 0
    assert queue.pool.num_free == queue.pool.num_blocks
