"""Packed matrices: the choice of codes, the layout, and the compiled products against plain torch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from qwen3vl.kernels import packed
from qwen3vl.kernels.cpu import library as cpu
from qwen3vl.kernels.cpu.library import Level
from qwen3vl.kernels.experts import grouped_experts, packed_experts_reference, route
from qwen3vl.kernels.linear import linear, packed_linear_reference, round_activations
from qwen3vl.kernels.norm import Norm
from qwen3vl.kernels.packed import Codes, PackedMatrix, PackedRows, Packing, choose_codes
from tests.support.cpu import LEVELS, LEVELS_OF_BYTES

PACKINGS = [Packing(bits, group) for bits in (4, 8) for group in (32, 64, 128)]
PLANES = Packing(8, 64, planes=True)
SHAPES = [(48, 256), (100, 200), (33, 131), (16, 8)]


def name(packing: Packing) -> str:
    return f"int{packing.bits}-{packing.group}{'-planes' if packing.planes else ''}"


def random_codes(rows: int, columns: int, packing: Packing, generator: torch.Generator) -> Codes:
    groups = -(-columns // packing.group)
    top = 248 if packing.planes else 2**packing.bits
    codes = torch.randint(0, top, (rows, columns), generator=generator).to(torch.uint8)
    scales = (torch.rand(rows, groups, generator=generator) * 0.02 + 0.001).half()
    return Codes(codes, scales)


def values_of(codes: Codes, packing: Packing) -> torch.Tensor:
    """The definition: scale * (code - middle), one group after the other."""
    scales = codes.scales.float().repeat_interleave(packing.group, dim=1)[:, : codes.codes.shape[1]]
    return scales * (codes.codes.float() - 2 ** (packing.bits - 1))


@pytest.mark.parametrize("packing", [*PACKINGS, PLANES], ids=name)
@pytest.mark.parametrize(("rows", "columns"), SHAPES)
@pytest.mark.parametrize("halves", [1, 2])
def test_what_is_packed_comes_back(packing: Packing, rows: int, columns: int, halves: int) -> None:
    rows *= halves
    codes = random_codes(rows, columns, packing, torch.Generator().manual_seed(rows + columns))
    matrix = PackedMatrix.empty(rows, columns, packing, halves=halves)
    matrix.data.random_()
    first = rows // 3
    for part in (slice(0, first), slice(first, rows)):
        matrix.store_codes(Codes(codes.codes[part], codes.scales[part]), part.start)
    assert matrix.data.numel() == packing.bytes(rows, columns, halves)
    torch.testing.assert_close(matrix.dequantize(), values_of(codes, packing), rtol=0, atol=0)
    if halves == 1:
        some = torch.arange(0, rows, 7)
        assert torch.equal(matrix.rows_at(some), values_of(codes, packing)[some])


@pytest.mark.parametrize("packing", [*PACKINGS, PLANES], ids=name)
def test_the_choice_of_codes_is_no_worse_than_rounding_to_nearest(packing: Packing) -> None:
    """Group by group, on values with a long tail as weights have; int4 wins an eighth of the squared error at least."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(64, 512, generator=generator) * torch.rand(64, 512, generator=generator).exp()
    groups = values.unflatten(1, (-1, packing.group))
    largest = groups.abs().amax(-1, keepdim=True)
    scale = largest / (2 ** (packing.bits - 1) - 1)
    nearest = ((groups / scale).round() * scale - groups).square().sum(-1)
    chosen = PackedMatrix.of(values, packing).dequantize().unflatten(1, (-1, packing.group))
    error = (chosen - groups).square().sum(-1)
    if packing.bits == 4:
        assert (error <= nearest * 1.001).all()
        assert error.sum() < 0.875 * nearest.sum()
    else:  # the same rounding; scales in half precision, and in planes less room on one side
        assert error.sum() < (1.1 if packing.planes else 1.02) * nearest.sum()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("packing", [Packing(4, 32), Packing(4, 128), Packing(8, 64), PLANES], ids=name)
