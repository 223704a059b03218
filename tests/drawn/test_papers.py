"""Texts, tables, forms, receipts and pages: what is answered against what was drawn, read back from the glyphs."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from itertools import combinations, pairwise

import numpy as np
import pytest
from PIL import Image

from qwen3vl.drawn import documents, form_drawing, forms, pages, receipts, tables, text, text_layouts, values
from qwen3vl.drawn.canvas import Box
from qwen3vl.drawn.effects import scanned
from qwen3vl.drawn.paper import APART, ink_and_ground, lightness
from qwen3vl.drawn.sample import Mark, Split, Turn
from qwen3vl.drawn.scene import HELD_OUT_SIZES, TRAIN_SIZES, Scene
from qwen3vl.drawn.text_layouts import Pen
from qwen3vl.drawn.words import characters, pairs

SPLITS: tuple[Split, ...] = ("train", "held_out")
SMALLEST = (192, 352)
FILLS = (text.text, tables.tables, forms.forms, receipts.receipts)


def scenes(fill: Callable[[Scene], None], count: int = 40, size: tuple[int, int] | None = None) -> list[Scene]:
    made = []
    for seed in range(count):
        rng, split = random.Random(f"{fill.__name__} {seed}"), SPLITS[seed % 2]
        scene = Scene.new(rng, split, size or rng.choice(TRAIN_SIZES if split == "train" else HELD_OUT_SIZES))
        fill(scene)
        made.append(scene)
    return made


def turns(scene: Scene, task: str) -> list[Turn]:
    return [candidate.turn for candidate in scene.candidates if candidate.turn.task == task]


def written(marks: list[Mark]) -> str:
    """The characters in the order in which they were drawn."""
    return "".join(mark.what for mark in marks if len(mark.what) == 1)


def bare(*texts: str) -> str:
    return re.sub(r"\s", "", "".join(texts))


@pytest.mark.parametrize("size", [None, SMALLEST])
@pytest.mark.parametrize("fill", FILLS)
def test_nothing_is_written_over_the_edge(fill: Callable[[Scene], None], size: tuple[int, int] | None) -> None:
    for scene in scenes(fill, 60, size):
        width, height = scene.images[0].size
        glyphs = [mark for mark in scene.marks if len(mark.what) == 1]
        assert glyphs
        assert all(2 <= mark.x < width - 1 and 4 <= mark.y < height - 3 for mark in glyphs), fill


def test_text_and_what_is_behind_it_can_be_told_apart() -> None:
    scene = Scene.new(random.Random(1), "train", (256, 256))
    made = [ink_and_ground(scene) for _ in range(3000)]
    assert all(abs(lightness(ink) - lightness(ground)) >= APART for ink, ground in made)
    assert {lightness(ink) < lightness(ground) for ink, ground in made} == {True, False}


def test_boxes_of_text_are_its_ink(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first and the last row and column of each box have ink, the ones just outside have none."""
    monkeypatch.setattr(text, "sheet", lambda scene, canvas, ink: (0, 0, *canvas.size))
    plain = {name: text_layouts.LAYOUTS[name] for name in ("big", "list", "paragraph", "letter")}
    monkeypatch.setattr(text, "LAYOUTS", plain)  # the others stand on plates
    checked = 0
    for scene in scenes(text.text, 40, (448, 320)):
        pixels = np.asarray(scene.images[0]).astype(int)
        inked = (pixels != pixels[-1, -1]).any(axis=2)
        for item in turns(scene, "ocr_boxes")[0].truth["boxes"]:
            x1, y1, x2, y2 = (round(v * s / 1000) for v, s in zip(item["box"], (448, 320) * 2, strict=True))
            ys, xs = np.nonzero(inked[max(0, y1 - 1) : y2 + 1, max(0, x1 - 3) : x2 + 3])
            measured = (xs.min() + max(0, x1 - 3), ys.min() + max(0, y1 - 1), xs.max() + max(0, x1 - 3) + 1)
            assert measured == pytest.approx((x1, y1, x2), abs=1), item
            checked += 1
    assert checked > 60


