"""The CPU's instruction sets that a test can run on this machine."""

from __future__ import annotations

import pytest

from qwen3vl.kernels.cpu.library import Level, best_level

LEVELS = [
    pytest.param(
        level, id=level.name.lower(), marks=pytest.mark.skipif(level > best_level(), reason="not on this processor")
    )
    for level in (Level.AVX2, Level.AVX512, Level.AMX)
]
LEVELS_OF_BYTES = LEVELS[:2]  # whose products of many rows are those of a few
