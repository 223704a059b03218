"""A contact sheet: samples of each family with what is asked and answered, to look at.

python -m qwen3vl.drawn.sheet OUT.png [FAMILY ...]
"""

from __future__ import annotations

import random
import textwrap
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image, ImageDraw, ImageFont

from qwen3vl.drawn.families import FAMILIES, draw
from qwen3vl.drawn.fonts import FACES, locate
from qwen3vl.drawn.sample import Sample, Split

CELL = 460
TEXT_HEIGHT = 420
CHARACTERS_A_LINE = 66
SHOWN_FRAMES = 6


def picture(sample: Sample) -> Image.Image:
    """The sample's frames side by side, of a long video a few, in one cell with its turns below."""
    cell = Image.new("RGB", (CELL, CELL + TEXT_HEIGHT), "white")
    step = max(1, len(sample.frames) // SHOWN_FRAMES)
    frames = [Image.fromarray(frame) for frame in sample.frames[::step]]
    columns = 1 if len(frames) == 1 else 2 if len(frames) <= 4 else 3
    for i, frame in enumerate(frames[: columns * columns]):
        frame.thumbnail((CELL // columns - 4, CELL // columns - 4))
        cell.paste(frame, (i % columns * (CELL // columns) + 2, i // columns * (CELL // columns) + 2))
    path, index = locate(next(face for face in FACES if face.chinese))
    head = f"[{sample.system}] thinking={sample.thinking}\n" if sample.system else ""
    asked = "\n".join(f"{t.task} ? {t.question}\n= {t.answer}" for t in sample.turns)
    lines = [wrapped for line in (head + asked).split("\n") for wrapped in textwrap.wrap(line, CHARACTERS_A_LINE)]
    ImageDraw.Draw(cell).text((4, CELL), "\n".join(lines[:30]), "black", ImageFont.truetype(path, 11, index), spacing=1)
    return cell


def main(
    out: Path,
    families: Annotated[list[str] | None, typer.Argument()] = None,
    samples: int = 4,
    split: Annotated[str, typer.Option(help="train or held_out")] = "train",
    seed: int = 0,
    turns: int = 4,
) -> None:
    names = families or list(FAMILIES)
    side: Split = "held_out" if split == "held_out" else "train"
    sheet = Image.new("RGB", (CELL * samples, (CELL + TEXT_HEIGHT) * len(names)), "white")
    for row, family in enumerate(names):
        rng = random.Random(f"{seed} {family}")
        for column in range(samples):
            cell = picture(draw(rng, family, split=side, turns=turns))
            sheet.paste(cell, (column * CELL, row * (CELL + TEXT_HEIGHT)))
    sheet.save(out)


if __name__ == "__main__":
    typer.run(main)
