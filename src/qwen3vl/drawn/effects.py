"""What happens to a picture on its way to the model: noise, JPEG, softness, light, and a scanner's askew grip.

`worn` moves nothing, so that boxes stay true; `scanned` moves everything a little, and the marks with it.
"""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from qwen3vl.drawn.sample import Mark

TILE = 512
MOST_ASKEW = 0.022  # of width and height, at each corner
GREY = 0.6  # how many scans are


@cache
def _noise() -> NDArray[np.int16]:
    """Noise of standard deviation 1, times 16, made once: cutting a window at random is all that a picture pays."""
    return (np.random.default_rng(0).standard_normal((TILE, TILE, 3)) * 16).astype(np.int16)


def pixels(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image, dtype=np.uint8).copy()


def worn(image: Image.Image, rng: random.Random) -> NDArray[np.uint8]:
    """The picture as uint8 [H, W, 3], half the time untouched, else through one or two mild defects."""
    luck = rng.random()
    if luck < 0.5:
        return pixels(image)
    if luck < 0.66:
        return _noisy(pixels(image), rng)
    if luck < 0.86:
        return pixels(_jpeg(image, rng))
    if luck < 0.92:
        return pixels(_soft(image, rng))
    dimmed = ImageEnhance.Contrast(image).enhance(rng.uniform(0.78, 1.05))
    return _shaded(pixels(ImageEnhance.Brightness(dimmed).enhance(rng.uniform(0.88, 1.05))), rng)


def scanned(image: Image.Image, marks: Sequence[Mark], rng: random.Random) -> tuple[Image.Image, list[Mark]]:
    """The picture turned and tilted by a degree or two, often grey, and its marks where they are now."""
    width, height = image.size
    turn = rng.uniform(-MOST_ASKEW, MOST_ASKEW) / 2
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], dtype=np.float64)
    middle = np.array([width / 2, height / 2])
    across = (corners - middle) @ np.array([[1.0, 2 * turn], [-2 * turn, 1.0]])
    jitter = np.array([[rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5)] for _ in corners]) * MOST_ASKEW
    sources = across + middle + jitter * (width, height)
    back = _homography(corners, sources)  # from a pixel of the result to where it is read
    grey = rng.random() < GREY
    paper = image.convert("L") if grey else image
    sampling = Image.Resampling.BICUBIC if grey else Image.Resampling.BILINEAR  # one plane costs a third of three
    edge = paper.getpixel((1, 1))
    matrix = tuple(map(float, back.flat[:8]))
    askew = paper.transform(image.size, Image.Transform.PERSPECTIVE, matrix, sampling, fillcolor=edge)
    forth = np.linalg.inv(back)
    moved = []
    for mark in marks:
        x, y, scale = forth @ (mark.x, mark.y, 1.0)
        moved.append(mark._replace(x=int(x / scale), y=int(y / scale)))
    return askew.convert("RGB"), moved


def _homography(points: NDArray[np.float64], images: NDArray[np.float64]) -> NDArray[np.float64]:
    """The 3x3 matrix, its last entry 1, that takes four points to four others."""
    rows, values = [], []
    for (x, y), (u, v) in zip(points, images, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return np.append(np.linalg.solve(np.array(rows), np.array(values)), 1.0).reshape(3, 3)


def _jpeg(image: Image.Image, rng: random.Random) -> Image.Image:
    packed = io.BytesIO()
    image.save(packed, "JPEG", quality=rng.randint(50, 92))
    return Image.open(packed)


def _soft(image: Image.Image, rng: random.Random) -> Image.Image:
    """A little smaller and back again: the softness of a scaled screenshot, and far cheaper than a Gaussian."""
    share = rng.uniform(0.8, 0.95)
    smaller = image.resize((round(image.width * share), round(image.height * share)), Image.Resampling.BILINEAR)
    return smaller.resize(image.size, Image.Resampling.BILINEAR)


def _noisy(frame: NDArray[np.uint8], rng: random.Random) -> NDArray[np.uint8]:
    height, width = frame.shape[:2]
    y, x = rng.randint(0, TILE - height), rng.randint(0, TILE - width)
    strength = rng.randint(2, 8)
    shifted = frame + (_noise()[y : y + height, x : x + width] * strength >> 4)
    return np.clip(shifted, 0, 255).astype(np.uint8)


def _shaded(frame: NDArray[np.uint8], rng: random.Random) -> NDArray[np.uint8]:
    """Darker towards one side, as under a lamp."""
    axis = rng.randint(0, 1)
    fall = np.linspace(1.0, rng.uniform(0.8, 0.95), frame.shape[axis], dtype=np.float32)
    fall = fall[:: rng.choice((1, -1))]
    light = fall[:, None, None] if axis == 0 else fall[None, :, None]
    return (frame * light).astype(np.uint8)
