"""Questions about documents: what is asked of the pages that are shown, and where the answer's sources are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qwen3vl.errors import InputError
from qwen3vl.media.pdf_text import read_characters, read_pages
from qwen3vl.tasks.kinds.documents import DocumentParams, Documents
from qwen3vl.tasks.quotes import QuotedPage
from qwen3vl.tasks.results import MediaInfo, Sheet, TaskResult
from support.paper import HEIGHT, WIDTH, leaf, paper

TASK = Documents()
REPORT = paper(leaf("Annual report"), leaf("Revenue was 300 EUR"), leaf("Costs were 120 EUR"), leaf("Thanks to all"))


def media(*shown: int, exact: bool = True) -> list[MediaInfo]:
    """The report's pages, of which those are shown; `exact`: with the characters of their text."""
    found = []
    for number, page in enumerate(read_pages(REPORT), 1):
        sheet = Sheet("layer", QuotedPage(read_characters(REPORT, number))) if exact else Sheet("model")
        given = sheet if number in shown else None
        found.append(MediaInfo("document", page.width, page.height, page=number, sheet=given))
    return found


def answer(*sources: dict[str, Any], given: list[MediaInfo], text: str = "So.", **params: Any) -> TaskResult:
    said = json.dumps({"answer": text, "citations": list(sources)})
    return TASK.reader(DocumentParams(question="?", **params), given).finish(said)


def test_words_of_the_text_are_marked_where_they_stand() -> None:
    source = {"page": 3, "quote": "costs were 120", "bbox_2d": [1, 1, 900, 900]}
    [cited] = answer(source, given=media(2, 3)).pages
    assert (cited.page, cited.file, cited.picture, cited.exact) == (3, 0, 2, True)
    assert cited.box is not None
    left, top, right, bottom = cited.box.relative
    assert left == pytest.approx(1000 * 60 / WIDTH, abs=3)
    assert top < 1000 * (1 - 700 / HEIGHT) <= bottom + 3
    assert right < 350
    assert [line.relative for line in cited.lines] == [cited.box.relative]
    scale = 1237 / 1000, 1600 / 1000
    assert cited.box.pixels == pytest.approx((left * scale[0], top * scale[1], right * scale[0], bottom * scale[1]))
    assert cited.box.picture == 2


def test_words_that_are_not_there_are_where_the_model_says() -> None:
    source = {"page": 3, "quote": "costs were 130", "bbox_2d": [100, 200, 300, 400]}
    for given in (media(2, 3), media(2, 3, exact=False)):
        [cited] = answer(source, given=given).pages
        assert (cited.page, cited.exact, cited.lines) == (3, False, [])
        assert cited.box is not None
        assert cited.box.relative == (100, 200, 300, 400)
    [placeless] = answer({"page": 3, "quote": "costs were 130"}, given=media(3)).pages
    assert placeless.box is None


def test_a_wrong_page_is_put_right_by_its_words() -> None:
    wrong = {"page": 2, "quote": "Costs were 120 EUR", "bbox_2d": [1, 1, 2, 2]}
    assert [c.page for c in answer(wrong, given=media(2, 3)).pages] == [3]
    assert [c.page for c in answer({**wrong, "page": "p. 7"}, given=media(2, 3)).pages] == [3]
    few = {"page": 2, "quote": "120", "bbox_2d": [1, 1, 2, 2]}
    assert [(c.page, c.exact) for c in answer(few, given=media(2, 3)).pages] == [(2, False)], "it says too little"


@pytest.mark.parametrize("page", [1, 0, 99, -1, True, None, "no", 2.5, [2]])
def test_pages_that_were_not_shown_are_no_sources(page: object) -> None:
    assert answer({"page": page, "quote": "nowhere at all"}, given=media(2, 3)).pages == []


def test_pages_that_are_only_named() -> None:
    given = media(2, 3)
    reader = TASK.reader(DocumentParams(question="?", citations=False), given)
    assert [c.page for c in reader.finish("See page 3 and 第 2 页, not page 1.").pages] == [3, 2]


def test_the_result_says_what_was_looked_at() -> None:
    seen = answer(given=media(2, 4)).seen
    assert [(page.page, page.picture, page.text) for page in seen] == [(2, 1, "layer"), (4, 3, "layer")]
    assert answer(given=[MediaInfo("document", 9, 9, page=1)]).seen == []


def test_several_documents_keep_their_own_numbers() -> None:
    given = [MediaInfo("document", 10, 10, page=n, file=f, sheet=Sheet()) for f in (0, 1) for n in (1, 2)]
    [cited] = answer({"page": 4, "quote": "x", "bbox_2d": [0, 0, 500, 500]}, given=given).pages
    assert (cited.page, cited.file, cited.picture) == (2, 1, 3)
    assert [(page.page, page.file) for page in answer(given=given).seen] == [(1, 0), (2, 0), (1, 1), (2, 1)]


def test_named_pages_that_had_no_room_are_told() -> None:
    assert answer(given=media(2), pages="2-4").warnings == [
        "2 of the 3 pages that were named did not fit into the model's context"
    ]
    for params in ({"pages": "2"}, {}, {"pages": "2-4", "most_pages": 1}):
        assert answer(given=media(2), **params).warnings == []


def test_only_shown_pages_may_be_cited() -> None:
    asked = TASK.prepare(DocumentParams(question="What?", strict=True), media(2, 4), "en")
    assert asked.grammar is not None
    assert json.loads(asked.grammar.source)["properties"]["citations"]["items"]["properties"]["page"] == {
        "enum": [2, 4]
    }
    assert asked.instruction.startswith("What? Name the page")


def test_ranges_are_checked_before_anything_is_asked() -> None:
    with pytest.raises(InputError, match="pages 1 to 4"):
        TASK.prepare(DocumentParams(question="?", pages="5"), media(), "en")


def test_half_an_answer_has_what_is_finished() -> None:
    whole = json.dumps({"answer": "So.", "citations": [{"page": 3, "quote": "Costs were 120 EUR"}, {"page": 2}]})
    reader = TASK.reader(DocumentParams(question="?"), media(2, 3))
    found = [update for sign in whole for update in reader.feed(sign) if update.kind == "item"]
    assert [(update.item.page, update.item.exact) for update in found][:1] == [(3, True)]
