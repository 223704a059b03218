"""One drawn sample as the model sees it: token ids, positions, patches, and which tokens it has to predict.

The turns are written as the checkpoint's chat template writes them and the pictures are cut as `qwen3vl.prompt` cuts
them; this does it at a tenth of the time, and tests hold the two equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from qwen3vl.drawn.sample import Mark, Sample
from qwen3vl.prompt.positions import mrope_positions
from qwen3vl.prompt.types import Visual
from training.vocabulary import IMAGE_PAD, TURN_END, VIDEO_PAD, VISION_END, VISION_START, Vocabulary

PATCH, MERGE, GROUP = 16, 2, 2  # pixels of a patch's side, patches of a token's side, frames of a video's patch
TOKEN_SIDE = PATCH * MERGE

_UNSEEN = torch.empty(0)  # positions depend on where a picture stands, not on its pixels


@dataclass(frozen=True, eq=False)
class Answer:
    """The tokens `start` to `stop` of an example, the end of the turn included, answer a question of `task`."""

    task: str
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class Example:
    """One conversation. Its pictures or groups of frames are all of one size: `grid` rows and columns of patches."""

    token_ids: NDArray[np.int16]  # [tokens]
    positions: NDArray[np.int16]  # [3, tokens]
    answers: tuple[Answer, ...]
    grids: tuple[NDArray[np.uint8], ...]  # each [rows * columns, values of a patch], merge blocks in a row
    grid: tuple[int, int]
    starts: tuple[int, ...]  # index of the first pad token of each grid
    marks: tuple[Mark, ...]

    @property
    def num_patches(self) -> int:
        return sum(map(len, self.grids))

    @property
    def num_targets(self) -> int:
        return sum(answer.stop - answer.start for answer in self.answers)


def lay_out(
    sample: Sample, vocabulary: Vocabulary, *, max_tokens: int, max_targets: int, picture_last: bool = False
) -> Example | None:
    """The conversation with as many of its turns as fit, or None if not even the first does.

    `picture_last` puts the pictures behind the first question, as some programs send them.
    """
    ids: list[int] = []
    if sample.system is not None:
        ids += vocabulary.encode(f"<|im_start|>system\n{sample.system}<|im_end|>\n")
    ids += vocabulary.encode("<|im_start|>user\n")
    answers: list[Answer] = []
    starts: list[int] = []
    frames = sample.frames
    rows, columns = (0, 0) if not frames else (side // PATCH for side in frames[0].shape[:2])
    for number, turn in enumerate(sample.turns):
        before = len(ids)
        pad_starts: list[int] = []
        said = turn.question
        if number:
            ids += vocabulary.encode("<|im_start|>user\n")
        elif picture_last:
            pad_starts, said = _add_pictures(ids, said, sample, vocabulary, rows * columns // MERGE**2)
        else:
            pad_starts, last = _add_pictures(ids, "", sample, vocabulary, rows * columns // MERGE**2)
            said = last + said
        ids += vocabulary.encode(f"{said}<|im_end|>\n<|im_start|>assistant\n")
        start = len(ids)
        ids += [*vocabulary.encode(turn.answer), TURN_END]
        stop = len(ids)
        ids += vocabulary.encode("\n")
        if len(ids) > max_tokens or sum(a.stop - a.start for a in answers) + stop - start > max_targets:
            del ids[before:]
            break
        starts += pad_starts
        answers.append(Answer(turn.task, start, stop))
    if not answers:
        return None
    positions, _ = mrope_positions(len(ids), _visuals(starts, rows, columns), MERGE)
    return Example(
        token_ids=np.array(ids, dtype=np.int16),
        positions=positions.numpy().astype(np.int16),
        answers=tuple(answers),
        grids=tuple(cut(group) for group in frame_groups(sample)),
        grid=(rows, columns),
        starts=tuple(starts),
        marks=sample.marks,
    )


def frame_groups(sample: Sample) -> list[Sequence[NDArray[np.uint8]]]:
    """What becomes one grid each: a picture, or two consecutive frames of a video, the last repeated to fill up."""
    if sample.kind != "video":
        return [[frame] for frame in sample.frames]
    frames = [*sample.frames, *sample.frames[-1:]]
    return [frames[first : first + GROUP] for first in range(0, len(sample.frames), GROUP)]


def cut(frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Patches of a picture or two frames, [rows * columns, channel * frame * patch row * patch column], in merge-block
    order.

    A picture is its own second frame: its patches hold it once here, and the network doubles their weight instead.
    """
    height, width = frames[0].shape[:2]
    assert height % TOKEN_SIDE == width % TOKEN_SIDE == 0, f"{width}x{height} is not cut into blocks of {TOKEN_SIDE}"
    clip = np.stack(frames).reshape(
        len(frames), height // TOKEN_SIDE, MERGE, PATCH, width // TOKEN_SIDE, MERGE, PATCH, 3
    )
    # (block row, block column, row in block, column in block, channel, frame, patch row, patch column)
    ordered = clip.transpose(1, 4, 2, 5, 7, 0, 3, 6)
    return np.ascontiguousarray(ordered).reshape(height * width // PATCH**2, -1)


def patch_number(x: int, y: int, columns: int) -> int:
    """The number, in merge-block order, of the patch that holds the pixel (x, y) of a grid that many patches wide."""
    row, column = y // PATCH, x // PATCH
    block = (row // MERGE) * (columns // MERGE) + column // MERGE
    return block * MERGE**2 + row % MERGE * MERGE + column % MERGE


def _add_pictures(
    ids: list[int], said: str, sample: Sample, vocabulary: Vocabulary, tokens: int
) -> tuple[list[int], str]:
    """Appends the marks and pads of all grids, and the texts before each, the first of which begins with `said`.
    Returns where each run of pads starts, and the text after the last."""
    starts = []
    pad = VIDEO_PAD if sample.kind == "video" else IMAGE_PAD
    for group in range(len(frame_groups(sample))):
        before, after = sample.around[group] if sample.around else ("", "")
        said += before
        if sample.kind == "video":
            last = min(group * GROUP + GROUP, len(sample.frames)) - 1
            time = (group * GROUP / sample.fps + last / sample.fps) / 2
            said += f"<{time:.1f} seconds>"
        ids += [*vocabulary.encode(said), VISION_START]
        starts.append(len(ids))
        ids += [pad] * tokens
        ids.append(VISION_END)
        said = after
    return starts, said


def _visuals(starts: Sequence[int], rows: int, columns: int) -> list[Visual]:
    tokens = rows * columns // MERGE**2
    return [Visual(_UNSEEN, rows, columns, start, tokens, b"") for start in starts]
