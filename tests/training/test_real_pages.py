"""The ten real pages: complete, as the task of each wants its answers, and asked as `qwen3vl eval` asks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from qwen3vl import Engine
from qwen3vl.bench.evaluate import Record, Reply
from qwen3vl.bench.scoring import Part, main_metric, score
from training.real_pages import __main__ as program
from training.real_pages import screenshots
from training.real_pages.pages import HERE, Page, load

PAGES = load()


def test_ten_pages_of_many_tasks() -> None:
    assert len(PAGES) == len({page.name for page in PAGES}) == 10
    assert len({page.task for page in PAGES}) >= 7
    assert {page.picture for page in PAGES} == set(HERE.glob("*.png"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_picture_is_there_and_the_answer_counts(page: Page) -> None:
    with Image.open(page.picture) as picture:
        assert picture.size == (page.width, page.height)
    assert page.picture.stat().st_size < 40_000
    assert page.width * page.height <= 448 * 448
    part = score(page.task, page.answer, page.answer, {})[main_metric(page.task)]
    assert part.value == part.weight > 0
    wrong = score(page.task, "Sorry.", page.answer, {})[main_metric(page.task)]
    assert wrong.value < wrong.weight


@pytest.mark.parametrize(("change", "words"), [({"tsk": "count"}, "'tsk'"), ({"task": "riddle"}, "'riddle'")])
def test_a_list_with_a_mistake(tmp_path: Path, change: dict[str, str], words: str) -> None:
    text = (HERE / "pages.toml").read_text()
    last = text[text.rindex("[[page]]") :].replace('task = "out_of_scope"\n', "")
    (tmp_path / "pages.toml").write_text(last + "".join(f'{key} = "{value}"\n' for key, value in change.items()))
    with pytest.raises(ValueError, match=words):
        load(tmp_path / "pages.toml")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    """A page below `tmp_path`, with a style sheet beside it and a picture elsewhere in the web."""
    folder = tmp_path / "usr/share/doc/tea"
    folder.mkdir(parents=True)
    (folder / "index.html").write_text(
        "<link rel=stylesheet href='/usr/share/doc/tea/style.css'><img src='http://127.0.0.1:1/x.png'>"
        "<p style='height: 900px'>above<p id=here style='height: 50px; background: red'>Tea<p style='height: 900px'>"
        "<script>document.body.remove()</script>"
    )
    (folder / "style.css").write_text("body { background: rgb(0, 128, 0); margin: 0 }")
    monkeypatch.setattr("training.real_pages.pages.HERE", tmp_path)
    return Page(
        *("tea", "tea-doc", "1.0", "MIT", "/usr/share/doc/tea/index.html", 200, 100),
        *("ocr_line", "What does it say?", "Tea", "#here"),
    )


def test_pictures_are_taken_from_the_packages(tmp_path: Path, package: Page) -> None:
    assert screenshots.missing([package], tmp_path) == []
    assert screenshots.missing([package], tmp_path / "elsewhere") == ["tea-doc=1.0"]
    screenshots.take([package], tmp_path)
    with Image.open(tmp_path / "tea.png") as image:
        picture = image.convert("RGB")
    assert picture.size == (200, 100)
    assert picture.getpixel((190, 90)) == (0, 128, 0)  # the style sheet of the package
    assert picture.getpixel((190, 3)) == (255, 0, 0)  # scrolled to the line, which no script has removed


def test_asked_and_judged(package: Page, tmp_path: Path) -> None:
    Image.new("RGB", (200, 100), "white").save(tmp_path / "tea.png")
    with Engine.load("tiny-dense", device="cpu", memory="1GiB") as engine:
        said = engine.generate(package.item().messages, temperature=0.0, max_tokens=67).text
        right = Page(**{**vars(package), "answer": said})
        result = json.loads(json.dumps(program.ask(engine, [package, right])))
    assert result["model"] == "tiny-dense"
    first, second = result["pages"]
    assert first["said"] == second["said"] == said
    assert (first["right"], second["right"]) == (False, True)
    assert (first["package"], first["metric"], first["answer"]) == ("tea-doc", "exact", "Tea")


def test_half_right_is_wrong(package: Page) -> None:
    for hits, right in ((1, False), (2, True)):
        record = Record(
            *("tea", "ocr_line", "full", "held_out", "?", "Tea"),
            Reply("Tea", "stop", Part(1.0, 1.0)),
            {"exact": Part(hits, 2)},
        )
        assert program._line(package, record)["right"] is right


def test_packages_that_are_missing_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "sys.argv", ["real_pages", "no-model", "--out", str(tmp_path), "--render", "--root", str(tmp_path)]
    )
    with pytest.raises(SystemExit):
        program.main()
    err = capsys.readouterr().err
    assert "nginx-common=1.22.1-9+deb12u11" in err
    assert "sqlite3-doc" in err
