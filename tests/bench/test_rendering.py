"""Written pages judged by their looks, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from qwen3vl.bench.datasets import Item
from qwen3vl.bench.rendering import PageJudge
from qwen3vl.browser import Renderer
from qwen3vl.media.types import Image

PAGE = "<!DOCTYPE html>\n<html>\n<body>\n<h1>Harvest</h1>\n<p>Seven pears</p>\n<button>Save</button>\n</body>\n</html>"


def item(picture: object = None, task: str = "html") -> Item:
    image = Image(np.zeros((256, 320, 3), np.uint8)) if picture is None else picture
    content = [{"type": "image", "image": image}, {"type": "text", "text": "HTML, please."}]
    return Item("a", task, [{"role": "user", "content": content}], "HTML, please.", f"```html\n{PAGE}\n```")


@pytest.fixture(scope="module")
def judge() -> Iterator[PageJudge]:
    with Renderer() as renderer:
        yield PageJudge(renderer)


def likeness(judge: PageJudge, answer: str) -> float:
    return judge(item(), answer)["render"].value


def test_the_more_alike_the_higher(judge: PageJudge) -> None:
    same = likeness(judge, f"Here it is:\n```html\n{PAGE}\n```")
    untidy = likeness(judge, PAGE.replace("\n", "\n\n  ").replace("<p>", "<P class='a'>"))
    typo = likeness(judge, PAGE.replace("Seven", "Sewen"))
    shorter = likeness(judge, PAGE.replace("<button>Save</button>", "").replace("<p>Seven pears</p>", ""))
    other = likeness(judge, "<html><body><ul><li>One<li>Two</ul><hr></body></html>")
    assert same == 1
    assert untidy == pytest.approx(1)  # other HTML that shows the same
    assert 1 > typo > shorter > other >= 0
    assert other < 0.4


def test_silence_and_talk_are_like_nothing(judge: PageJudge) -> None:
    assert likeness(judge, "") == 0
    assert likeness(judge, "<think>HTML?</think>") == 0
    assert likeness(judge, "I can't answer that.") < 0.4


def test_only_html_is_judged(judge: PageJudge) -> None:
    assert judge(item(task="table_html"), "<table></table>") == {}


def test_a_page_is_as_large_as_the_picture(tmp_path: Path) -> None:
    asked = []

    class Noting(Renderer):
        def render(self, html: str, size: tuple[int, int]) -> PIL.Image.Image:
            asked.append(size)
            return PIL.Image.new("RGB", size)

    PIL.Image.new("RGB", (5000, 100)).save(tmp_path / "a.png")
    judge = PageJudge(Noting())
    judge(item(), "x")
    judge(item(tmp_path / "a.png"), "x")
    question = item()
    question.messages[0]["content"].pop(0)
    judge(question, "x")
    assert asked[::2] == [(320, 256), (4096, 100), (448, 448)]
