"""Web pages: their HTML against the glyphs and the pixels that were drawn, and running text."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from PIL import ImageColor

from qwen3vl.drawn import flow, web
from qwen3vl.drawn.families import sizes
from qwen3vl.drawn.flow import Piece
from qwen3vl.drawn.page import GROUNDS, SHADES
from qwen3vl.drawn.sample import Split
from qwen3vl.drawn.scene import Scene
from qwen3vl.drawn.web import BLOCKS, new_page

SPLITS: tuple[Split, ...] = ("train", "held_out")
COUNTED = {"buttons": "button", "links": "a", "input fields": "input"}


class Texts(HTMLParser):
    """What a reader of the page sees written: texts, values, placeholders, and the numbers of ordered lists."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.written = ""
        self.number: int | None = None
        self.tags: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.number = {"ol": 0, "ul": None}.get(tag, self.number)
        if tag == "li" and self.number is not None:
            self.number += 1
            self.written += f"{self.number}."
        self.written += "".join(value or "" for name, value in attrs if name in ("placeholder", "value"))

    def handle_data(self, data: str) -> None:
        self.written += data


def scenes(split: Split, count: int = 60) -> Iterator[Scene]:
    for seed in range(count):
        rng = random.Random(f"{split} {seed}")
        scene = Scene.new(rng, split, rng.choice(sizes("web", split)))
        web.web(scene)
        yield scene


def html_of(scene: Scene) -> str:
    return str(next(c.turn.truth["html"] for c in scene.candidates if c.turn.task == "html"))


@pytest.mark.parametrize("split", SPLITS)
def test_the_html_has_what_is_written_on_the_page(split: Split) -> None:
    for scene in scenes(split):
        glyphs = Counter(mark.what for mark in scene.marks if len(mark.what) == 1)
        written = Counter("".join(Texts(html_of(scene)).written.split()))
        assert written == glyphs, html_of(scene)


@pytest.mark.parametrize("split", SPLITS)
def test_the_body_has_the_name_of_the_nearest_colour(split: Split) -> None:
    """The names as browsers define them, of which Pillow has a list of its own."""
    for scene in scenes(split, 40):
        named = re.search(r'<body style="background: (\w+); color: (\w+)">', html_of(scene))
        assert named
        corner = scene.images[0].getpixel((scene.size[0] - 1, scene.size[1] - 1))
        assert isinstance(corner, tuple)
        assert named[1] == nearest(corner, sorted(set(GROUNDS)))
        assert named[2] == ("white" if named[1] in ("black", "navy") else "black")


def nearest(color: tuple[int, ...], names: list[str]) -> str:
    def distance(name: str) -> int:
        return sum((a - b) ** 2 for a, b in zip(color, ImageColor.getrgb(name), strict=False))

    return min(names, key=distance)


def test_shades_are_nearest_to_their_own_name() -> None:
    grounds = sorted(set(GROUNDS))
    for names in (grounds, sorted(set(SHADES) - set(grounds) | {"navy", "black"})):
        for name in names:
            assert {nearest(shade, names) for shade in SHADES[name]} == {name}


def test_headings_are_numbered_by_their_place() -> None:
    levels: set[str] = set()
    for scene in scenes("train", 80):
        html = html_of(scene)
        outside = re.sub(r"<div.*</div>", "", html, flags=re.DOTALL)
        found = re.findall(r"<(h\d)", outside)
        assert found == [*["h1"] * bool(found), *["h2"] * (len(found) - 1)] or "h3" in html, html
        assert "h1" not in found[1:]
        assert "h3" not in found
        levels |= set(re.findall(r"<(h\d)", html))
    assert levels == {"h1", "h2", "h3"}


def test_pictures_and_tables_are_drawn_as_the_html_says() -> None:
    framed = 0
    for seed in range(120):
        scene = Scene.new(random.Random(seed), "train", (448, 320))
        if (drawn := new_page(scene)) is None:
            continue
        page, _ = drawn
        html = "\n".join(page.html)
        assert ('<table border="1">' in html) == ("<table" in html and page.site.table == "grid")
        framed += '<table border="1">' in html
        for width, height in re.findall(r'<img width="(\d+)" height="(\d+)">', html):
            assert int(width) % 40 == int(height) % 40 == 0
    assert framed


def test_a_picture_is_as_large_as_its_html_says() -> None:
    for seed in range(12):
        scene = Scene.new(random.Random(seed), "train", (448, 320))
        page = None
        while page is None:
            page = (new_page(scene) or (None, ""))[0]
        page.canvas.restart((255, 255, 255))
        page.y, page.gap, page.html = 0, 0, []
        assert BLOCKS["image"](page)
        box = page.canvas.image.convert("L").point(lambda level: 255 * (level < 250)).getbbox()
        assert box
        assert page.html == [f'<img width="{box[2] - box[0]}" height="{box[3] - box[1]}">']


def test_splits_differ_by_their_first_three_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    plans: dict[Split, set[tuple[str, ...]]] = {"train": set(), "held_out": set()}
    combine = Scene.combine

    def noted(scene: Scene, name: str, **axes: tuple[str, ...]) -> dict[str, str]:
        chosen = combine(scene, name, **axes)
        plans[scene.split].add(tuple(chosen.values()))
        return chosen

    monkeypatch.setattr(Scene, "combine", noted)
    for split in SPLITS:
        assert len(list(scenes(split, 100))) == 100
        assert {plan[0] for plan in plans[split]} == set(BLOCKS)
    assert not plans["train"] & plans["held_out"]


def test_counts_are_of_tags() -> None:
    asked: Counter[str] = Counter()
    for scene in scenes("train", 60):
        tags = Counter(Texts(html_of(scene)).tags)
        for turn in (candidate.turn for candidate in scene.candidates if candidate.turn.task == "count"):
            if turn.language == "en":
                (tag,) = (tag for noun, tag in COUNTED.items() if noun in turn.question.lower())
                assert turn.truth["count"] == tags[tag] == int(turn.answer)
                asked[tag] += turn.truth["count"]
    assert set(asked) == set(COUNTED.values())


# --- running text ---


def test_lines_hold_all_pieces_in_order_and_fit() -> None:
    rng = random.Random(0)
    parts = [Piece("x" * rng.randint(1, 9)) for _ in range(60)]
    lines = flow.lines(parts, 100, lambda piece: 7 * len(piece.text), 7)
    assert [placed.piece for line in lines for placed in line] == parts
    assert all(line[-1].x + 7 * len(line[-1].piece.text) <= 100 for line in lines)
    for line, after in pairwise(lines):
        assert line[-1].x + 7 * (len(line[-1].piece.text) + 1 + len(after[0].piece.text)) > 100


def test_punctuation_begins_no_line() -> None:
    assert [piece.text for piece in flow.pieces("去吧，好。", chinese=True)] == ["去", "吧，", "好。"]
    assert [piece.text for piece in flow.pieces("Go on, now.", chinese=False)] == ["Go", "on,", "now."]
