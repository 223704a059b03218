"""Family `documents`: which kind of document this sample is. The kinds stand in `tables`, `forms` and `receipts`."""

from __future__ import annotations

from qwen3vl.drawn.forms import forms
from qwen3vl.drawn.receipts import receipts
from qwen3vl.drawn.scene import Scene
from qwen3vl.drawn.tables import tables


def documents(scene: Scene) -> None:
    scene.rng.choice((tables, forms, receipts))(scene)
