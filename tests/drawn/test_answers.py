"""Answers against parsers that know nothing of how they were made, and truths against the pixels and the arithmetic."""

from __future__ import annotations

import json
import random
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from html.parser import HTMLParser

import numpy as np
import pytest

from qwen3vl.drawn import Sample, Turn, draw
from qwen3vl.drawn.families import sizes
from qwen3vl.drawn.sample import Split
from qwen3vl.drawn.scene import Candidate, Scene
from qwen3vl.drawn.tables import unique
from qwen3vl.drawn.video import video
from qwen3vl.tasks.grounding import Box, parse_marks

SPLITS: tuple[Split, ...] = ("train", "held_out")
VOID = {"hr", "br", "input", "img"}


def turns(family: str, task: str, count: int = 16) -> Iterator[tuple[Sample, Turn]]:
    for split in SPLITS:
        rng = random.Random(f"{family} {task} {split}")
        for _ in range(count):
            sample = draw(rng, family, split=split, task=task)
            yield sample, sample.turns[0]


def fenced(answer: str, language: str) -> str:
    match = re.fullmatch(rf"```{language}\n(.*)\n```", answer, re.DOTALL)
    assert match, answer
    return match[1]


@pytest.mark.parametrize("family", ["shapes", "screens"])
def test_boxes_read_as_the_released_models_boxes(family: str) -> None:
    for sample, turn in turns(family, "boxes"):
        json.loads(fenced(turn.answer, "json"))
        height, width, _ = sample.frames[0].shape
        marks = parse_marks(turn.answer, width, height)
        assert len(marks) == len(turn.truth["boxes"])
        for mark, truth in zip(marks, turn.truth["boxes"], strict=True):
            assert isinstance(mark, Box)
            assert mark.label == truth["label"]
            found = [mark.x1 / width, mark.y1 / height, mark.x2 / width, mark.y2 / height]
            assert found == pytest.approx([v / 1000 for v in truth["box"]])
            assert 0 <= truth["box"][0] < truth["box"][2] <= 1000
            assert 0 <= truth["box"][1] < truth["box"][3] <= 1000


@pytest.mark.parametrize("family", ["shapes", "screens"])
def test_points_lie_in_their_boxes(family: str) -> None:
    for _, turn in turns(family, "points"):
        points = json.loads(fenced(turn.answer, "json"))
        assert [point["point_2d"] for point in points] == [truth["point"] for truth in turn.truth["points"]]
        for truth in turn.truth["points"]:
            (x, y), (x1, y1, x2, y2) = truth["point"], truth["box"]
            assert x1 < x < x2
            assert y1 < y < y2


@pytest.mark.parametrize("task", ["gui_click", "gui_type", "gui_scroll", "gui_key", "gui_done"])
def test_actions_parse_in_both_forms(task: str) -> None:
    forms = set()
    for _, turn in turns("screens", task, 20):
        truth = turn.truth
        forms.add(truth["form"])
        if truth["form"] == "tool_call":
            match = re.fullmatch(r"<tool_call>\n(.*)\n</tool_call>", turn.answer)
            assert match
            call = json.loads(match[1])
            assert call["name"] == truth["tool"]
            arguments = call["arguments"]
            known = {"computer_use": {"left_click", "type", "scroll", "key", "terminate"}}
            known["mobile_use"] = {"click", "type", "swipe", "system_button", "terminate"}
            assert arguments["action"] in known[truth["tool"]]
            if task == "gui_click":
                assert arguments["coordinate"] == truth["point"]
        else:
            action = json.loads(turn.answer)
            assert action["action"] == truth["action"]
            assert action["reasoning"]
            if truth["box"]:
                assert action["element"] == {"text": truth["element"], "bbox": truth["box"]}
        if truth["point"]:
            (x, y), (x1, y1, x2, y2) = truth["point"], truth["box"]
            assert x1 <= x <= x2
            assert y1 <= y <= y2
    assert forms == {"tool_call", "json"}


