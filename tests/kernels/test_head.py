"""Logits from a head in two planes: the compiled kernel against plain torch, and both against all eight bits."""

from __future__ import annotations

import pytest
import torch

from qwen3vl.kernels.cpu.library import Level
from qwen3vl.kernels.head import REFINED, logits, logits_reference
from qwen3vl.kernels.linear import packed_linear_reference, round_activations
from qwen3vl.kernels.norm import Norm
from qwen3vl.kernels.packed import LANES, PackedMatrix, Packing
from tests.support.cpu import LEVELS

PACKING = Packing(8, 128, planes=True)
# A norm's last bit may decide to which byte an activation is rounded, and that reaches all logits of its row.
ROUNDED = 0.1


def head(vocabulary: int, hidden: int) -> tuple[PackedMatrix, Norm]:
    generator = torch.Generator().manual_seed(vocabulary)
    weight = PackedMatrix.of(torch.randn(vocabulary, hidden, generator=generator), PACKING)
    return weight, Norm(torch.rand(hidden, generator=generator) + 0.5, 1e-6)


def hidden_states(rows: int, hidden: int) -> torch.Tensor:
    return torch.randn(rows, hidden, generator=torch.Generator().manual_seed(rows))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("rows", "vocabulary", "hidden"),
    [(1, 5000, 300), (2, 4097, 256), (3, 1040, 64), (9, 3001, 777), (33, 2000, 128), (70, 2000, 256), (5, 100, 200)],
)
def test_the_kernel_equals_the_reference(rows: int, vocabulary: int, hidden: int, level: Level) -> None:
    weight, norm = head(vocabulary, hidden)
    x = hidden_states(rows, hidden)
    difference = (logits(x, weight, norm, level=level) - logits_reference(x, weight, norm)).abs()
    assert (difference > 1e-3).float().mean() < ROUNDED


@pytest.mark.parametrize("level", [Level.NONE, *LEVELS])
def test_the_largest_have_eight_bits_and_the_rest_four(level: Level) -> None:
    weight, norm = head(6000, 256)
    x = hidden_states(4, 256)
    found, full = logits(x, weight, norm, level=level), packed_linear_reference(x, weight, norm=norm)
    exact = (found - full).abs() < 1e-3
    largest = full.topk(20).indices
    assert exact.gather(1, largest).all()
    assert torch.equal(found.topk(20).indices, largest)
    # 64 of 375 blocks, and among the others those few whose estimate happens to be good.
    assert (exact.sum(1) >= REFINED * LANES).all()
    assert (exact.sum(1) < 1.02 * REFINED * LANES).all()
    rounded = round_activations(norm(x), PACKING.group)
    low = weight.planes[1].dequantize()
    assert ((found - full).abs() <= rounded.abs() @ low.abs().T + 1e-3).all()


@pytest.mark.parametrize("level", LEVELS)
def test_a_row_does_not_depend_on_its_neighbours(level: Level) -> None:
    """A seed promises the same answer whatever else is in the batch."""
    weight, norm = head(4000, 128)
    x = hidden_states(100, 128)
    together = logits(x, weight, norm, level=level)
    for row in (0, 7, 99):
        assert torch.equal(logits(x[row : row + 1], weight, norm, level=level)[0], together[row])


@pytest.mark.parametrize("level", LEVELS)
def test_a_small_vocabulary_has_eight_bits_everywhere(level: Level) -> None:
    weight, norm = head(REFINED * LANES - 5, 128)
    x = hidden_states(9, 128)
    difference = (logits(x, weight, norm, level=level) - packed_linear_reference(x, weight, norm=norm)).abs()
    assert (difference > 1e-3).float().mean() < ROUNDED


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_not_a_number_stays_so_and_harms_nobody_else(level: Level) -> None:
    weight, norm = head(3000, 128)
    x = hidden_states(3, 128)
    expected = logits(x, weight, norm, level=level)
    x[1, 5] = torch.nan
    found = logits(x, weight, norm, level=level)
    assert found[1].isnan().all()
    assert torch.equal(found[::2], expected[::2])
