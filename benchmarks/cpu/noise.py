"""Random bits, faster than a disk takes them: weights here need no distribution, only finite and varied values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


class Noise:
    def __init__(self, seed: int) -> None:
        self.rng = np.random.Generator(np.random.SFC64(seed))

    def bytes(self, count: int) -> npt.NDArray[np.uint8]:
        """[count], to be written in. Ten times as fast as the generator's own `bytes`."""
        words = self.rng.integers(0, 2**64, -(-count // 8), dtype=np.uint64)
        return words.view(np.uint8)[:count]

    def bfloat16(self, count: int) -> npt.NDArray[np.uint16]:
        """[count] bfloat16 numbers as bits, of either sign, between 2^-7 and 2^-5."""
        bits = self.bytes(2 * count).view(np.uint16)
        bits &= 0x80FF  # keeps the sign, the last bit of the exponent and the mantissa
        bits |= 0x3C00
        return bits
