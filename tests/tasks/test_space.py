"""Boxes in space: their corners by geometry that can be checked by hand, and against a rotation library."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from qwen3vl.tasks.space import EDGES, Camera, SpaceBox, parse_space_boxes, project

CAMERA = Camera(fx=500.0, fy=400.0, cx=320.0, cy=240.0)


def test_a_cube_straight_ahead() -> None:
    """Its near face is 9 m away, its far face 11 m: similar triangles say where the corners are."""
    corners = project(SpaceBox((0.0, 0.0, 10.0), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0)), CAMERA)
    expected = {(320 + sx * 500 / z, 240 + sy * 400 / z) for sx in (-1, 1) for sy in (-1, 1) for z in (9.0, 11.0)}
    assert {(round(x, 6), round(y, 6)) for x, y in filter(None, corners)} == {
        (round(x, 6), round(y, 6)) for x, y in expected
    }


def test_right_is_right_and_down_is_down() -> None:
    x, y = np.mean([c for c in project(SpaceBox((2.0, 1.0, 10.0), (0.1, 0.1, 0.1), (0, 0, 0)), CAMERA) if c], axis=0)
    assert x == pytest.approx(320 + 500 * 0.2, abs=0.1)
    assert y == pytest.approx(240 + 400 * 0.1, abs=0.1)


def test_edges_join_corners_that_differ_in_one_direction() -> None:
    box = SpaceBox((0, 0, 5), (1.0, 2.0, 3.0), (10, 20, 30))
    corners = box.corners()
    lengths = sorted(round(float(np.linalg.norm(corners[a] - corners[b])), 9) for a, b in EDGES)
    assert lengths == [1.0] * 4 + [2.0] * 4 + [3.0] * 4


@pytest.mark.parametrize(
    ("angles", "moved"),
    [((90, 0, 0), (0, 0, 1)), ((0, 0, 90), (-1, 0, 0)), ((0, 90, 0), (0, 1, 0)), ((90, 0, 90), (0, 0, 1))],
)
def test_quarter_turns(angles: tuple[float, float, float], moved: tuple[int, int, int]) -> None:
    """Where the lower side of a tall, thin box goes: about x from y to z, about z from y to -x, about y it stays."""
    corners = SpaceBox((0, 0, 0), (0.001, 2.0, 0.001), angles).corners()
    down = corners[[i for i in range(8) if i & 2]].mean(axis=0)
    assert down == pytest.approx(np.array(moved, dtype=float), abs=1e-3)


def test_turns_are_applied_about_x_then_y_then_z() -> None:
    """Against rotations as exponentials of their axes, multiplied in this order."""
    rng = random.Random(3)
    for _ in range(20):
        angles = (rng.uniform(-180, 180), rng.uniform(-180, 180), rng.uniform(-180, 180))
        box = SpaceBox((1, 2, 3), (0.5, 0.7, 0.9), angles)
        turned = np.array([[sx, sy, sz] for sx in (-1, 1) for sy in (-1, 1) for sz in (-1, 1)]) * [0.25, 0.35, 0.45]
        for axis, degrees in zip(np.eye(3), angles, strict=True):
            t = math.radians(degrees)
            turned = (  # Rodrigues
                turned * math.cos(t)
                + np.cross(axis, turned) * math.sin(t)
                + np.outer(turned @ axis, axis) * (1 - math.cos(t))
            )
        assert box.corners() == pytest.approx(turned + np.array([1, 2, 3]))


def test_a_corner_behind_the_camera_is_nowhere() -> None:
    corners = project(SpaceBox((0, 0, 0.5), (1, 1, 2), (0, 0, 0)), CAMERA)
    assert sum(corner is None for corner in corners) == 4


def test_the_guessed_camera_sees_sixty_degrees() -> None:
    camera = Camera.guess(800, 600)
    assert camera.cx + camera.fx * math.tan(math.radians(30)) == pytest.approx(800)
    assert camera.fx == camera.fy


def test_angles_are_half_turns() -> None:
    box = next(parse_space_boxes('{"bbox_3d": [1, 2, 3, 4, 5, 6, 0.5, -1, 0.25], "label": "x"}'))
    assert box == SpaceBox((1, 2, 3), (4, 5, 6), (90, -180, 45), "x")


@pytest.mark.parametrize(
    "numbers",
    ["[1,2,3]", "[1,2,3,0,1,1,0,0,0]", '["a",2,3,1,1,1,0,0,0]', "[1e999,2,3,1,1,1,0,0,0]", "[NaN,2,3,1,1,1,0,0,0]"],
)
def test_what_is_no_box(numbers: str) -> None:
    assert list(parse_space_boxes(f'{{"bbox_3d": {numbers}}}')) == []
