"""Blocks of the paged cache: who holds them, which are free, and which still hold a prefix that can be used again.

Knows only numbers and keys, no tensors. A block is free when nobody refers to it; a free block keeps its content, and
can be taken up again under its key, until it is the least recently freed one and somebody needs space.
"""

from __future__ import annotations

from collections import OrderedDict


class BlockPool:
    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self._references = [0] * num_blocks
        self._free: OrderedDict[int, None] = OrderedDict((block, None) for block in range(num_blocks))
        self._key_of: list[bytes | None] = [None] * num_blocks
        self._block_of: dict[bytes, int] = {}

    @property
    def num_free(self) -> int:
        return len(self._free)

    def allocate(self) -> int:
        """Takes the free block that was freed longest ago, and forgets what it held. The caller has looked at
        `num_free`.
        """
        block, _ = self._free.popitem(last=False)
        key = self._key_of[block]
        if key is not None:
            del self._block_of[key]
            self._key_of[block] = None
        self._references[block] = 1
        return block

    def release(self, block: int) -> None:
        self._references[block] -= 1
        assert self._references[block] >= 0, f"block {block} released once too often"
        if self._references[block] == 0:
            self._free[block] = None

    def find(self, key: bytes) -> int | None:
        """The block that holds the content of `key`, not yet referred to."""
        return self._block_of.get(key)

    def is_free(self, block: int) -> bool:
        return self._references[block] == 0

    def take(self, block: int) -> None:
        """Adds a reference to a block that `find` gave."""
        self._references[block] += 1
        self._free.pop(block, None)

    def register(self, block: int, key: bytes) -> None:
        """Says that a block in use is full and holds `key`. A second block with the same content stays anonymous."""
        if key not in self._block_of:
            self._block_of[key] = block
            self._key_of[block] = key

    def check(self, held: dict[int, int]) -> None:
        """Asserts that references, free list and keys agree with `held`: how many sequences hold each block."""
        for block in range(self.num_blocks):
            assert self._references[block] == held.get(block, 0), f"block {block}: wrong reference count"
            assert (block in self._free) == (self._references[block] == 0), f"block {block}: free list disagrees"
            key = self._key_of[block]
            assert key is None or self._block_of[key] == block, f"block {block}: key leads elsewhere"
        assert len(self._block_of) == sum(key is not None for key in self._key_of), "a key leads to no block"