def test_the_compiled_search_finds_what_the_reference_finds(packing: Packing, level: Level) -> None:
    values = torch.randn(40, 200, generator=torch.Generator().manual_seed(3))
    values[3] = 0
    ours, reference = (choose_codes(values, packing, level=chosen) for chosen in (level, Level.NONE))
    # Sums are added in another order: where two scales fit about as well, the other may win.
    assert (ours.scales == reference.scales).float().mean() > 0.98
    padded = F.pad(values, (0, -200 % packing.group))
    errors = [(values_of(codes, packing) - padded).square().sum() for codes in (ours, reference)]
    torch.testing.assert_close(errors[0], errors[1], rtol=1e-4, atol=0)


def test_zeros_and_extremes_have_codes() -> None:
    packing = Packing(4, 32)
    values = torch.zeros(3, 64)
    values[1, 5], values[2, 40] = -7.0, 6e-5
    codes = choose_codes(values, packing)
    assert codes.scales.isfinite().all()
    back = values_of(codes, packing)
    assert (back[0] == 0).all()
    torch.testing.assert_close(back, values, rtol=2e-3, atol=1e-7)


@pytest.mark.parametrize("level", LEVELS_OF_BYTES)
@pytest.mark.parametrize("packing", PACKINGS, ids=name)
@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_product_equals_the_reference(packing: Packing, rows: int, columns: int, level: Level) -> None:
    generator = torch.Generator().manual_seed(rows)
    matrix = PackedMatrix.empty(2 * rows, columns, packing, halves=2)
    matrix.store_codes(random_codes(2 * rows, columns, packing, generator))
    weights, bias = matrix.dequantize(), torch.randn(2 * rows, generator=generator)
    norm = Norm(torch.rand(columns, generator=generator) + 0.5, 1e-6)
    for tokens in (1, 2, 3, 5, 8, 9, 40):
        x = torch.randn(tokens, columns, generator=generator)
        residual = torch.randn(tokens, 2 * rows, generator=generator)
        plain = linear(x, matrix, bias=bias, residual=residual, level=level)
        expected = round_activations(x, packing.group) @ weights.T + bias + residual
        torch.testing.assert_close(plain, expected, rtol=1e-4, atol=1e-4)
        # The norm differs in the last bit from torch's, and a number on the edge of two codes then falls to the other.
        fused = linear(x, matrix, norm=norm, swiglu=True, level=level)
        expected = packed_linear_reference(x, matrix, norm=norm, swiglu=True)
        assert (fused - expected).norm() < 3e-3 * expected.norm()


@pytest.mark.parametrize("level", LEVELS)
def test_rounding_of_activations_costs_little(level: Level) -> None:
    """The one loss that the kernel adds to the weights' own: under 1% of the result, with outliers in the input."""
    generator = torch.Generator().manual_seed(1)
    values, x = torch.randn(256, 1024, generator=generator), torch.randn(4, 1024, generator=generator)
    x[:, 100] *= 30
    matrix = PackedMatrix.of(values, Packing(4, 64))
    exact = F.linear(x, matrix.dequantize())
    assert (linear(x, matrix, level=level) - exact).norm() < 0.01 * exact.norm()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("packing", [Packing(4, 64), Packing(8, 128), Packing(4, 32)], ids=name)
@pytest.mark.parametrize(("hidden", "inner", "experts", "top_k"), [(128, 64, 8, 4), (72, 40, 5, 2)])
def test_experts_equal_the_reference(
    packing: Packing, hidden: int, inner: int, experts: int, top_k: int, level: Level
) -> None:
    generator = torch.Generator().manual_seed(hidden)
    gate_up = PackedMatrix.empty(2 * inner, hidden, packing, halves=2, batch=(experts,))
    down = PackedMatrix.empty(hidden, inner, packing, batch=(experts,))
    for expert in range(experts):
        for matrix in (gate_up.flat(expert), down.flat(expert)):
            matrix.store_codes(random_codes(matrix.rows, matrix.columns, packing, generator))
    for tokens in (1, 3, 50):
        x = torch.randn(tokens, hidden, generator=generator)
        active = torch.arange(tokens) % top_k + 1
        weights, indices = route(torch.randn(tokens, experts, generator=generator), active, top_k)
        residual = torch.randn(tokens, hidden, generator=generator)
        out = grouped_experts(x, gate_up, down, weights, indices, residual=residual, level=level)
        expected = packed_experts_reference(x, gate_up, down, weights, indices)
        assert (out - residual - expected).norm() < 3e-3 * expected.norm()
        assert torch.equal(grouped_experts(x, gate_up, down, weights, indices, residual=residual, level=level), out)


