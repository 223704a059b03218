from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(params=[1, 3], ids="{}-threads".format)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """How many compute: one alone, or several that share."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)
