"""The compiled kernels of the CPU: finds the library and knows its C interface (`source/calls.h`).

Where the package was installed without a compiler, or the processor is not one that the library knows, `best_level()`
is NONE and each operation takes its torch path.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
from collections.abc import Sequence
from contextlib import suppress
from enum import IntEnum
from math import prod
from pathlib import Path

import torch

_HUGE_PAGE = 2**21
_NO_MEMORY = 2  # what `qwen3vl_run` returns then
LARGEST_HEAD = 512  # of attention
LIBRARY = Path(__file__).with_name("libqwen3vl.so")


class Level(IntEnum):
    NONE = 0
    AVX2 = 1
    AVX512 = 2  # with VNNI
    AMX = 3  # and tiles of bfloat16, for products of many rows


_POINTER, _INT, _FLOAT = ctypes.c_void_p, ctypes.c_int32, ctypes.c_float


# What numbers are stored as, beside codes of so many bits.
FORMATS = {torch.float32: 32, torch.bfloat16: 16, torch.int8: 8}


class Matrix(ctypes.Structure):
    _fields_ = (
        ("data", _POINTER),
        ("rows", _INT),
        ("columns", _INT),
        ("halves", _INT),
        ("group", _INT),
        ("format", _INT),
    )


class Cache(ctypes.Structure):
    _fields_ = (
        ("keys", _POINTER),
        ("values", _POINTER),
        ("key_scales", _POINTER),
        ("value_scales", _POINTER),
        ("block_size", _INT),
        ("kv_heads", _INT),
        ("head_size", _INT),
        ("format", _INT),
    )


class Linear(ctypes.Structure):
    kind = 0
    _fields_ = (
        ("matrix", Matrix),
        ("x", _POINTER),
        ("rows", _INT),
        ("stride", _INT),
        ("norm", _POINTER),
        ("eps", _FLOAT),
        ("bias", _POINTER),
        ("residual", _POINTER),
        ("swiglu", _INT),
        ("y", _POINTER),
    )


class Route(ctypes.Structure):
    kind = 1
    _fields_ = (
        ("x", _POINTER),
        ("tokens", _INT),
        ("hidden", _INT),
        ("norm", _POINTER),
        ("eps", _FLOAT),
        ("router", _POINTER),
        ("experts", _INT),
        ("top_k", _INT),
        ("active", _POINTER),
        ("normed", _POINTER),
        ("weights", _POINTER),
        ("indices", _POINTER),
    )


class Experts(ctypes.Structure):
    kind = 2
    _fields_ = (
        ("gate_up", Matrix),
        ("down", Matrix),
        ("x", _POINTER),
        ("tokens", _INT),
        ("top_k", _INT),
        ("experts", _INT),
        ("weights", _POINTER),
        ("indices", _POINTER),
        ("residual", _POINTER),
        ("y", _POINTER),
    )


class HeadsToCache(ctypes.Structure):
    kind = 3
    _fields_ = (
        ("cache", Cache),
        ("qkv", _POINTER),
        ("tokens", _INT),
        ("heads", _INT),
        ("query_norm", _POINTER),
        ("key_norm", _POINTER),
        ("eps", _FLOAT),
        ("cosines", _POINTER),
        ("sines", _POINTER),
        ("slots", _POINTER),
        ("queries", _POINTER),
    )


class Attention(ctypes.Structure):
    kind = 4
    _fields_ = (
        ("cache", Cache),
        ("queries", _POINTER),
        ("sequences", _INT),
        ("heads", _INT),
        ("tables", _POINTER),
        ("stride", _INT),
        ("scale", _FLOAT),
        ("lengths", _POINTER),
        ("y", _POINTER),
    )


class ManyAttention(ctypes.Structure):
    kind = 5
    _fields_ = (
        ("cache", Cache),
        ("queries", _POINTER),
        ("sequences", _INT),
        ("heads", _INT),
        ("starts", _POINTER),
        ("tables", _POINTER),
        ("stride", _INT),
        ("scale", _FLOAT),
        ("lengths", _POINTER),
        ("y", _POINTER),
    )


class Head(ctypes.Structure):
    kind = 6
    _fields_ = (
        ("high", Matrix),
        ("low", Matrix),
        ("x", _POINTER),
        ("rows", _INT),
        ("norm", _POINTER),
        ("eps", _FLOAT),
        ("refined", _INT),
        ("y", _POINTER),
    )


class PictureAttention(ctypes.Structure):
    kind = 7
    _fields_ = (
        ("qkv", _POINTER),
        ("pictures", _INT),
        ("heads", _INT),
        ("head_size", _INT),
        ("starts", _POINTER),
        ("cosines", _POINTER),
        ("sines", _POINTER),
        ("scale", _FLOAT),
        ("y", _POINTER),
    )


class Lookup(ctypes.Structure):
    kind = 8
    _fields_ = (
        ("high", Matrix),
        ("low", Matrix),
        ("indices", _POINTER),
        ("count", _INT),
        ("y", _POINTER),
    )


Operation = Linear | Route | Experts | HeadsToCache | Attention | ManyAttention | Head | PictureAttention | Lookup


class _Entry(ctypes.Structure):
    _fields_ = (("kind", _INT), ("call", _POINTER))


class Choice(ctypes.Structure):
    _fields_ = (
        ("x", _POINTER),
        ("rows", _INT),
        ("columns", _INT),
        ("group", _INT),
        ("middle", _INT),
        ("low", _INT),
        ("high", _INT),
        ("tries", _INT),
        ("widest", _FLOAT),
        ("narrowest", _FLOAT),
        ("codes", _POINTER),
        ("scales", _POINTER),
    )


@functools.cache
def library() -> ctypes.CDLL | None:
    """The library, or None where the package was installed without a compiler."""
    return ctypes.CDLL(str(LIBRARY)) if LIBRARY.is_file() else None


@functools.cache
def best_level() -> Level:
    """The best instruction set that both the library and this processor have."""
    loaded = library()
    return Level.NONE if loaded is None else Level(loaded.qwen3vl_best_level())


@functools.cache
def multiplies_bfloat16(level: Level | None = None) -> bool:
    """Whether a level (None: the best) has an instruction for products of bfloat16 on this processor; not, where there
    is no library to ask.
    """
    loaded = library()
    return loaded is not None and bool(loaded.qwen3vl_multiplies_bfloat16(best_level() if level is None else level))


def pages(*shape: int) -> torch.Tensor:
    """Bytes of a large weight, all 0, in memory that asks the system for huge pages: a step reads all of it, and with
    small ones some of the time goes into finding them.
    """
    size = prod(shape)
    if size < _HUGE_PAGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.zeros(shape, dtype=torch.uint8)
    # Shared memory, which it would be without flags, has a switch of its own for huge pages, and that is mostly off.
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel without them
        memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=torch.uint8).view(shape)


def compiled(level: Level | None) -> bool:
    """Whether an operation that was asked for a level (None: the best) has compiled code to run."""
    return (best_level() if level is None else level) is not Level.NONE


class Program:
    """Operations that run one after the other in one call, whose threads wait for each other but never sleep between
    them. It holds addresses: whoever makes it keeps the tensors.
    """

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._operations = list(operations)  # the entries point to them
        entries = [_Entry(each.kind, ctypes.addressof(each)) for each in self._operations]
        self._entries = (_Entry * len(entries))(*entries)

    def run(self, *, level: Level | None = None) -> None:
        """With as many threads as torch uses. `level`: for tests; else the best."""
        _call("run", level, self._entries, len(self._entries))


def run(operation: Operation, *, level: Level | None = None) -> None:
    """One operation by itself."""
    Program([operation]).run(level=level)


def choose(choice: Choice, *, level: Level | None = None) -> None:
    """The search for a matrix's codes."""
    _call("choose", level, ctypes.byref(choice))


def _call(name: str, level: Level | None, *arguments: object) -> None:
    loaded = library()
    assert loaded is not None, "the caller asks `compiled` first"
    function = getattr(loaded, f"qwen3vl_{name}")
    failed = function(best_level() if level is None else level, torch.get_num_threads(), *arguments)
    if failed == _NO_MEMORY:
        raise MemoryError("a kernel's scratch memory cannot be had")
    assert not failed, f"this processor lacks {level!r}"


def address(tensor: torch.Tensor | None, dtype: torch.dtype = torch.float32) -> int | None:
    """Where a tensor's numbers lie, for the C interface: contiguous, on the CPU, of the type that is expected there."""
    if tensor is None:
        return None
    assert tensor.dtype == dtype
    assert tensor.device.type == "cpu"
    assert tensor.is_contiguous()
    return tensor.data_ptr()