@pytest.mark.parametrize("layout", text_layouts.LAYOUTS)
def test_lines_do_not_overlap_and_rows_are_below_each_other(monkeypatch: pytest.MonkeyPatch, layout: str) -> None:
    seen: list[text_layouts.Written] = []
    monkeypatch.setattr(text, "LAYOUTS", {layout: text_layouts.LAYOUTS[layout]})
    monkeypatch.setattr(text, "_ask", lambda scene, page: seen.append(page))
    scenes(text.text, 30)
    for page in seen:
        assert 1 <= len(page.lines) <= text_layouts.MOST_LINES + 2
        for a, b in combinations([line.box for line in page.lines], 2):
            assert not _overlap(a, b)
        if page.rows:
            middles = [line.box[1] + line.box[3] for line in page.lines]
            assert all(b - a > 12 for a, b in pairwise(middles))


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def test_what_is_to_be_read_is_what_was_written() -> None:
    for scene in scenes(text.text, 60):
        lines = [item["text"] for item in turns(scene, "ocr_boxes")[0].truth["boxes"]]
        assert written(scene.marks) == bare(*lines)


def test_a_line_that_is_asked_for_by_its_text_is_in_no_other() -> None:
    texts = ("Tea", "Green teapot", "Salt")
    page = text_layouts.Written([text_layouts.Line(t, (5, 20 * i, 90, 20 * i + 15), 14) for i, t in enumerate(texts)])
    for seed in range(20):
        scene = Scene.new(random.Random(seed), "train", (256, 256))
        text._ask(scene, page)
        _, *found = (turn.truth["boxes"] for turn in turns(scene, "ocr_boxes"))
        assert {one["text"] for (one,) in found} == {"Green teapot", "Salt"}


def test_the_cells_of_a_table_stand_in_its_rows_and_columns() -> None:
    """The glyphs, sorted by where they are, give the cells row by row and from left to right."""
    for scene in scenes(tables.tables, 60):
        rows = turns(scene, "table_html")[0].truth["rows"]
        glyphs = [mark for mark in scene.marks if len(mark.what) == 1]
        lines: dict[int, list[Mark]] = {}
        for mark in glyphs:
            lines.setdefault(mark.y, []).append(mark)
        read = ["".join(mark.what for mark in sorted(line, key=lambda m: m.x)) for _, line in sorted(lines.items())]
        wanted = [bare(*row) for row in rows]
        assert read in (wanted, read[:1] + wanted, wanted + read[-1:])
        assert len(read) - len(wanted) in (0, 1)


def test_a_header_names_each_column_once_and_a_row_too() -> None:
    for scene in scenes(tables.tables, 60):
        rows = turns(scene, "table_html")[0].truth["rows"]
        assert len(set(rows[0])) == len(rows[0]) >= 2
        assert len({row[0] for row in rows[1:]}) == len(rows) - 1 >= 1
        for turn in turns(scene, "table_lookup"):
            assert sum(turn.answer == row[0] for row in rows[1:]) == 1


def test_every_field_of_a_form_stands_beside_its_label() -> None:
    for scene in scenes(forms.forms, 80):
        fields, drawn = turns(scene, "key_values")[0].truth["fields"], written(scene.marks)
        place = 0
        for label, value in fields.items():
            start = drawn.index(bare(label), place)
            place = drawn.index(bare(value), start + len(bare(label))) + len(bare(value))
            between = drawn[start + len(bare(label)) : place - len(bare(value))]
            assert len(between) <= 24, between  # a colon, or the options before the one that is ticked
        assert len(fields) >= 1


