"""A drawn sample is laid out for training exactly as the product builds the prompt of the same conversation."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.drawn.sample import Kind, Sample
from qwen3vl.media.types import Video, VideoSampling
from qwen3vl.prompt.builder import PromptBuilder
from qwen3vl.prompt.patches import PatchConfig, PixelBounds
from qwen3vl.prompt.template import ChatTemplate
from qwen3vl.prompt.tokenizer import Tokenizer
from support.tiny_training import config, sample, vocabulary
from training.layout import Example, lay_out, patch_number
from training.vocabulary import TURN_END

CASES: list[tuple[Kind, tuple[int, int], int]] = [
    ("picture", (96, 64), 1),
    ("pages", (64, 128), 3),
    ("video", (64, 96), 6),
    ("video", (96, 64), 5),
    ("none", (32, 32), 0),
]


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> PromptBuilder:
    """The product's own, with the shipped chat template, without bounds on sizes."""
    folder = tmp_path_factory.mktemp("vocabulary")
    vocabulary().save(folder / "tokenizer.json")
    template = Path(__file__).parents[2] / "training" / "chat_template.jinja"
    model = ModelConfig.from_dict(config(moe=False, rows=vocabulary().rows))
    bounds = PixelBounds(1, 1 << 30)
    patches = PatchConfig(16, 2, 2, picture_bounds=bounds, video_bounds=bounds, sampling=VideoSampling())
    return PromptBuilder(model, Tokenizer.from_folder(folder), ChatTemplate(template.read_text()), patches)


def _messages(drawn: Sample, turns: int, *, picture_last: bool) -> list[dict[str, Any]]:
    """The conversation up to question number `turns`, as a user's program would send it."""
    media: list[dict[str, Any]] = []
    for frame, around in zip(drawn.frames, drawn.around or [("", "")] * len(drawn.frames), strict=True):
        before, after = ([{"type": "text", "text": text}] if text else [] for text in around)
        media += [*before, {"type": "image", "image": Image.fromarray(frame)}, *after]
    if drawn.kind == "video":
        indices = list(range(len(drawn.frames)))
        media = [{"type": "video", "video": Video(list(drawn.frames), indices, drawn.fps, len(indices))}]
    messages: list[dict[str, Any]] = []
    if drawn.system is not None:
        messages.append({"role": "system", "content": drawn.system})
    for number, turn in enumerate(drawn.turns[:turns]):
        text = [{"type": "text", "text": turn.question}]
        content = text if number else [*text, *media] if picture_last else [*media, *text]
        messages.append({"role": "user", "content": content})
        messages.append({"role": "assistant", "content": turn.answer})
    return messages[:-1]


def _example(drawn: Sample, **options: Any) -> Example:
    example = lay_out(drawn, vocabulary(), **({"max_tokens": 900, "max_targets": 900} | options))
    assert example is not None
    return example


@pytest.mark.parametrize("picture_last", [False, True])
@pytest.mark.parametrize(("kind", "size", "frames"), CASES)
def test_is_the_product_s_prompt(
    builder: PromptBuilder, kind: Kind, size: tuple[int, int], frames: int, picture_last: bool
) -> None:
    for seed in range(4):  # with and without a system prompt
        drawn = sample(random.Random(seed), kind, size, frames, turns=3)
        if kind == "pages" and seed % 2:  # "What" and its like are one token only if no text is cut in two
            drawn = replace(drawn, around=(("Page 1:", "What"), ("", ": What is"), ("What", "")))
        example = _example(drawn, picture_last=picture_last)
        for number, answer in enumerate(example.answers, start=1):
            prompt = builder.build(_messages(drawn, number, picture_last=picture_last))
            assert prompt.token_ids == example.token_ids[: answer.start].tolist()
            assert torch.equal(prompt.position_ids, torch.from_numpy(example.positions[:, : answer.start]).long())
            assert [visual.start for visual in prompt.visuals] == list(example.starts)
            for visual, grid in zip(prompt.visuals, example.grids, strict=True):
                assert (visual.grid_h, visual.grid_w) == example.grid
                doubled = (
                    grid if kind == "video" else np.repeat(grid.reshape(-1, 3, 1, 256), 2, axis=2).reshape(-1, 1536)
                )
                assert torch.equal(visual.patches, torch.from_numpy(doubled))


def test_predicts_the_answers_and_their_ends_alone() -> None:
    drawn = sample(random.Random(1), turns=3)
    example, tokenizer = _example(drawn), vocabulary()
    assert len(example.answers) == 3
    for answer, turn in zip(example.answers, drawn.turns, strict=True):
        assert answer.task == turn.task
        assert example.token_ids[answer.start : answer.stop].tolist() == [*tokenizer.encode(turn.answer), TURN_END]


def test_turns_that_do_not_fit_are_left_out() -> None:
    drawn = sample(random.Random(1), turns=3)
    whole = _example(drawn)
    first, second = whole.answers[:2]
    assert len(_example(drawn, max_tokens=len(whole.token_ids)).answers) == 3
    shorter = _example(drawn, max_tokens=len(whole.token_ids) - 1)
    assert len(shorter.answers) == 2
    assert shorter.token_ids.tolist() == whole.token_ids[: second.stop + 1].tolist()
    assert len(_example(drawn, max_targets=first.stop - first.start + second.stop - second.start).answers) == 2
    assert lay_out(drawn, vocabulary(), max_tokens=first.stop, max_targets=99) is None


def test_finds_the_patch_of_a_pixel() -> None:
    """Pixels that hold their own position, cut: the patch that has a pixel's values is the one that is named."""
    height, width = 96, 128
    rows, columns = np.mgrid[:height, :width]
    picture = np.stack([rows, columns, rows * 0], axis=-1).astype(np.uint8)
    drawn = Sample((picture,), "picture", 0.0, sample(random.Random(0)).turns, None, False)
    patches = _example(drawn).grids[0].reshape(-1, 3, 16, 16)
    for x, y in ((0, 0), (17, 0), (0, 17), (33, 40), (127, 95), (100, 20)):
        found = patches[patch_number(x, y, width // 16)]
        assert (found[0, y % 16, x % 16], found[1, y % 16, x % 16]) == (y, x)
