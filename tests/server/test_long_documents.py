"""Questions about long documents of a real server: which pages are shown, what is read once, where sources stand."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from qwen3vl import Engine
from qwen3vl.media.pdf import PdfPages
from qwen3vl.server import Services, create_app
from qwen3vl.server.tasks import TaskAnswer
from qwen3vl.settings import Settings
from qwen3vl.store import Store
from support.media_files import data_url, encode, noise
from support.paper import HEIGHT, Leaf, leaf, paper
from support.scripted import Script
from support.server import serving

COUNT = 40
SECRET = 27  # the page with the answer
FILLER = "Chapter {n} tells of stones, rivers and hills, and of nothing that anybody has ever asked about."
LINES = [FILLER.format(n=n) for n in range(1, COUNT + 1)]
LINES[SECRET - 1] = "The warranty of the blue pump lasts 30 months, and that of every other part of it lasts for ever."
CHINESE = "蓝色水泵的保修期为三十个月。"
BOOK = paper(*[leaf(line, size=10) for line in LINES[:-1]], leaf(CHINESE))
SCANS = paper(*[Leaf(scan=f"page {n}") for n in range(1, 13)], leaf("The end of the scans: " + LINES[0], LINES[1]))
QUOTE = "blue pump lasts 30 months"


class Librarian(Script):
    """Reads scans as it is told, and answers questions with a source."""

    def __init__(self) -> None:
        super().__init__([])
        self.scans: dict[int, str] = {}
        self.source: dict[str, Any] = {"page": SECRET, "quote": QUOTE, "bbox_2d": [1, 2, 3, 4]}
        self.fail_at: int | None = None
        self.read: list[int] = []

    def astream(self, messages: Any, **options: Any) -> Any:
        content = messages[-1]["content"]
        if content[-1]["text"].startswith("Read all the text"):
            [number] = content[0]["pdf"].numbers
            if number == self.fail_at:
                raise RuntimeError("the lights went out")
            self.read.append(number)
            self.pieces = [self.scans.get(number, f"scanned page {number}")]
        else:
            self.pieces = [json.dumps({"answer": "30 months", "citations": [self.source]})]
        return super().astream(messages, **options)

    @property
    def shown(self) -> list[int]:
        """The pages of the last question."""
        parts = [part["pdf"] for part in self.asked[-1]["messages"][-1]["content"] if part["type"] == "pdf"]
        assert all(isinstance(part, PdfPages) for part in parts)
        return [number for part in parts for number in part.numbers]

    @property
    def texts(self) -> list[str]:
        return [part["text"] for part in self.asked[-1]["messages"][-1]["content"] if part["type"] == "text"]


@pytest.fixture
def librarian(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Librarian:
    librarian = Librarian()
    librarian.play(engine, monkeypatch)
    return librarian


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """In which nothing has been read."""
    with Store.open(f"sqlite:///{tmp_path}/store.db", tmp_path / "media") as store:
        yield store


@pytest.fixture
def api(engine: Engine, store: Store) -> Iterator[httpx.Client]:
    services = Services(Settings(), store)
    services.models.adopt(engine)
    with serving(create_app(services)) as base, httpx.Client(base_url=f"{base}/v1", timeout=60) as client:
        yield client
    services.books.close()


def part(data: bytes, name: str = "book.pdf") -> dict[str, Any]:
    url = f"data:application/pdf;base64,{base64.b64encode(data).decode()}"
    return {"type": "file", "file": {"file_data": url, "filename": name}}


def ask(api: httpx.Client, *files: dict[str, Any], question: str = "How long is the warranty?", **params: Any) -> Any:
    body = {"input": list(files), "params": {"question": question, **params}, "max_tokens": 64}
    answer = api.post("/tasks/documents", json=body)
    assert answer.status_code == 200, answer.text
    return TaskAnswer.model_validate(answer.json()).result


def test_the_pages_that_have_to_do_with_it_are_shown(api: httpx.Client, librarian: Librarian) -> None:
    result = ask(api, part(BOOK), most_pages=3)
    assert SECRET in librarian.shown
    assert librarian.shown == [SECRET - 1, SECRET, SECRET + 1], "and those beside it"
    assert librarian.texts[2] == f"Page {SECRET}:"
    assert librarian.texts[3] == f"Its text:\n{LINES[SECRET - 1]}"
    assert [(page.page, page.text) for page in result.seen] == [(n, "layer") for n in librarian.shown]
    [cited] = result.pages
    assert (cited.page, cited.picture, cited.exact, result.text) == (SECRET, SECRET - 1, True, "30 months")
    assert cited.box is not None
    assert cited.box.relative[1] < 1000 * (1 - 700 / HEIGHT) <= cited.box.relative[3] + 5
    assert librarian.read == [], "nothing needs to be read that has a text"


def test_a_question_in_chinese(api: httpx.Client, librarian: Librarian) -> None:
    librarian.source = {"page": COUNT, "quote": "保修期为三十个月"}
    result = ask(api, part(BOOK), question="蓝色水泵保修期多长？", most_pages=1)
    assert librarian.shown == [COUNT]
    assert [(cited.page, cited.exact) for cited in result.pages] == [(COUNT, True)]


def test_a_short_document_is_shown_whole(api: httpx.Client, librarian: Librarian) -> None:
    librarian.source = {"page": 2}
    ask(api, part(paper(*[leaf(line, size=10) for line in LINES[:4]])))
    assert librarian.shown == [1, 2, 3, 4]
    ask(api, part(paper(Leaf(scan="one"), Leaf(scan="two"))))
    assert (librarian.shown, librarian.read) == ([1, 2], []), "what is shown anyway need not be read"


def test_pages_that_a_person_names(api: httpx.Client, librarian: Librarian) -> None:
    result = ask(api, part(BOOK), pages="3-5, 1")
    assert librarian.shown == [1, 3, 4, 5]
    assert [page.page for page in result.seen] == [1, 3, 4, 5]
    ask(api, part(BOOK), pages="20-", most_pages=2)
    assert SECRET in librarian.shown
    assert len(librarian.shown) == 2
    body = {"input": [part(BOOK)], "params": {"question": "?", "pages": "39-41"}}
    refused = api.post("/tasks/documents", json=body)
    assert refused.status_code == 400
    assert "pages 1 to 40" in refused.json()["error"]["message"]


def test_only_what_fits_is_shown(api: httpx.Client, librarian: Librarian, engine: Engine) -> None:
    """And the real prompt of it does fit, while the whole document would not."""
    result = ask(api, part(BOOK), pages="1-", question="How long does the pump last?")
    assert SECRET in librarian.shown
    assert len(librarian.shown) < COUNT
    assert f"{COUNT - len(librarian.shown)} of the {COUNT} pages" in result.warnings[0]
    prompt = engine.prompt_builder.build(librarian.asked[-1]["messages"])
    context = engine.info.max_context
    assert 0.6 * context < len(prompt.token_ids) < context - 64
    assert len(prompt.visuals) == len(librarian.shown)
    fewer = ask(api, part(BOOK), pages="1-", question="How long does the pump last?").seen
    body = {"input": [part(BOOK)], "params": {"question": "?", "pages": "1-"}, "max_tokens": 2000}
    assert 0 < len(TaskAnswer.model_validate(api.post("/tasks/documents", json=body).json()).result.seen) < len(fewer)


def test_scans_are_read_once_and_then_searched(api: httpx.Client, librarian: Librarian) -> None:
    librarian.scans = {7: "The guarantee ends after a year"}
    librarian.source = {"page": 7, "quote": "ends after a year", "bbox_2d": [10, 20, 30, 40]}
    result = ask(api, part(SCANS), question="When does the guarantee end?", most_pages=2)
    assert sorted(librarian.read) == list(range(1, 13))
    assert 7 in librarian.shown
    assert "Its text:\nThe guarantee ends after a year" in librarian.texts
    assert next(page for page in result.seen if page.page == 7).text == "model"
    [cited] = result.pages
    assert cited.box is not None
    assert (cited.exact, cited.box.relative) == (False, (10, 20, 30, 40)), "the model's own place"
    librarian.read.clear()
    ask(api, part(SCANS, "again.pdf"), question="When does the guarantee end?", most_pages=1)
    assert (librarian.read, librarian.shown) == ([], [7])


def test_what_was_read_before_an_error_is_kept(api: httpx.Client, librarian: Librarian, store: Store) -> None:
    librarian.fail_at, pages = 9, range(1, 25)
    scans = paper(*[Leaf(scan=f"page {number}") for number in pages])
    body = {"input": [part(scans)], "params": {"question": "?", "most_pages": 1}}
    # Such an error may close its connection, also while the next request is on its way.
    assert api.post("/tasks/documents", json=body, headers={"Connection": "close"}).status_code == 500
    kept = store.page_texts.of(hashlib.sha256(scans).hexdigest(), "moe")
    before = set(librarian.read)
    assert set(kept) <= before
    assert len(kept) >= 4
    assert max(before) < 20, "and nothing is read for nobody"
    librarian.fail_at = None
    librarian.read.clear()
    assert api.post("/tasks/documents", json=body).status_code == 200
    assert set(librarian.read) == set(pages) - set(kept)


def test_several_documents_and_a_picture(api: httpx.Client, librarian: Librarian) -> None:
    librarian.source = {"page": 5, "quote": LINES[2]}
    first, second = (paper(*[leaf(line, size=10) for line in LINES[at : at + 2]]) for at in (0, 2))
    picture = {"type": "image_url", "image_url": {"url": data_url(encode(noise(64, 64), "PNG"), "image/png")}}
    result = ask(api, part(first, "a.pdf"), picture, part(second))
    assert [(page.file, page.page, page.picture) for page in result.seen] == [
        (0, 1, 0),
        (0, 2, 1),
        (1, 3, 2),
        (2, 1, 3),
        (2, 2, 4),
    ]
    assert [text for text in librarian.texts if text.startswith("Page")] == [
        'Page 1 (page 1 of "a.pdf"):',
        'Page 2 (page 2 of "a.pdf"):',
        "Page 3:",
        'Page 4 (page 1 of "book.pdf"):',
        'Page 5 (page 2 of "book.pdf"):',
    ]
    [cited] = result.pages
    assert (cited.file, cited.page, cited.picture, cited.exact) == (2, 1, 3, True), "its words are on another page"


def test_a_document_may_hold_what_looks_like_a_control_token(api: httpx.Client, librarian: Librarian) -> None:
    ask(api, part(paper(leaf("It ends with <|im_end|>."))))
    assert "Its text:\nIt ends with < |im_end|>." in librarian.texts


def test_a_conversation_shows_the_pages_again_and_not_the_whole(api: httpx.Client, librarian: Librarian) -> None:
    conversation = api.post("/conversations", json={}).json()["id"]
    turn = {
        "content": [part(BOOK)],
        "task": "documents",
        "params": {"question": "How long is the warranty?", "most_pages": 2},
    }
    said = api.post(f"/conversations/{conversation}/messages", json=turn).json()
    question, answer = said["question"], said["answer"]
    assert question["text"] == "How long is the warranty?"
    assert api.get(f"/conversations/{conversation}").json()["title"] == "How long is the warranty?"
    assert [page["page"] for page in answer["result"]["seen"]] == librarian.shown == [SECRET, SECRET + 1]
    assert answer["result"]["pages"][0]["exact"] is True
    again = api.post(f"/conversations/{conversation}/messages", json={"parent": question["id"]}).json()["answer"]
    assert again["result"]["seen"] == answer["result"]["seen"]
    api.post(f"/conversations/{conversation}/messages", json={"content": "And the pump?"})
    first = librarian.asked[-1]["messages"][0]["content"]
    assert [number for part in first if part["type"] == "pdf" for number in part["pdf"].numbers] == [SECRET, SECRET + 1]
    assert [part["text"] for part in first if part["type"] == "text"] == [
        f"Page {SECRET}:",
        f"Page {SECRET + 1}:",
        "How long is the warranty?",
    ]


def test_an_answer_can_be_stopped_while_pages_are_read(api: httpx.Client, librarian: Librarian) -> None:
    librarian.seconds = 1.0
    conversation = api.post("/conversations", json={}).json()["id"]
    turn = {"content": [part(SCANS)], "task": "documents", "params": {"question": "?", "most_pages": 1}}
    with pytest.raises(httpx.ReadTimeout):
        api.post(f"/conversations/{conversation}/messages", json=turn, timeout=0.5)
    answer = api.get(f"/conversations/{conversation}").json()["messages"][-1]
    assert answer["state"] == "running", "it belongs to the conversation, and goes on"
    stopped = api.post(f"/conversations/{conversation}/messages/{answer['id']}/stop").json()
    assert stopped["state"] == "stopped"
    read = len(librarian.read)
    assert read < 12
    assert librarian.closed >= 1
    time.sleep(1.5)
    assert len(librarian.read) == read
