"""Family `documents`: which kind of document this sample is, and whether it comes from a scanner.

The kinds stand in `tables`, `forms` and `receipts`. None of them is asked where something stands.
"""

from __future__ import annotations

from qwen3vl.drawn.effects import scanned
from qwen3vl.drawn.forms import forms
from qwen3vl.drawn.receipts import receipts
from qwen3vl.drawn.scene import Scene
from qwen3vl.drawn.tables import tables

SCANNED = 0.1


def documents(scene: Scene) -> None:
    scene.rng.choice((tables, forms, receipts))(scene)
    if scene.rng.random() < SCANNED:
        scan(scene)


def scan(scene: Scene) -> None:
    """Puts the last frame and its marks, slightly askew, as a scanner or a camera would."""
    frame = len(scene.images) - 1
    others = [mark for mark in scene.marks if mark.frame != frame]
    marks = [mark for mark in scene.marks if mark.frame == frame]
    scene.images[frame], moved = scanned(scene.images[frame], marks, scene.rng)
    scene.marks = others + moved
    scene.askew = True