@pytest.mark.parametrize("fill", [forms.forms, pages.pages])
def test_values_stand_where_their_turn_says(fill: Callable[[Scene], None]) -> None:
    checked = 0
    for scene in scenes(fill, 30, (256, 256)):
        for candidate in scene.candidates:
            turn = candidate.turn
            if turn.place is None:
                assert scene.askew or turn.task not in ("form_value", "pages_question") or _is_no_value(scene, turn)
                continue
            x1, y1, x2, y2 = (value * 256 / 1000 for value in turn.place)
            frame = turn.truth.get("page", 1) - 1
            inside = [m for m in scene.marks if m.frame == frame and x1 <= m.x <= x2 and y1 <= m.y <= y2]
            assert written(inside) == bare(turn.truth["value"])
            checked += 1
    assert checked > 50


def _is_no_value(scene: Scene, turn: Turn) -> bool:
    """Whether a turn asks for a title, or for the option of several that is ticked."""
    if turn.key in ("page_of_title", "page_of_value"):
        return turn.key == "page_of_title"
    alone = f"{turn.slots['field']} {turn.truth['value']}"
    return alone not in scene.texts[turn.truth.get("page", 1) - 1].splitlines()


def test_the_text_of_a_page_is_all_that_is_written_there() -> None:
    for scene in scenes(forms.forms, 30):
        drawn = written(scene.marks)
        (text_of_page,) = scene.texts
        for line in text_of_page.splitlines():
            assert all(bare(word) in drawn for word in line.split()), line


def test_what_a_scan_has_moved_is_nowhere() -> None:
    (scene,) = scenes(forms.forms, 1)
    assert any(turn.place for turn in turns(scene, "form_value"))
    documents.scan(scene)
    assert not any(turn.place for turn in turns(scene, "form_value"))


def test_labels_are_all_different() -> None:
    for chinese in (False, True):
        labels = [pair[chinese] for pair, _ in values.LABELS]
        assert len(set(labels)) == len(labels) > 70


def test_values_are_in_the_language_of_the_form() -> None:
    words = Scene.new(random.Random(2), "train", (256, 256)).words
    drawable = {*characters(), *"￥年月日元公司路号是否"}
    for kind in values.KINDS:
        for _ in range(30):
            assert values.maker(words, kind, False)(words).translate({ord("€"): "", ord("£"): ""}).isascii()
            chinese = values.maker(words, kind, True)(words)
            assert {c for c in chinese if not c.isascii()} <= drawable, chinese


def test_the_vocabulary_of_papers_is_drawable() -> None:
    groups = ["more_columns", "more_row_names", "more_titles", "totals", "subtotals", "taxes", "discounts"]
    groups += ["payments", "changes", "receipt_codes", *(f"label_{kind}" for _, kind in values.LABELS)]
    drawn = set(characters())
    for english, chinese in (pair for group in groups for pair in pairs(group)):
        assert english.isascii()
        assert set(chinese) <= drawn, chinese


