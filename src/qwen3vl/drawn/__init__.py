"""Drawn samples: pictures, pages and short videos with exact ground truth, and what people would ask about them.

`draw` is all that training and evaluation need. Everything comes from the `random.Random` that is handed in: the same
seed gives the same sample. What "held_out" draws (words, fonts, layouts, sizes, wordings) "train" never does.
"""

from qwen3vl.drawn.families import FAMILIES, draw
from qwen3vl.drawn.sample import Mark, Sample, Turn
from qwen3vl.drawn.tasks import TASKS

__all__ = ["FAMILIES", "TASKS", "Mark", "Sample", "Turn", "draw"]
