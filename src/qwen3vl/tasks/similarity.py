"""How alike two pictures look, such as a page and what was made from a screenshot of it: one figure from 0 to 1.

The figure is the structural similarity of Wang et al. (2004) of both pictures in grey at 256x256 pixels, in windows of
8x8. A page is mostly empty, and empty parts are alike on any two pages; therefore a window counts by how much is drawn
in it: by one, plus the standard deviations of both pictures there, in grey levels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE, WINDOW = 256, 8
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # the constants of the paper


def similarity(a: Image.Image, b: Image.Image) -> float:
    """1 for equal pictures, about 0 for pictures that have nothing in common. Order does not matter."""
    x, y = _grey(a), _grey(b)
    mean_x, mean_y = _means(x), _means(y)
    var_x = np.maximum(_means(x * x) - mean_x**2, 0)
    var_y = np.maximum(_means(y * y) - mean_y**2, 0)
    covariance = _means(x * y) - mean_x * mean_y
    light = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * covariance + _C2) / (var_x + var_y + _C2)
    drawn = 1 + np.sqrt(var_x) + np.sqrt(var_y)
    return float(np.clip((light * structure * drawn).sum() / drawn.sum(), 0, 1))


def _grey(picture: Image.Image) -> NDArray[np.float64]:
    resized = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(resized, dtype=np.float64)


def _means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of every window, [SIDE - WINDOW + 1] in both directions."""
    sums = np.zeros((SIDE + 1, SIDE + 1))
    sums[1:, 1:] = values.cumsum(0).cumsum(1)
    inside = sums[WINDOW:, WINDOW:] - sums[:-WINDOW, WINDOW:] - sums[WINDOW:, :-WINDOW] + sums[:-WINDOW, :-WINDOW]
    means: NDArray[np.float64] = inside / WINDOW**2
    return means
