"""Drawn sets that depend on the seed alone, and folders of a user's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from qwen3vl.bench.datasets import DrawnSet, FolderSet, Item
from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.errors import InputError, MediaError
from qwen3vl.prompt.builder import PromptBuilder
from support.tiny import SHIPPED


def media(item: Item) -> list[Any]:
    """The frames of a drawn item."""
    parts = [part for part in item.messages[-1]["content"] if part["type"] != "text"]
    return [
        frame
        for part in parts
        for frame in (part["video"].frames if part["type"] == "video" else [part["image"].pixels])
    ]


def same(a: Item, b: Item) -> bool:
    def pixels(item: Item) -> Any:
        [part] = [part for part in item.messages[-1]["content"] if part["type"] == "image"]
        return part["image"].pixels

    return (a.name, a.question, a.answer) == (b.name, b.question, b.answer) and np.array_equal(pixels(a), pixels(b))


def test_an_item_depends_on_seed_task_and_number_alone() -> None:
    both = list(DrawnSet(["count", "color"], 3, seed=5))
    assert [item.name for item in both] == ["count/0", "count/1", "count/2", "color/0", "color/1", "color/2"]
    assert len(DrawnSet(["count", "color"], 3, seed=5)) == 6
    alone = list(DrawnSet(["color"], 2, seed=5))
    assert all(same(a, b) for a, b in zip(alone, both[3:], strict=False))
    assert not same(next(iter(DrawnSet(["color"], 1, seed=6))), alone[0])
    assert not same(next(iter(DrawnSet(["color"], 1, seed=5, split="train"))), alone[0])


def test_a_paraphrase_is_of_the_same_picture() -> None:
    """In each task, whatever its families draw from the generator while they word a question."""
    items = list(DrawnSet(None, 3, seed=5, paraphrases=True))
    assert len(items) == len(DrawnSet(None, 3, seed=5, paraphrases=True))
    for one, other in zip(items[::2], items[1::2], strict=True):
        assert (one.worded, other.worded) == ("held_out", "train")
        assert (one.name, one.answer, one.truth) == (other.name, other.answer, other.truth)
        for a, b in zip(media(one), media(other), strict=True):
            assert np.array_equal(a, b), one.name
    assert sum(one.question != other.question for one, other in zip(items[::2], items[1::2], strict=True)) > 80
    plain = list(DrawnSet(None, 3, seed=5))
    assert [item.question for item in plain] == [item.question for item in items[::2]]


def test_the_task_is_asked_about() -> None:
    for item in DrawnSet(["boxes", "gui_click"], 4, seed=1):
        assert item.name.startswith(item.task)
        assert item.messages[-1]["content"][-1] == {"type": "text", "text": item.question}
        assert item.truth


def test_a_task_that_is_not_drawn() -> None:
    with pytest.raises(InputError, match="'riddle'; the tasks are describe, count"):
        DrawnSet(["count", "riddle"], 1, seed=0)


def folder(path: Path, *rows: dict[str, Any] | str) -> Path:
    path.mkdir(exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    (path / "questions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name in ("a.png", "b.png"):
        Image.new("RGB", (64, 96), "white").save(path / name)
    frames = [Image.new("RGB", (64, 64), (i * 60, 0, 0)) for i in range(4)]
    frames[0].save(path / "c.gif", save_all=True, append_images=frames[1:], duration=500)
    return path


ROWS: list[dict[str, Any]] = [
    {"image": "a.png", "question": "Read it.", "answer": "Tea", "task": "ocr_line"},
    {"images": ["a.png", "b.png"], "question": "Which page?", "answer": "2", "system": "Be brief."},
    {"video": "c.gif", "question": "When?", "answer": "00:01", "task": "video_when"},
    {"question": "Hello!", "answer": "你好", "task": "ocr_line"},
]


def test_a_folder(tmp_path: Path) -> None:
    items = list(FolderSet(folder(tmp_path / "mine", *ROWS)))
    assert [(item.name, item.task, item.answer) for item in items] == [
        ("questions.jsonl:1", "ocr_line", "Tea"),
        ("questions.jsonl:2", "text", "2"),
        ("questions.jsonl:3", "video_when", "00:01"),
        ("questions.jsonl:4", "ocr_line", "你好"),
    ]
    assert [part["type"] for part in items[1].messages[1]["content"]] == ["image", "image", "text"]
    assert items[1].messages[0] == {"role": "system", "content": "Be brief."}
    builder = PromptBuilder.from_folder(SHIPPED / "moe", ModelConfig.from_folder(SHIPPED / "moe"))
    visuals = [len(builder.build(item.messages, allow_files=True).visuals) for item in items]
    assert visuals == [1, 2, 2, 0]


def test_tasks_and_samples_of_a_folder(tmp_path: Path) -> None:
    mine = folder(tmp_path / "mine", *ROWS)
    assert [item.name[-1] for item in FolderSet(mine, ["ocr_line"])] == ["1", "4"]
    assert [item.name[-1] for item in FolderSet(mine, samples=1)] == ["1", "2", "3"]
    assert len(FolderSet(mine, ["ocr_line"], samples=1)) == 1
    with pytest.raises(InputError, match=r"no line of task 'html'; its tasks are ocr_line, text, video_when"):
        FolderSet(mine, ["html"])


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("{", "not valid JSON"),
        ("[1]", "must be a JSON object"),
        ({"question": "x"}, "'answer' is missing"),
        ({"question": "x", "answer": 3}, "answer must be a string"),
        ({"question": "x", "answer": "y", "picture": "a.png"}, "unknown key 'picture'"),
        ({"question": "x", "answer": "y", "task": "riddle"}, "unknown task 'riddle'"),
        ({"question": "x", "answer": "y", "image": "a.png", "video": "c.gif"}, "only one of image"),
        ({"question": "x", "answer": "y", "images": "a.png"}, "images must name files"),
        ({"question": "x", "answer": "y", "image": 1}, "image must name a file"),
        ({"question": "x", "answer": "y", "image": "gone.png"}, "gone.png cannot be read"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, row: dict[str, Any] | str, words: str) -> None:
    with pytest.raises(InputError, match=rf"questions\.jsonl, line 2: .*{words}"):
        FolderSet(folder(tmp_path / "mine", ROWS[0], row))


def test_no_lines(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no \.jsonl file"):
        FolderSet(tmp_path)
    (tmp_path / "x.jsonl").write_text("\n")
    with pytest.raises(InputError, match="no question"):
        FolderSet(tmp_path)


def test_media_errors_keep_their_type(tmp_path: Path) -> None:
    mine = folder(tmp_path / "mine", {"image": "x.png", "question": "x", "answer": "y"})
    (mine / "x.png").write_text("no picture")
    with pytest.raises(MediaError, match=r"line 1: x\.png"):
        FolderSet(mine)
