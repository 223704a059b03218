"""Matrices of small integers: how values become codes, and how the codes lie in memory.

A group of consecutive columns of a row shares a scale: value = scale * (code - middle). Codes have 4 or 8 bits, scales
are half precision, and the middle of the range is 8 or 128.

Rows are stored 16 at a time and interleaved, so that one register holds the same columns of 16 outputs; `cpu/source/
matrix.h` draws the layout. A matrix of 8 bits may also be stored as the sum of two of 4, its planes, of which the first
alone is an estimate (`head.py`). On devices other than the CPU these classes are not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch

from qwen3vl.kernels.cpu import library as cpu

LANES = 16  # rows of a block
LEAST_LARGEST = 1e-36  # of a group of activations: 127 divided by less is no float32
_TRIES = 24  # scales that `choose_codes` compares for each group
_AT_ONCE = 1 << 24  # values that are quantised together: a vocabulary in float32 would be more than a gibibyte
_WIDEST, _NARROWEST = 8 / 7, 0.55  # of the scale that lets the largest value meet the range's longer end


@dataclass(frozen=True)
class Packing:
    """How a matrix is stored. `planes`: as two matrices of 4 bits; code = 16 high + low - 8."""

    bits: int
    group: int
    planes: bool = False

    def __post_init__(self) -> None:
        assert self.bits in (4, 8)
        assert self.group in (32, 64, 128)
        assert not self.planes or self.bits == 8

    @property
    def range(self) -> tuple[int, int]:
        """The least and the largest code that a search may choose, counted from the middle."""
        if self.planes:
            return -128, 119  # the largest is 16 * 15 + 15 - 8
        # A group's largest value may have either sign; of 8 bits the last negative one is not worth a search.
        return (-8, 7) if self.bits == 4 else (-127, 127)

    @property
    def plane(self) -> Packing:
        return Packing(4, self.group)

    def block_bytes(self, columns: int) -> int:
        """Of 16 rows, all planes together."""
        if self.planes:
            return 2 * self.plane.block_bytes(columns)
        return -(-columns // self.group) * self.group_bytes

    @property
    def group_bytes(self) -> int:
        """Of a group of columns of 16 rows."""
        return LANES * (self.group * self.bits // 8 + 2)

    def bytes(self, rows: int, columns: int, halves: int = 1) -> int:
        return -(-rows // halves // LANES) * halves * self.block_bytes(columns)


@dataclass(frozen=True)
class Codes:
    """A matrix as integers, before it is packed."""

    codes: torch.Tensor  # [rows, columns] uint8; columns may be padded to whole groups
    scales: torch.Tensor  # [rows, groups] float16


@dataclass(frozen=True)
class PackedMatrix:
    """One matrix, or several of one shape (the experts of a layer), in the layout of the CPU's kernels.

    `halves` is 2 where the rows are two matrices of the same size, such as gate and up: each is padded to whole blocks
    by itself, so that the kernels find a pair at the same place of both.
    """

    data: torch.Tensor  # [*batch, blocks, block_bytes] uint8; with planes [2, blocks, half of them]
    rows: int  # of both halves together
    columns: int
    packing: Packing
    halves: int = 1

    @classmethod
    def empty(
        cls, rows: int, columns: int, packing: Packing, *, halves: int = 1, batch: Sequence[int] = ()
    ) -> PackedMatrix:
        assert rows % halves == 0
        blocks = -(-rows // halves // LANES) * halves
        if packing.planes:
            assert not batch
            batch, stored = (2,), packing.plane
        else:
            stored = packing
        data = cpu.pages(*batch, blocks, stored.block_bytes(columns))
        return cls(data, rows, columns, packing, halves)

    @classmethod
    def of(cls, values: torch.Tensor, packing: Packing, *, halves: int = 1) -> PackedMatrix:
        """Quantises [*batch, rows, columns]."""
        *batch, rows, columns = values.shape
        matrix = cls.empty(rows, columns, packing, halves=halves, batch=batch)
        for index in range(prod(batch)):
            one = values.reshape(-1, rows, columns)[index]
            matrix.flat(index).store_codes(choose_codes(one, packing))
        return matrix

    @property
    def shape(self) -> tuple[int, ...]:
        batch = () if self.packing.planes else self.data.shape[:-2]
        return (*batch, self.rows, self.columns)

    @cached_property
    def planes(self) -> tuple[PackedMatrix, PackedMatrix]:
        """The two matrices of which it is the sum, the high one first; they share its memory."""
        assert self.packing.planes
        high, low = (PackedMatrix(data, self.rows, self.columns, self.packing.plane, self.halves) for data in self.data)
        return high, low

    def flat(self, index: int) -> PackedMatrix:
        """One matrix of a batch; shares its memory."""
        if self.packing.planes:
            assert index == 0
            return self
        data = self.data.view(-1, *self.data.shape[-2:])[index]
        return PackedMatrix(data, self.rows, self.columns, self.packing, self.halves)

    def store_codes(self, codes: Codes, first_row: int = 0) -> None:
        """Packs rows from `first_row` on; other rows stay as they are."""
        if self.packing.planes:
            high = (codes.codes + 8) >> 4
            parts = Codes(high, 16 * codes.scales), Codes(codes.codes + 8 - (high << 4), codes.scales)
            for plane, part in zip(self.planes, parts, strict=True):
                plane.store_codes(part, first_row)
            return
        rows = len(codes.codes)
        per_half = self.rows // self.halves
        place = torch.arange(first_row, first_row + rows)
        place = place + (place // per_half) * (-per_half % LANES)  # padding of the first half
        words, scales = self._lanes()
        words[place // LANES, :, :, place % LANES] = _split(codes.codes, self.packing)
        scales[place // LANES, :, place % LANES] = codes.scales

    def dequantize(self) -> torch.Tensor:
        """[*batch, rows, columns] float32."""
        if self.packing.planes:
            high, low = self.planes
            return high.dequantize() + low.dequantize()
        if self.data.dim() > 2:
            flat = [self.flat(index).dequantize() for index in range(prod(self.data.shape[:-2]))]
            return torch.stack(flat).view(self.shape)
        group, groups = self.packing.group, -(-self.columns // self.packing.group)
        words, scales = self._lanes()
        codes = _join(words.flatten(1, 2), self.packing)  # [blocks, 16, padded columns]
        scales = scales.transpose(1, 2)[..., None].float()
        values = (torch.unflatten(codes, -1, (groups, group)).float() - middle(self.packing)) * scales
        halves = values.view(self.halves, -1, groups * group)[:, : self.rows // self.halves, : self.columns]
        return halves.reshape(self.rows, self.columns)

    def rows_at(self, indices: torch.Tensor) -> torch.Tensor:
        """Values of some rows of a single matrix, [len(indices), columns] float32. Raises `IndexError` for one that is
        not there.
        """
        if self.packing.planes:
            high, low = self.planes
            return high.rows_at(indices) + low.rows_at(indices)
        assert self.data.dim() == 2
        assert self.halves == 1
        if not ((indices >= 0) & (indices < self.rows)).all():  # rows that pad the last block are none
            raise IndexError(f"rows {indices.tolist()} of a matrix that has {self.rows}")
        block, lane = indices // LANES, indices % LANES
        words, scales = self._lanes()
        words = words.view(torch.int32)[..., 0][block, :, :, lane]  # 4 bytes at a time
        codes = _join(words.view(torch.uint8).view(len(indices), -1, 1, 4), self.packing)[:, 0]
        scales = scales[block, :, lane][..., None].float()
        values = (torch.unflatten(codes, -1, (-1, self.packing.group)).float() - middle(self.packing)) * scales
        return values.flatten(1)[:, : self.columns].contiguous()

    def for_kernels(self) -> cpu.Matrix:
        """As the compiled kernels take it; of a batch, the first."""
        assert not self.packing.planes, "one plane at a time"
        return cpu.Matrix(
            cpu.address(self.data, torch.uint8),
            self.rows // self.halves,
            self.columns,
            self.halves,
            self.packing.group,
            self.packing.bits,
        )

    def _lanes(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Views of all blocks: codes [blocks, groups, words, 16, 4] uint8, scales [blocks, groups, 16] float16."""
        groups = torch.unflatten(self.data, 1, (-1, self.packing.group_bytes))
        end = self.packing.group_bytes - 2 * LANES  # of the codes
        return torch.unflatten(groups[..., :end], 2, (-1, LANES, 4)), groups[..., end:].view(torch.float16)


