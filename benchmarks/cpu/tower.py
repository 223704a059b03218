"""The vision tower by itself, with random weights: where the time of a picture goes, and what the machine allows.

    python -m benchmarks.cpu.tower --shape 2b --size 1024x1024 512x512 [--dtype bfloat16] [--rounds 5]

Each round encodes one picture of every size, then computes the products with the tower's matrices alone and its
attention alone, on the same shapes. Prints median seconds, billions of multiplications a second, and the share of the
floor: all multiplications of the picture at the rate of the fastest of its products with a matrix in that round.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from benchmarks.cpu.report import machine
from benchmarks.random_checkpoint import released
from qwen3vl.checkpoints.config import VisionConfig
from qwen3vl.kernels.pictures import picture_attention
from qwen3vl.model.vision import VisionTower


def main() -> None:
    given = _arguments()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.threads])
    torch.set_num_threads(given.threads)
    dtype = getattr(torch, given.dtype)
    config = released(given.shape).config.vision
    print(
        f"{given.shape}, {given.dtype}, {given.threads} threads of {machine(given.threads)}, torch {torch.__version__}"
    )
    print(f"{'picture':>12}{'patches':>9}{'tower':>20}{'products':>18}{'attention':>18}{'floor':>10}{'share':>8}")
    with torch.inference_mode():
        tower = VisionTower(config).to(dtype).eval()
        for width, height in given.size:
            _print(Picture(config, tower, width // config.patch_size, height // config.patch_size, dtype), given.rounds)


@dataclass
class Product:
    """A product with one of the tower's matrices: rows of input, and how often a picture needs it."""

    run: Callable[[], object]
    multiplications: int
    times: int


class Picture:
    def __init__(self, config: VisionConfig, tower: VisionTower, columns: int, rows: int, dtype: torch.dtype) -> None:
        self.patches = rows * columns
        pixels = torch.randint(0, 256, (self.patches, config.patch_dim), dtype=torch.uint8)
        self.encode = lambda: tower(pixels, [(rows, columns)])
        block, mergers = tower.blocks[0], 1 + len(tower.deepstack_mergers)
        linears = [
            (tower.patch_embed, self.patches, 1),
            *((each, self.patches, config.depth) for each in (block.attn.qkv, block.attn.proj, block.fc1, block.fc2)),
            *((each, self.patches // config.merge_size**2, mergers) for each in (tower.merger.fc1, tower.merger.fc2)),
        ]
        self.products = [_product(linear, count, times, dtype) for linear, count, times in linears]
        qkv = torch.randn(self.patches, 3, config.num_heads, config.head_dim).to(dtype)
        angles = torch.rand(self.patches, 1, config.head_dim // 2)
        self.attend = lambda: picture_attention(
            qkv, angles.cos(), angles.sin(), [(1, self.patches)], config.head_dim**-0.5
        )
        self.depth = config.depth
        self.in_attention = 2 * self.patches**2 * config.hidden_size * config.depth
        self.in_products = sum(each.multiplications * each.times for each in self.products)


def _product(linear: torch.nn.Module, rows: int, times: int, dtype: torch.dtype) -> Product:
    outputs, inputs = linear.weight.shape
    x = torch.randn(rows, inputs).to(dtype)
    return Product(lambda: linear(x), rows * inputs * outputs, times)


def _print(picture: Picture, rounds: int) -> None:
    encoding, products, attention, floors = [], [], [], []
    picture.encode()
    for _ in range(rounds):
        encoding.append(_seconds(picture.encode))
        each = [(_seconds(product.run), product) for product in picture.products]
        products.append(sum(seconds * product.times for seconds, product in each))
        attention.append(picture.depth * _seconds(picture.attend))
        rate = max(product.multiplications / seconds for seconds, product in each)
        floors.append((picture.in_products + picture.in_attention) / rate)
    share = statistics.median(floor / seconds for floor, seconds in zip(floors, encoding, strict=True))
    print(
        f"{'':>12}{picture.patches:9}{_speed(encoding, picture.in_products + picture.in_attention):>20}"
        f"{_speed(products, picture.in_products):>18}{_speed(attention, picture.in_attention):>18}"
        f"{statistics.median(floors):8.2f} s{share:8.0%}"
    )


def _speed(seconds: list[float], multiplications: int) -> str:
    median = statistics.median(seconds)
    return f"{median:.2f} s, {multiplications / median / 1e9:.0f} G/s"


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _size(text: str) -> tuple[int, int]:
    width, height = map(int, text.split("x"))
    if width % 32 or height % 32 or min(width, height) < 32:
        raise argparse.ArgumentTypeError("width and height are multiples of 32")
    return width, height


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cpu.tower", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", default="2b", help="a catalogue name: 2b, 4b, 8b, 30b-a3b, ...")
    parser.add_argument("--size", type=_size, nargs="+", default=[(1024, 1024)], help="pixels, as 1024x768")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
