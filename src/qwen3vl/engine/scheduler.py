"""Which tokens are computed in the next step: decode first, then prefill in chunks, then newcomers.

Knows sequences, blocks and budgets; no tensors. Sequences run in the order in which they came; when blocks run out
the one that came last gives its own up and is computed again later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from qwen3vl.engine.blocks import BlockPool
from qwen3vl.engine.sequence import Sequence


@dataclass(frozen=True)
class Chunk:
    """`length` tokens of a sequence, from the first that is not in the cache yet. Tokens of `draft`, which the sequence
    may turn out to have next, count as if it had them.
    """

    sequence: Sequence
    start: int
    length: int
    draft: tuple[int, ...] = ()
    active_experts: int | None = None  # None: as the request says

    @property
    def end(self) -> int:
        return self.start + self.length

    @property
    def token_ids(self) -> list[int]:
        known = self.sequence.token_ids
        first, last = max(self.start - len(known), 0), max(self.end - len(known), 0)
        return [*known[self.start : self.end], *self.draft[first:last]]

    @property
    def rows(self) -> range:
        """The tokens of the chunk whose logits are wanted, by their number in the sequence."""
        wanted = self.sequence.wanted_rows
        return range(max(self.start, wanted.start), min(self.end, wanted.stop + len(self.draft)))

    @property
    def decodes(self) -> bool:
        """Whether this is the last token of an answer that grows, and nothing else."""
        return self.length == 1 and bool(self.rows) and self.sequence.scores is None

    def with_draft(self, token_ids: tuple[int, ...]) -> Chunk:
        return replace(self, length=self.length + len(token_ids), draft=token_ids)


class Scheduler:
    def __init__(self, pool: BlockPool, block_size: int, *, step_tokens: int, max_running: int) -> None:
        self.pool = pool
        self.block_size = block_size
        self.step_tokens = step_tokens
        self.max_running = max_running
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []  # oldest first
        self.num_preemptions = 0

    def add(self, sequence: Sequence) -> None:
        self.waiting.append(sequence)

    def schedule(self) -> list[Chunk]:
        """Plans one step: chunks of one token first. Empty only when nothing waits or runs.

        It asks for `max_running` rows of logits at most, for which the memory plan has room, however long an answer is
        that somebody wants to have scored.
        """
        budget, rows = self.step_tokens, self.max_running
        chunks: dict[int, Chunk] = {}
        decoding_first = sorted(self.running, key=lambda sequence: sequence.num_remaining > 1)
        for sequence in decoding_first:
            if sequence in self.running:  # not preempted for an older one meanwhile
                chunk = self._grow(sequence, _length(sequence, budget, rows), chunks)
                budget, rows = _left(budget, rows, chunk)
        while budget and rows and self.waiting and len(self.running) < self.max_running:
            sequence = self.waiting[0]
            if not self._admit(sequence):
                break
            self.waiting.popleft()
            self.running.append(sequence)
            chunk = self._grow(sequence, _length(sequence, budget, rows), chunks)
            budget, rows = _left(budget, rows, chunk)
        return in_order(chunks.values())

    def reserve(self, chunk: Chunk, tokens: int) -> int:
        """Finds blocks for a draft behind `chunk`, of those that nobody holds. Returns for how many tokens, up to
        `tokens`, there is room now.
        """
        blocks = chunk.sequence.blocks
        tokens = min(tokens, (len(blocks) + self.pool.num_free) * self.block_size - chunk.end)
        blocks.extend(self.pool.allocate() for _ in range(self._blocks_for(chunk.end + tokens) - len(blocks)))
        return tokens

    def finish(self, sequence: Sequence) -> None:
        """Takes a sequence out, wherever it is, and frees its blocks."""
        if sequence in self.running:
            self.running.remove(sequence)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)
        self._release(sequence)

    def commit(self, chunk: Chunk) -> None:
        """Notes that a chunk has been computed, short of its draft: its full blocks can now be found by others."""
        self._note_computed(chunk.sequence, chunk.end - len(chunk.draft))

    def accept(self, sequence: Sequence) -> None:
        """Notes that the next token of a draft was right: the sequence has it now, and it has been computed."""
        self._note_computed(sequence, sequence.num_computed + 1)

    def _note_computed(self, sequence: Sequence, end: int) -> None:
        for number in range(sequence.num_computed // self.block_size, end // self.block_size):
            self.pool.register(sequence.blocks[number], sequence.keys.get(number, self.block_size))
        sequence.num_computed = end

    def _grow(self, sequence: Sequence, length: int, chunks: dict[int, Chunk]) -> Chunk | None:
        """Finds blocks for the next `length` tokens of a running sequence, or for as many as there are blocks for."""
        if length == 0:
            return None
        wanted = length
        while True:
            needed = self._blocks_for(sequence.num_computed + length) - len(sequence.blocks)
            if needed <= self.pool.num_free:
                break
            length = (len(sequence.blocks) + self.pool.num_free) * self.block_size - sequence.num_computed
            if length > 0:
                continue
            length = wanted
            youngest = self.running[-1]
            chunks.pop(id(youngest), None)
            self._preempt(youngest)
            if youngest is sequence:
                return None
        sequence.blocks.extend(self.pool.allocate() for _ in range(needed))
        chunk = chunks[id(sequence)] = Chunk(sequence, sequence.num_computed, length)
        return chunk

    def _admit(self, sequence: Sequence) -> bool:
        """Takes over the blocks of a known prefix. Refuses while the rest would have to push out somebody who runs."""
        known = self._known_prefix(sequence)
        revived = sum(self.pool.is_free(block) for block in known)
        needed = self._blocks_for(len(sequence.token_ids)) - len(known)
        if self.running and needed + revived > self.pool.num_free:
            return False
        for block in known:
            self.pool.take(block)
        sequence.blocks = known
        sequence.num_computed = len(known) * self.block_size
        return True

    def _known_prefix(self, sequence: Sequence) -> list[int]:
        """Blocks in the cache that hold the sequence's beginning, short of the first token whose logits are wanted."""
        blocks: list[int] = []
        for number in range(sequence.wanted_rows.start // self.block_size):
            block = self.pool.find(sequence.keys.get(number, self.block_size))
            if block is None:
                break
            blocks.append(block)
        return blocks

    def _preempt(self, sequence: Sequence) -> None:
        self.running.remove(sequence)
        self._release(sequence)
        self.waiting.appendleft(sequence)
        self.num_preemptions += 1

    def _release(self, sequence: Sequence) -> None:
        # Last block first: the beginning of a prefix is worth most to others, so it is the last to be taken.
        for block in reversed(sequence.blocks):
            self.pool.release(block)
        sequence.blocks = []
        sequence.num_computed = 0
        sequence.features.clear()

    def _blocks_for(self, tokens: int) -> int:
        return -(-tokens // self.block_size)

    def check(self) -> None:
        """Asserts that blocks, references and sequences agree; for tests, between steps."""
        held: dict[int, int] = {}
        for sequence in self.running:
            assert not sequence.finished, "a finished sequence still runs"
            assert sequence.num_remaining > 0, "a running sequence has nothing to compute"
            assert len(sequence.blocks) >= self._blocks_for(sequence.num_computed), "computed tokens without a block"
            for block in sequence.blocks:
                held[block] = held.get(block, 0) + 1
        for sequence in self.waiting:
            assert not sequence.blocks, "a waiting sequence holds blocks"
            assert sequence.num_computed == 0, "a waiting sequence counts computed tokens"
        self.pool.check(held)


def in_order(chunks: Iterable[Chunk]) -> list[Chunk]:
    """Single tokens first; by context within each kind, because sequences of like length can be attended together."""
    return sorted(chunks, key=lambda chunk: (chunk.length > 1, chunk.end))


def _length(sequence: Sequence, budget: int, rows: int) -> int:
    """How many of its tokens a sequence may compute in a step with room for `budget` tokens and `rows` of logits."""
    return min(sequence.num_remaining, budget, sequence.wanted_rows.start + rows - sequence.num_computed)


def _left(budget: int, rows: int, chunk: Chunk | None) -> tuple[int, int]:
    return (budget - chunk.length, rows - len(chunk.rows)) if chunk else (budget, rows)