@dataclass(frozen=True)
class PackedRows:
    """Rows of a packed matrix, or of each of a batch, as a place for values: what is copied in is quantised.

    `swapped`: values come with the input dimension first, as the released checkpoints store experts.
    """

    matrix: PackedMatrix
    first: int
    count: int
    swapped: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        size = (self.count, self.matrix.columns)
        return (*self.matrix.shape[:-2], *(reversed(size) if self.swapped else size))

    def dim(self) -> int:
        return len(self.matrix.shape)

    def __getitem__(self, index: int) -> PackedRows:
        """One matrix of a batch."""
        return PackedRows(self.matrix.flat(index), self.first, self.count, self.swapped)

    def narrow(self, dim: int, start: int, length: int) -> PackedRows:
        """Fewer outputs; `dim` is the outputs' dimension."""
        assert dim % self.dim() == self.dim() - (1 if self.swapped else 2)
        return PackedRows(self.matrix, self.first + start, length, self.swapped)

    def copy_(self, values: torch.Tensor) -> None:
        """Raises `ValueError` for what has no codes."""
        values = values.transpose(-1, -2) if self.swapped else values
        step = max(1, _AT_ONCE // self.matrix.columns)
        for start in range(0, self.count, step):
            codes = choose_codes(values[start : start + step], self.matrix.packing)
            if not codes.scales.isfinite().all():
                raise ValueError("a number in it is not finite, or too large for a scale of half precision")
            self.matrix.store_codes(codes, self.first + start)


def middle(packing: Packing) -> int:
    """The code of zero."""
    return 1 << (packing.bits - 1)


def choose_codes(values: torch.Tensor, packing: Packing, *, level: cpu.Level | None = None) -> Codes:
    """Codes and scales of [rows, columns] with the least squared error that a search finds for each group.

    The first scale covers the largest value on either side, as rounding to nearest would have it. Then narrower ones
    are tried, which clip it and serve the many small ones better, and for each the scale that fits its codes best by
    least squares. With 8 bits the largest values alone decide. The scale of a group is no finite number
    where one of its values is none. `level`: as in `linear`.
    """
    padded = torch.nn.functional.pad(values.float(), (0, -values.shape[1] % packing.group)).contiguous()
    tries = 1 if packing.bits == 8 else _TRIES
    if not cpu.compiled(level):
        return _choose_reference(padded, packing, tries)
    codes = torch.empty(padded.shape, dtype=torch.uint8)
    scales = torch.empty(len(padded), padded.shape[1] // packing.group, dtype=torch.float16)
    call = cpu.Choice(
        cpu.address(padded),
        *padded.shape,
        packing.group,
        middle(packing),
        *packing.range,
        tries,
        _WIDEST,
        _NARROWEST,
        cpu.address(codes, torch.uint8),
        cpu.address(scales, torch.float16),
    )
    cpu.choose(call, level=level)
    return Codes(codes, scales)


def _choose_reference(padded: torch.Tensor, packing: Packing, tries: int) -> Codes:
    low, high = packing.range
    padded = torch.unflatten(padded, 1, (-1, packing.group))
    extreme = padded.gather(-1, padded.abs().argmax(-1, keepdim=True))  # [rows, groups, 1]
    # The range may have more negative codes than positive ones: the extreme takes the longer side.
    whole = extreme / low
    if tries == 1:
        other = (padded * -extreme.sign()).amax(-1, keepdim=True) / high
        whole = torch.where(other > whole.abs(), whole.sign() * other, whole)
    best_scale, best_error = torch.full_like(whole, torch.nan), torch.full_like(whole, torch.inf)
    for step in range(tries):
        scale = whole * (_WIDEST - (_WIDEST - _NARROWEST) * step / _TRIES) if tries > 1 else whole
        codes = _round(padded, scale, low, high)
        fitted = (codes * padded).sum(-1, keepdim=True) / codes.square().sum(-1, keepdim=True).clamp(min=1)
        scale = (fitted if tries > 1 else scale).half().float()
        codes = _round(padded, scale, low, high)
        error = (codes * scale - padded).square().sum(-1, keepdim=True)
        better = error < best_error
        best_scale, best_error = torch.where(better, scale, best_scale), torch.where(better, error, best_error)
    codes = (_round(padded, best_scale, low, high).nan_to_num(low) + middle(packing)).to(torch.uint8)
    return Codes(codes.flatten(1), best_scale[..., 0].half())


def _round(values: torch.Tensor, scale: torch.Tensor, low: int, high: int) -> torch.Tensor:
    inverse = torch.where(scale == 0, 0.0, 1 / scale)
    return (values * inverse).round().clamp_(low, high)


def _split(codes: torch.Tensor, packing: Packing) -> torch.Tensor:
    """[rows, columns] codes as bytes [rows, groups, words, 4], the words in the order of the layout. Pads columns."""
    padding = -codes.shape[1] % packing.group
    if padding:
        codes = torch.nn.functional.pad(codes, (0, padding), value=middle(packing))
    words = torch.unflatten(codes, 1, (-1, packing.group // 4, 4))
    return words if packing.bits == 8 else words[:, :, 0::2] | words[:, :, 1::2] << 4


def _join(words: torch.Tensor, packing: Packing) -> torch.Tensor:
    """[blocks, words, 16, 4] bytes as codes [blocks, 16, padded columns]."""
    words = words.transpose(1, 2)
    if packing.bits == 4:
        words = torch.stack((words & 15, words >> 4), dim=3)
    return words.flatten(2)
