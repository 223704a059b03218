"""Conversations: what is given comes back, lists have an order and pages, a search finds what a person means."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pytest
from sqlalchemy import insert

from qwen3vl.errors import InputError
from qwen3vl.store import Store
from qwen3vl.store.sessions import Database
from qwen3vl.store.tables import MessageRow

HOSTILE = [
    "'; DROP TABLE conversations; --",
    '"><script>alert(1)</script>',
    "100%",
    "a_b",
    "back\\slash",
    "%",
    "_",
    "\\",
    "*' OR 1=1",
    "emoji 🧑‍🚀 and ́combining",
    "?:name$1",
]


def titled(store: Store, *titles: str, owner: str = "") -> None:
    for title in titles:
        store.conversations.create(owner, title=title)


def found(store: Store, query: str) -> list[str]:
    return [item.title for item in store.conversations.list("", query=query).items]


def ask(store: Store, conversation: str, text: str) -> int:
    return store.messages.add_question(conversation, None, [{"type": "text", "text": text}]).id


def test_what_is_given_comes_back(store: Store) -> None:
    made = store.conversations.create(
        "key1", title="  A\ntitle ", model="m", task="ocr", params={"system": "Be brief.", "n": [1, None, 0.5]}
    )
    assert (made.title, made.model, made.task) == ("A title", "m", "ocr")
    assert store.conversations.get(made.id, "key1") == made
    changed = store.conversations.update(made.id, title="New", model=None)
    assert changed == replace(made, title="New", model=None) == store.conversations.get(made.id, "key1")
    assert store.conversations.update("nowhere", title="x") is None


def test_everybody_sees_their_own_only(store: Store) -> None:
    mine = store.conversations.create("me", title="mine")
    titled(store, "yours", owner="you")
    assert [item.id for item in store.conversations.list("me").items] == [mine.id]
    assert store.conversations.get(mine.id, "you") is None
    with pytest.raises(InputError, match="no conversation"):
        store.conversations.list("you", after=mine.id)


def test_pages_hold_each_conversation_once_the_newest_message_first(store: Store) -> None:
    titled(store, *(str(i) for i in range(7)))
    [third] = [item for item in store.conversations.list("").items if item.title == "3"]
    ask(store, third.id, "so it is the newest")
    seen: list[str] = []
    after = None
    while True:
        page = store.conversations.list("", limit=3, after=after)
        seen += [item.title for item in page.items]
        after = page.items[-1].id
        if not page.has_more:
            break
    assert seen == ["3", "6", "5", "4", "2", "1", "0"]


def test_pages_of_conversations_of_the_same_moment(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qwen3vl.store.conversations.time.time", lambda: 5.0)
    titled(store, *"abcd")
    first = store.conversations.list("", limit=2)
    second = store.conversations.list("", limit=2, after=first.items[-1].id)
    assert {item.title for item in first.items + second.items} == set("abcd")
    assert (first.has_more, second.has_more) == (True, False)


def test_a_search_finds_titles_and_messages_in_both_languages(store: Store) -> None:
    titled(store, "Receipts of May", "五月的收据", "Empty")
    [empty] = store.conversations.list("", query="empty").items
    question = ask(store, empty.id, "How many APPLES, and 多少个苹果?")
    answer = store.messages.add_answer(empty.id, question, {})
    store.messages.finish(answer.id, "done", "Three: zwölf ÄPFEL weniger neun", "a secret thought")
    assert found(store, "receipts") == ["Receipts of May"]
    assert found(store, "收据") == ["五月的收据"]
    assert found(store, "apples") == found(store, "苹果") == found(store, "äpfel") == ["Empty"]
    assert found(store, "ＡＰＰＬＥＳ") == ["Empty"]  # full width, as Chinese keyboards write
    assert found(store, "thought") == []
    assert sorted(found(store, "e")) == ["Empty", "Receipts of May"]


def test_every_word_of_a_search_must_occur_somewhere(store: Store) -> None:
    titled(store, "red box", "red ball")
    [ball] = store.conversations.list("", query="ball").items
    ask(store, ball.id, "which one is heavy?")
    assert found(store, "red heavy") == ["red ball"]
    assert found(store, "box heavy") == []
    assert found(store, "   ") == ["red ball", "red box"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_titles_and_searches_are_only_text(store: Store, text: str) -> None:
    titled(store, text, "plain")
    ask(store, store.conversations.list("", query="plain").items[0].id, "nothing special")
    titled(store, text)
    assert found(store, "plain") == ["plain"]
    assert found(store, text) == [" ".join(text.split())] * 2
    made = store.conversations.create(title=text, params={text: text}, model=text, task=text)
    assert store.conversations.get(made.id, "") == made
    ask(store, made.id, text)
    assert store.messages.tree(made.id)[0].text == text


@pytest.mark.parametrize("text", ["a\x00b", "half \ud83d of a pair"])
def test_what_no_database_keeps_is_refused(store: Store, text: str) -> None:
    with pytest.raises(InputError, match="Unicode"):
        store.conversations.create(title=text)
    with pytest.raises(InputError, match="Unicode"):
        store.conversations.create(params={"a": [{"b": text}]})
    with pytest.raises(InputError, match="Unicode"):
        store.conversations.list("", query=text)
    made = store.conversations.create()
    with pytest.raises(InputError, match="Unicode"):
        ask(store, made.id, text)
    assert store.messages.tree(made.id) == []


def test_titles_are_one_line_that_cannot_hide_anything(store: Store) -> None:
    made = store.conversations.create(title="\u202egnp.exe\u202c \x07\t\r\nend")
    assert made.title == "gnp.exe end"
    with pytest.raises(InputError, match="200 characters"):
        store.conversations.create(title="x" * 201)


@pytest.mark.parametrize("limit", [0, -1, 201])
def test_limits_of_a_list(store: Store, limit: int) -> None:
    with pytest.raises(InputError, match="1 to 200"):
        store.conversations.list("", limit=limit)


def test_a_search_has_a_length(store: Store) -> None:
    with pytest.raises(InputError, match="200 characters"):
        store.conversations.list("", query="x " * 101)


def test_deleting_takes_the_messages_too_however_many(store: Store, url: str) -> None:
    made, other = store.conversations.create(), store.conversations.create()
    kept, last = ask(store, other.id, "still here"), ask(store, made.id, "?")
    chain = range(last + 1, last + 1500)  # deeper than SQLite's triggers may be
    column = {"conversation": made.id, "role": "user", "state": "done", "created": 0.0, "searchable": "", "text": ""}
    rows = [{**column, "id": i, "parent": i - 1, "thinking": "", "content": []} for i in chain]
    with closing(Database(url)) as database, database.writing() as session:
        session.execute(insert(MessageRow), rows)
    assert len(store.messages.path(chain[-1])) == 1500
    assert store.conversations.delete(made.id)
    assert not store.conversations.delete(made.id)
    assert store.conversations.get(made.id, "") is None
    assert store.messages.get(chain[-1]) is None
    assert [message.id for message in store.messages.tree(other.id)] == [kept]
