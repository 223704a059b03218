"""Boxes in space, as the models give them, and where their corners are in the picture.

The released models write `bbox_3d`: the centre x, y, z and the sizes in metres in the camera's frame (x right, y down,
z ahead), then three angles in half turns, about x, y and z in this order. Their prompt names the angles roll, pitch,
yaw. A pinhole camera without distortion is assumed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qwen3vl.tasks.loose_json import json_objects

_LARGEST = 1e6  # metres; comparing with it, unlike converting, works for integers of any size

EDGES = tuple((a, b) for a in range(8) for b in range(a + 1, 8) if (a ^ b).bit_count() == 1)


@dataclass(frozen=True)
class Camera:
    """Focal lengths and principal point, in pixels of the picture."""

    fx: float
    fy: float
    cx: float
    cy: float

    @classmethod
    def guess(cls, width: int, height: int, view: float = 60.0) -> Camera:
        """Square pixels, the axis through the middle, `view` degrees from the left edge to the right."""
        focal = width / 2 / math.tan(math.radians(view) / 2)
        return cls(focal, focal, width / 2, height / 2)


@dataclass(frozen=True)
class SpaceBox:
    """Metres, and degrees about x, y and z, turned in this order."""

    center: tuple[float, float, float]
    size: tuple[float, float, float]
    angles: tuple[float, float, float]
    label: str = ""

    def corners(self) -> NDArray[np.float64]:
        """[8, 3] in metres. Bit 2, 1, 0 of a corner's number says on which side of x, y, z it is; `EDGES` join them."""
        signs = np.array(list(product((-0.5, 0.5), repeat=3)))
        turned: NDArray[np.float64] = signs * self.size @ _rotation(self.angles).T + self.center
        return turned


def project(box: SpaceBox, camera: Camera) -> list[tuple[float, float] | None]:
    """Pixels of the eight corners; None for one that is not in front of the camera."""
    return [
        (camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy) if z > 1e-6 else None
        for x, y, z in box.corners().tolist()
    ]


def parse_space_boxes(text: str) -> Iterator[SpaceBox]:
    """The boxes that `text` holds in the order written. One that is not finished or has no size is passed over."""
    for item in json_objects(text):
        numbers = item.get("bbox_3d")
        if not isinstance(numbers, list) or len(numbers) != 9 or not all(map(_usable, numbers)):
            continue
        x, y, z, a, b, c, *turns = map(float, numbers)
        if min(a, b, c) > 0:
            label = item.get("label")
            first, second, third = (turn * 180 for turn in turns)
            yield SpaceBox((x, y, z), (a, b, c), (first, second, third), label if isinstance(label, str) else "")


def _usable(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST


def _rotation(angles: tuple[float, float, float]) -> NDArray[np.float64]:
    (ca, cb, cc), (sa, sb, sc) = np.cos(np.radians(angles)), np.sin(np.radians(angles))
    about_x = np.array([[1, 0, 0], [0, ca, -sa], [0, sa, ca]])
    about_y = np.array([[cb, 0, sb], [0, 1, 0], [-sb, 0, cb]])
    about_z = np.array([[cc, -sc, 0], [sc, cc, 0], [0, 0, 1]])
    rotation: NDArray[np.float64] = about_z @ about_y @ about_x
    return rotation
