"""What is asked in an evaluation: items with messages and a reference answer, drawn from a seed or read from a folder.

A set is checked as far as possible when it is made, and draws or opens pictures only while it is walked through, so
that its size costs no memory. Knows nothing of engines.

A folder holds one or more `.jsonl` files, one object a line:

    {"image": "shots/1.png", "question": "Click the Save button.", "answer": "{...}", "task": "gui_click"}

`question` and `answer` must be there. `image`, `images` (a list, such as pages) or `video` names files relative to the
folder; a PDF counts as an image. `task` says how the answer is compared (one of `scoring.TASKS`; without it, as plain
text), `system` is a system prompt.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from qwen3vl.bench.scoring import TASKS as SCORED
from qwen3vl.drawn.families import FAMILIES, draw
from qwen3vl.drawn.fonts import faces, locate
from qwen3vl.drawn.sample import Sample, Split
from qwen3vl.drawn.tasks import TASKS as DRAWN
from qwen3vl.errors import InputError
from qwen3vl.media.types import Image, Video
from qwen3vl.tasks.attachment import Attachment

PLAIN_TASK = "text"
_KEYS = {"image", "images", "video", "question", "answer", "task", "system"}


@dataclass(frozen=True)
class Item:
    """One question. `name` says where it comes from; `truth` is what a drawn sample knows beyond its answer; `worded`
    is the split of a drawn question's wording, and the same for all questions of a person's own.
    """

    name: str
    task: str
    messages: list[dict[str, Any]]
    question: str
    answer: str
    truth: Mapping[str, Any] = field(default_factory=dict)
    worded: Split = "held_out"


class Dataset(Protocol):
    """Items that are made anew each time they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> Item: ...


def drawn_tasks() -> tuple[str, ...]:
    """The tasks that the program can draw pictures for."""
    return tuple(task for task, entry in DRAWN.items() if set(entry.families) & set(FAMILIES))


class DrawnSet:
    """`samples` drawn pictures for each task, one question each. An item depends on seed, task and its number alone.

    `split` "held_out" has words, fonts, wordings and sizes that training never draws. With `paraphrases` each question
    is followed by its twin: the same picture, asked the same in the other split's words.
    """

    def __init__(
        self,
        tasks: Sequence[str] | None,
        samples: int,
        seed: int,
        split: Split = "held_out",
        *,
        paraphrases: bool = False,
    ) -> None:
        """`tasks` None: all. Raises `InputError` for a task that is not drawn, `FontError` if a font is not here."""
        other: Split = "train" if split == "held_out" else "held_out"
        self._worded: tuple[Split, ...] = (split, other) if paraphrases else (split,)
        self.tasks = drawn_tasks() if tasks is None else tuple(dict.fromkeys(tasks))
        self.samples, self.seed, self.split = samples, seed, split
        for face in (face for chinese in (False, True) for face in faces(split, chinese=chinese)):
            locate(face)
        for task in self.tasks:
            if task not in drawn_tasks():
                raise InputError(
                    f"no pictures are drawn for the task {task!r}; the tasks are {', '.join(drawn_tasks())}"
                )

    def __len__(self) -> int:
        return len(self.tasks) * self.samples * len(self._worded)

    def __getitem__(self, number: int) -> Item:
        """Raises `IndexError` after the last, so that a set can be walked through."""
        number, worded = divmod(range(len(self))[number], len(self._worded))
        task, number = divmod(number, self.samples)
        return self._item(self.tasks[task], number, self._worded[worded])

    def _item(self, task: str, number: int, worded: Split) -> Item:
        families = [family for family in DRAWN[task].families if family in FAMILIES]
        rng = random.Random(f"{self.seed}/{self.split}/{task}/{number}")
        sample = draw(rng, families[number % len(families)], split=self.split, worded=worded, task=task)
        turn = sample.turns[0]
        messages = [{"role": "user", "content": [*_media(sample), {"type": "text", "text": turn.question}]}]
        if sample.system:
            messages.insert(0, {"role": "system", "content": sample.system})
        return Item(f"{task}/{number}", task, messages, turn.question, turn.answer, turn.truth, worded)


class FolderSet:
    """A user's own questions."""

    def __init__(self, folder: Path, tasks: Sequence[str] | None = None, samples: int | None = None) -> None:
        """Reads all lines and looks whether the files are there.

        Keeps the first `samples` lines of each of `tasks`; None: all. Raises `InputError` that names file and line.
        """
        files = sorted(folder.glob("*.jsonl"))
        if not files:
            raise InputError(f"{folder} holds no .jsonl file; see `qwen3vl eval --help` for what belongs there")
        rows = [row for file in files for row in _rows(file)]
        if not rows:
            raise InputError(f"{folder} holds no question: its .jsonl files are empty")
        if tasks is not None:
            known = {row.task for row in rows}
            if missing := sorted(set(tasks) - known):
                raise InputError(
                    f"{folder} has no line of task {missing[0]!r}; its tasks are {', '.join(sorted(known))}"
                )
            rows = [row for row in rows if row.task in tasks]
        seen: Counter[str] = Counter()
        self._rows: list[Item] = []
        for row in rows:
            seen[row.task] += 1
            if samples is None or seen[row.task] <= samples:
                self._rows.append(row)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> Item:
        return self._rows[number]


def _media(sample: Sample) -> list[dict[str, Any]]:
    if sample.kind == "video":
        count = len(sample.frames)
        return [{"type": "video", "video": Video(list(sample.frames), list(range(count)), sample.fps, count)}]
    return [{"type": "image", "image": Image(frame)} for frame in sample.frames]


def _rows(file: Path) -> Iterator[Item]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield _row(line, file.parent, f"{file.name}:{number}")
            except InputError as error:
                raise type(error)(f"{file}, line {number}: {error}") from error


def _row(line: str, folder: Path, name: str) -> Item:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InputError(f"not valid JSON: {error}") from error
    if not isinstance(row, dict):
        raise InputError("a line must be a JSON object")
    if unknown := sorted(set(row) - _KEYS):
        raise InputError(f"unknown key {unknown[0]!r}; known are {', '.join(sorted(_KEYS))}")
    for key in ("question", "answer", "task", "system"):
        if key in ("question", "answer") and key not in row:
            raise InputError(f"the key {key!r} is missing")
        if not isinstance(row.get(key, ""), str):
            raise InputError(f"{key} must be a string")
    task = row.get("task", PLAIN_TASK)
    if task not in SCORED:
        raise InputError(f"unknown task {task!r}; known are {', '.join(sorted(SCORED))}")
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": [*_files(row, folder), {"type": "text", "text": row["question"]}]}
    ]
    if "system" in row:
        messages.insert(0, {"role": "system", "content": row["system"]})
    return Item(name, task, messages, row["question"], row["answer"])


def _files(row: Mapping[str, Any], folder: Path) -> list[dict[str, Any]]:
    given = [key for key in ("image", "images", "video") if key in row]
    if len(given) > 1:
        raise InputError(f"only one of image, images and video may be there, not {' and '.join(given)}")
    if not given:
        return []
    names = row["images"] if given == ["images"] else [row[given[0]]]
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise InputError(f"{given[0]} must name {'files' if given == ['images'] else 'a file'}")
    attachments = [Attachment.from_file(folder / name) for name in names]
    if given == ["video"]:
        return [{"type": "video", "video": attachments[0].path}]
    return [
        {"type": "pdf" if each.kind == "pdf" else "image", "pdf" if each.kind == "pdf" else "image": each.path}
        for each in attachments
    ]
