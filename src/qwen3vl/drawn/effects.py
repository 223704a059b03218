"""What happens to a picture on its way to the model: noise, JPEG, softness, light. Moves nothing: boxes stay true."""

from __future__ import annotations

import io
import random
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

TILE = 512


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
    dimmed = ImageEnhance.Contrast(image).enhance(rng.uniform(0.7, 1.05))
    return _shaded(pixels(ImageEnhance.Brightness(dimmed).enhance(rng.uniform(0.85, 1.05))), rng)


def _jpeg(image: Image.Image, rng: random.Random) -> Image.Image:
    packed = io.BytesIO()
    image.save(packed, "JPEG", quality=rng.randint(45, 92))
    return Image.open(packed)


def _soft(image: Image.Image, rng: random.Random) -> Image.Image:
    """A little smaller and back again: the softness of a scaled screenshot, and far cheaper than a Gaussian."""
    share = rng.uniform(0.75, 0.95)
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
    fall = np.linspace(1.0, rng.uniform(0.75, 0.95), frame.shape[axis], dtype=np.float32)
    fall = fall[:: rng.choice((1, -1))]
    light = fall[:, None, None] if axis == 0 else fall[None, :, None]
    return (frame * light).astype(np.uint8)