@pytest.mark.parametrize("swapped", [False, True])
def test_values_go_in_piece_by_piece(swapped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of both halves, in pieces that end anywhere: as if they had come at once, and no other row changes."""
    packing, values = Packing(4, 32), torch.randn(2 * 23, 70)
    whole = PackedMatrix.of(values, packing, halves=2)
    monkeypatch.setattr(packed, "_AT_ONCE", 7 * 70 + 3)
    for first, count in ((0, 46), (19, 16)):
        matrix = PackedMatrix.of(torch.zeros_like(values), packing, halves=2)
        before = matrix.dequantize()
        rows = slice(first, first + count)
        PackedRows(matrix, first, count, swapped).copy_(values[rows].T if swapped else values[rows])
        expected = before.clone()
        expected[rows] = whole.dequantize()[rows]
        assert torch.equal(matrix.dequantize(), expected)


@pytest.mark.parametrize("number", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("level", [*LEVELS, Level.NONE])
@pytest.mark.parametrize("packing", [Packing(4, 64), Packing(8, 128)], ids=name)
def test_a_single_column_that_is_no_number_is_not_passed_over(number: float, packing: Packing, level: Level) -> None:
    generator = torch.Generator().manual_seed(1)
    matrix = PackedMatrix.of(torch.randn(32, 200, generator=generator), packing)
    for rows in (1, 3, 40):
        x = torch.randn(rows, 200, generator=generator)
        good = linear(x, matrix, level=level)
        x[rows // 2, 77] = number
        out = linear(x, matrix, level=level)
        assert not out[rows // 2].isfinite().any()
        others = torch.arange(rows) != rows // 2
        assert torch.equal(out[others], good[others])


@pytest.mark.parametrize("level", [*LEVELS, Level.NONE])
def test_a_group_of_zeros_is_zero(level: Level) -> None:
    matrix = PackedMatrix.of(torch.randn(32, 128, generator=torch.Generator().manual_seed(1)), Packing(4, 64))
    x = torch.zeros(2, 128)
    x[1, 5] = 1.0
    out = linear(x, matrix, level=level)
    assert (out[0] == 0).all()
    torch.testing.assert_close(out[1], matrix.dequantize()[:, 5], rtol=1e-6, atol=0)


@pytest.mark.parametrize("number", [torch.nan, torch.inf, -torch.inf, 1e9])
@pytest.mark.parametrize("level", [*LEVELS, Level.NONE])
@pytest.mark.parametrize("packing", [Packing(4, 32), Packing(8, 64), PLANES], ids=name)
def test_what_has_no_codes_is_not_taken_for_zeros(number: float, packing: Packing, level: Level) -> None:
    values = torch.randn(3, 128, generator=torch.Generator().manual_seed(1))
    values[1, 70] = number
    scales = choose_codes(values, packing, level=level).scales
    assert (~scales.isfinite()).nonzero().tolist() == [[1, 70 // packing.group]]
    with pytest.raises(ValueError, match="not finite, or too large"):
        PackedRows(PackedMatrix.empty(3, 128, packing), 0, 3).copy_(values)


def test_rows_that_fill_a_block_up_are_zeros() -> None:
    values = torch.randn(17, 64, generator=torch.Generator().manual_seed(1))
    for packing in (Packing(4, 64), Packing(8, 64)):
        matrix = PackedMatrix.of(values, packing)
        filled = PackedMatrix(matrix.data, 32, 64, packing).dequantize()
        assert (filled[17:] == 0).all()


def test_scratch_memory_that_cannot_be_had_is_an_error_and_no_crash() -> None:
    if not cpu.multiplies_bfloat16():
        pytest.skip("no compiled attention of pictures here")
    starts = torch.tensor([0, 2**30])
    call = cpu.PictureAttention(None, 1, 4096, 128, starts.data_ptr(), None, None, 1.0, None)
    with pytest.raises(MemoryError):
        cpu.run(call)