def test_the_sums_of_a_receipt_are_true(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[receipts.Receipt] = []
    monkeypatch.setattr(receipts, "ask_receipt", lambda scene, receipt: seen.append(receipt))
    made = scenes(receipts.receipts, 120)
    subtotals = {label for pair in receipts.SUBTOTALS for label in pair}
    kinds = set()
    for scene, receipt in zip(made, seen, strict=True):
        bought = sum(item.price * item.quantity for item in receipt.items)
        lines = dict(receipt.sums)
        assert all(amount == bought for label, amount in lines.items() if label in subtotals)
        assert receipt.total == bought + sum(amount for label, amount in lines.items() if label not in subtotals)
        if len(receipt.tail) == 2:
            (_, given), (_, back) = receipt.tail
            assert given - back == receipt.total
            assert back >= 0
        kinds.add((len(receipt.sums), len(receipt.tail), receipt.counted))
        assert bare(receipt.total_label, receipt.money(receipt.total)) in written(scene.marks)
        assert len(receipt.fields) == len(receipt.head) + len(receipt.items) + len(lines) + 1 + len(receipt.tail)
    assert len(kinds) > 10


def test_the_price_of_what_was_bought_twice_is_not_asked() -> None:
    counted = 0
    for seed in range(60):
        scene = Scene.new(random.Random(seed), "train", (416, 416))
        one, two = receipts.Item("Teapot", 500), receipts.Item("Spoons", 300, 2)
        receipts.ask_receipt(scene, receipts.Receipt("Shop", {}, (one, two), (), "Total", 1100, (), "{}", True))
        asked = " ".join(turn.question for turn in turns(scene, "form_value")).casefold()
        assert "spoons" not in asked
        counted += "teapot" in asked
        assert not turns(scene, "key_values")
    assert counted == 60


def test_pages_are_found_only_by_what_no_other_page_has() -> None:
    for scene in scenes(pages.pages, 30, (256, 288)):
        by_page = [written([mark for mark in scene.marks if mark.frame == i]).casefold() for i in range(3)]
        for turn in turns(scene, "pages_question"):
            if not re.fullmatch(r"Page \d|第\d页", turn.answer):
                continue
            text = bare(turn.truth["value"]).casefold()
            assert text in by_page[turn.truth["page"] - 1]
            assert sum(text in page for page in by_page) == 1, turn.question


def test_a_page_is_not_found_by_what_another_has_too() -> None:
    titles = ("Visa", "Order")
    fields = ([("City", "Rome"), ("Gate", "Oslo")], [("Town", "Rome street"), ("Room", "Paris")])
    made = [
        pages.Page(title, [form_drawing.Entry(*field) for field in entries])
        for title, entries in zip(titles, fields, strict=True)
    ]
    scene = Scene.new(random.Random(3), "train", (256, 256))
    pages._ask(scene, made)
    found = [turn for turn in turns(scene, "pages_question") if re.fullmatch(r"Page \d|第\d页", turn.answer)]
    assert {turn.truth["value"] for turn in found} == {*titles, "Oslo", "Rome street", "Paris"}


def test_marks_go_where_a_scan_puts_them() -> None:
    for seed in range(12):
        rng = random.Random(seed)
        places = [(rng.randint(20, 300), rng.randint(20, 220)) for _ in range(3)]
        for x, y in places:
            image = Image.new("RGB", (320, 240), "white")
            image.paste((0, 0, 0), (x - 2, y - 2, x + 3, y + 3))
            askew, (mark,) = scanned(image, [Mark(0, x, y, "a")], random.Random(seed))
            assert askew.size == image.size
            weights = 255.0 - np.asarray(askew.convert("L"), dtype=float)
            weights[weights < 60] = 0
            ys, xs = np.mgrid[:240, :320]
            assert (mark.x, mark.y) == pytest.approx(
                ((weights * xs).sum() / weights.sum(), (weights * ys).sum() / weights.sum()), abs=1.2
            )


def test_scans_move_the_picture_and_all_of_it_a_little() -> None:
    moved = []
    for scene in scenes(tables.tables, 12):
        before = list(scene.marks)
        documents.scan(scene)
        moved += [max(abs(a.x - b.x), abs(a.y - b.y)) for a, b in zip(before, scene.marks, strict=True)]
        assert [mark.what for mark in scene.marks] == [mark.what for mark in before]
    assert 2 <= max(moved) <= 20


def test_words_wider_than_the_column_leave_no_empty_line() -> None:
    """It once ended a process that drew: one sample in some ten millions."""
    for seed in range(20):
        scene = Scene.new(random.Random(seed), "train", (320, 320))
        pen = Pen(scene, scene.canvas((255, 255, 255)), (0, 0, 320, 320), (0, 0, 0), False, "left", "tight", "none")
        font = pen.font(14, 14)
        lines = pen.wrapped(font, 40, 5)
        assert all(line and font.width(line) <= 40 for line in lines)
