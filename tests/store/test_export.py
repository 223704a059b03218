"""Exported conversations: all that was said is there, and a page of it does nothing, whatever was said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.responses import Response

from qwen3vl.errors import InputError
from qwen3vl.store import Store
from qwen3vl.store import export as exporting
from qwen3vl.store.export import export
from qwen3vl.store.records import Conversation
from support.browser import browsing
from support.media_files import encode, noise
from support.server import serving

HOSTILE = """<script>document.title = "run"</script>
<img src="http://evil.example/a.png" onerror="document.title = 'run'">
![picture](http://evil.example/b.png) [link](javascript:document.title='run')

| a | b |
|---|---|
| **1** | `<b>` |

```html
<script>document.title = "run"</script>
```
</style></main></body><iframe src="http://evil.example/"></iframe>
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path}/store.db", tmp_path / "media") as store:
        yield store


@pytest.fixture
def conversation(store: Store) -> Conversation:
    """A picture, hostile text in every place, and a branch that is not shown."""
    made = store.conversations.create(title='</title><script>document.title = "run"</script>', model="<i>m</i>")
    media = store.media.add(encode(noise(30, 50), "PNG"), kind="image", media_type="image/png")
    content = [{"type": "image", "media": media.sha256, "name": '"><script>'}, {"type": "text", "text": HOSTILE}]
    question = store.messages.add_question(made.id, None, content)
    other = store.messages.add_answer(made.id, question.id, {})
    store.messages.finish(other.id, "done", "a branch that is not shown")
    answer = store.messages.add_answer(made.id, question.id, {})
    store.messages.finish(answer.id, "failed", HOSTILE, HOSTILE, error=HOSTILE)
    found = store.conversations.get(made.id, "")
    assert found is not None
    return found


def test_the_page_shows_everything_and_does_nothing(store: Store, conversation: Conversation, tmp_path: Path) -> None:
    file = export(store, conversation, "html")
    app = FastAPI()
    app.get("/exported.html")(lambda: Response(file.data, media_type=file.media_type))
    with serving(app) as url, browsing(tmp_path / "profile") as watched:
        watched.page.goto(f"{url}/exported.html")
        page = watched.page
        assert page.title() == conversation.title
        assert page.locator("h1").inner_text() == conversation.title
        assert page.locator("article").count() == 2
        assert page.locator("article.assistant > table td strong").inner_text() == "1"
        assert page.locator("article.user .typed").inner_text().strip() == HOSTILE.strip()
        assert page.evaluate("Array.from(document.images, image => [image.naturalWidth, image.naturalHeight])") == [
            [50, 30]
        ]
        assert page.locator("iframe, script, main ~ *").count() == 0
        assert page.locator("a[href^='javascript']").count() == 0
        assert "failed" in page.locator("article.assistant .note").inner_text()
        assert "not shown" not in page.content()
        page.locator("summary").click()
        assert page.locator("details table").is_visible()
    assert watched.outside == []
    assert watched.complaints == []


def test_json_holds_all_branches(store: Store, conversation: Conversation) -> None:
    tree = json.loads(export(store, conversation, "json").data)
    assert tree["messages"] == [asdict(message) for message in store.messages.tree(conversation.id)]
    assert tree["conversation"]["title"] == conversation.title
    assert [(media["width"], media["media_type"]) for media in tree["media"]] == [(None, "image/png")]
    assert "owner" not in tree["conversation"]


def test_markdown_holds_the_branch(store: Store) -> None:
    made = store.conversations.create(title="About *cats*\n# and [dogs]")
    media = store.media.add(b"x", kind="video", media_type="video/mp4")
    content = [
        {"type": "video", "media": media.sha256, "name": "a_b.mp4"},
        {"type": "text", "text": "Why?\n\n1. really"},
    ]
    question = store.messages.add_question(made.id, None, content)
    answer = store.messages.add_answer(made.id, question.id, {})
    store.messages.finish(answer.id, "stopped", "| a |\n|---|\n| b |", "Hm.\nWell.")
    found = store.conversations.get(made.id, "")
    assert found is not None
    file = export(store, found, "markdown")
    assert (file.name, file.media_type) == ("About cats and dogs.md", "text/markdown; charset=utf-8")
    title, date, *blocks = file.data.decode().split("\n\n")
    assert title == r"# About \*cats\* \# and \[dogs\]"
    assert date.endswith(" UTC")
    assert blocks == [
        *("## Question", r"- video: a\_b.mp4", "Why?", "1. really"),
        *("## Answer", "> Hm.\n> Well.", "| a |\n|---|\n| b |", "*stopped*\n"),
    ]


def test_media_that_are_too_large_or_gone_are_named(
    store: Store, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "EMBEDDED_BYTES", 10)
    assert "not in this file" in export(store, conversation, "html").data.decode()
    monkeypatch.undo()
    size = store.media.path(store.messages.tree(conversation.id)[0].content[0]["media"]).stat().st_size
    monkeypatch.setattr(exporting, "EMBEDDED_BYTES", 2 * size - 1)
    branch = store.messages.path(conversation.active or 0)
    twice = exporting._as_html(store, conversation, [*branch, *branch])
    assert (twice.count("not in this file"), twice.count("<img")) == (1, 1)
    monkeypatch.undo()
    assert "not in this file" not in export(store, conversation, "html").data.decode()
    question = store.messages.tree(conversation.id)[0]
    store.media.path(question.content[0]["media"]).unlink()
    assert "not in this file" in export(store, conversation, "html").data.decode()


def test_an_empty_conversation_and_an_unknown_format(store: Store) -> None:
    made = store.conversations.create()
    for format in exporting.FORMATS:
        assert export(store, made, format).name.startswith("conversation.")
    with pytest.raises(InputError, match="markdown, json, html"):
        export(store, made, "exe")  # type: ignore[arg-type]