class Tags(HTMLParser):
    """Fails on a tag that is closed out of turn; collects tags and texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def test_pages_are_well_formed_html() -> None:
    for _, turn in turns("web", "html"):
        html = fenced(turn.answer, "html")
        assert html == turn.truth["html"]
        assert html.startswith("<!DOCTYPE html>\n<html>")
        Tags(html)


def test_tables_read_back_as_their_rows() -> None:
    for _, turn in turns("documents", "table_html"):
        assert Tags(turn.answer).rows == turn.truth["rows"]


def test_cells_and_lookups_are_in_the_table() -> None:
    for seed in range(30):
        sample = draw(random.Random(seed), "documents", split="train", task="table_html", turns=1)
        rows = sample.turns[0].truth["rows"]
        assert len({row[0] for row in rows[1:]}) == len(rows) - 1
        assert len({len(row) for row in rows}) == 1


def test_no_row_has_the_name_of_another() -> None:
    made = iter(["Tea", "Tea", "Rice", "Tea", "Salt"])
    taken: set[str] = set()
    assert [unique(lambda: next(made), taken) for _ in range(3)] == ["Tea", "Rice", "Salt"]


def test_charts_are_json_of_numbers() -> None:
    for _, turn in turns("charts", "chart_values"):
        assert json.loads(turn.answer) == turn.truth["values"]
        assert all(isinstance(value, int | float) for value in turn.truth["values"].values())


def test_diagrams_are_xml_whose_arrows_join_their_boxes() -> None:
    for _, turn in turns("diagrams", "drawio"):
        root = ElementTree.fromstring(fenced(turn.answer, "xml"))
        cells = {cell.attrib["id"]: cell for cell in root.iter("mxCell")}
        nodes = [cell for cell in cells.values() if cell.get("vertex")]
        edges = [cell for cell in cells.values() if cell.get("edge")]
        assert [node.get("value") for node in nodes] == [node["text"] for node in turn.truth["nodes"]]
        joined = [(nodes.index(cells[e.attrib["source"]]), nodes.index(cells[e.attrib["target"]])) for e in edges]
        assert joined == [tuple(edge) for edge in turn.truth["edges"]]
        for node, truth in zip(nodes, turn.truth["nodes"], strict=True):
            geometry = node.find("mxGeometry")
            assert geometry is not None
            x, y, width, height = (int(geometry.attrib[name]) for name in ("x", "y", "width", "height"))
            assert [x, y, x + width, y + height] == truth["box"]


def seconds(stamp: str) -> float:
    match = re.fullmatch(r"(\d\d):(\d\d\.\d\d)", stamp)
    assert match, stamp
    return int(match[1]) * 60 + float(match[2])


@pytest.mark.parametrize("task", ["video_events", "video_chapters"])
def test_events_lie_in_the_video_and_read_as_their_truth(task: str) -> None:
    for sample, turn in turns("video", task, 8):
        events = json.loads(fenced(turn.answer, "json"))
        read = [{**e, "start": seconds(e["start"]), "end": seconds(e["end"])} for e in events]
        assert read == turn.truth["events"]
        assert all(0 <= e["start"] < e["end"] <= len(sample.frames) / sample.fps for e in read)
        assert [e["start"] for e in read] == sorted(e["start"] for e in read)


def test_something_changes_in_the_picture_when_the_answer_says_so() -> None:
    checked = 0
    for seed in range(24):
        scene = Scene.new(random.Random(seed), SPLITS[seed % 2], sizes("video", SPLITS[seed % 2])[0])
        video(scene)
        for candidate in scene.candidates:
            checked += _changes(scene, candidate)
    assert checked > 30


def _changes(scene: Scene, candidate: Candidate) -> int:
    if candidate.turn.task != "video_when":
        return 0
    assert seconds(candidate.turn.answer) == candidate.turn.truth["seconds"]
    frame = candidate.turn.truth["seconds"] * scene.fps
    assert frame == int(frame)
    before, after = (np.asarray(scene.images[int(frame) + step]) for step in (-1, 0))
    assert not np.array_equal(before, after)
    return 1


def test_page_answers_name_their_page() -> None:
    for sample, turn in turns("pages", "pages_question"):
        page = turn.truth["page"]
        assert 1 <= page <= len(sample.frames)
        assert re.search(rf"[Pp]age {page}\b|第{page}页", turn.answer)
        others = set(range(1, 4)) - {page}
        assert not any(re.search(rf"\(page {o}\)|（第{o}页）", turn.answer) for o in others)


def test_thoughts_come_to_the_answer() -> None:
    for _, turn in turns("thinking", "count"):
        match = re.fullmatch(r"<think>\n(.*)\n</think>\n\n(\d+)", turn.answer)
        assert match
        assert int(match[2]) == turn.truth["count"]
        numbered = re.findall(r"(?:^|[:：,，] ?)(\d+) ", match[1])
        assert int(numbered[-1]) == turn.truth["count"]


@pytest.mark.parametrize("task", ["greet", "out_of_scope", "no_picture", "chat"])
def test_conversation_answers_in_the_language_of_the_question(task: str) -> None:
    for sample, turn in turns("chat", task):
        assert not sample.frames
        assert bool(re.search("[\u4e00-\u9fff]", turn.answer)) == (turn.language == "zh")
