"""Messages: a tree with branches, and answers that are whole at every moment of their writing."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from qwen3vl.errors import InputError, StoreError
from qwen3vl.store import Store
from qwen3vl.store.records import Message
from qwen3vl.store.tables import PieceRow
from support.stores import add_media


def text(words: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": words}]


def answered(store: Store, conversation: str, question: int, words: str) -> Message:
    answer = store.messages.add_answer(conversation, question, {"mode": "full"})
    return store.messages.finish(answer.id, "done", words)


def test_branches(store: Store) -> None:
    """An edited question and an answer given again are siblings; a path follows one branch."""
    one = store.conversations.create()
    q1 = store.messages.add_question(one.id, None, text("first?"))
    a1 = answered(store, one.id, q1.id, "yes")
    a1_again = answered(store, one.id, q1.id, "no")
    q2 = store.messages.add_question(one.id, a1.id, text("why?"))
    q1_edited = store.messages.add_question(one.id, None, text("First, please?"))
    parents = {message.id: message.parent for message in store.messages.tree(one.id)}
    assert parents == {q1.id: None, a1.id: q1.id, a1_again.id: q1.id, q2.id: a1.id, q1_edited.id: None}
    assert list(parents) == sorted(parents)
    assert [message.id for message in store.messages.path(q2.id)] == [q1.id, a1.id, q2.id]
    assert store.messages.path(10**6) == []

    def active() -> int | None:
        found = store.conversations.get(one.id, "")
        assert found is not None
        return found.active

    assert active() == q1_edited.id
    assert store.conversations.activate(one.id, a1.id).active == q2.id == active()
    assert store.conversations.activate(one.id, q1.id).active == a1_again.id  # down the newest branch
    other = store.conversations.create()
    with pytest.raises(InputError, match="not one of this conversation"):
        store.conversations.activate(other.id, q1.id)


def test_what_is_given_comes_back(store: Store) -> None:
    one = store.conversations.create()
    sha256 = add_media(store)
    content = [{"type": "image", "media": sha256, "name": "a.png"}, *text("What is"), *text("this?")]
    question = store.messages.add_question(one.id, None, content)
    assert (question.content, question.text, question.state) == (content, "What is\nthis?", "done")
    answer = store.messages.add_answer(one.id, question.id, {"task": "chat", "mode": 3})
    assert (answer.state, answer.text, answer.request) == ("running", "", {"task": "chat", "mode": 3})
    done = store.messages.finish(
        answer.id,
        "done",
        "A cat.",
        "Whiskers...",
        result={"marks": [[1, 2.5]]},
        usage={"prompt_tokens": 7},
        finish_reason="stop",
    )
    assert store.messages.tree(one.id) == [question, done]
    assert store.messages.get(done.id) == done
    assert (done.thinking, done.result, done.usage) == ("Whiskers...", {"marks": [[1, 2.5]]}, {"prompt_tokens": 7})
    assert (done.finish_reason, done.error, done.request) == ("stop", None, answer.request)


def test_an_answer_is_whole_at_every_moment(store: Store) -> None:
    one = store.conversations.create()
    question = store.messages.add_question(one.id, None, text("Tell me"))
    first, second = (store.messages.add_answer(one.id, question.id, {}) for _ in range(2))
    for i in range(5):
        store.messages.append(first.id, f"word{i} ", f"thought{i} ")
        store.messages.append(second.id, f"other{i} ")
        seen = store.messages.get(first.id)
        assert seen is not None
        assert seen.text == "".join(f"word{j} " for j in range(i + 1))
        assert seen.thinking == "".join(f"thought{j} " for j in range(i + 1))
    assert store.conversations.list("", query="word3").items == []  # found when it is finished
    store.messages.finish(first.id, "stopped", seen.text + "end", seen.thinking)
    assert store.conversations.list("", query="word3").items[0].id == one.id
    done = store.messages.get(first.id)
    assert done is not None
    assert (done.state, done.text) == ("stopped", "word0 word1 word2 word3 word4 end")
    with store.messages._database.reading() as session:  # what it was put together from is gone
        assert set(session.scalars(select(PieceRow.message))) == {second.id}


def test_answers_that_were_running_are_interrupted_with_what_they_had(store: Store) -> None:
    one = store.conversations.create()
    question = store.messages.add_question(one.id, None, text("Tell me"))
    finished = answered(store, one.id, question.id, "all of it")
    running = store.messages.add_answer(one.id, question.id, {})
    store.messages.append(running.id, "half ", "hm")
    store.messages.append(running.id, "of it")
    assert store.messages.interrupt_running() == 1
    assert store.messages.interrupt_running() == 0
    now = store.messages.get(running.id)
    assert now is not None
    assert (now.state, now.text, now.thinking) == ("interrupted", "half of it", "hm")
    assert store.messages.get(finished.id) == finished
    assert store.conversations.list("", query="half of it").items[0].id == one.id


def test_what_a_model_writes_is_always_kept(store: Store) -> None:
    one = store.conversations.create()
    question = store.messages.add_question(one.id, None, text("?"))
    answer = store.messages.add_answer(one.id, question.id, {})
    store.messages.append(answer.id, "a\x00b")
    done = store.messages.finish(answer.id, "done", "a\x00b\ud800", result={"k\x00": ["\udfff"]}, error="\x00")
    assert (done.text, done.result, done.error) == ("a\ufffdb\ufffd", {"k\ufffd": ["\ufffd"]}, "\ufffd")
    assert store.messages.get(answer.id) == done


def test_questions_and_answers_take_turns(store: Store) -> None:
    one, other = store.conversations.create(), store.conversations.create()
    question = store.messages.add_question(one.id, None, text("?"))
    running = store.messages.add_answer(one.id, question.id, {})
    with pytest.raises(InputError, match="is a question"):
        store.messages.add_question(one.id, question.id, text("again"))
    with pytest.raises(InputError, match="still being written"):
        store.messages.add_question(one.id, running.id, text("too early"))
    with pytest.raises(InputError, match="is an answer"):
        store.messages.add_answer(one.id, running.id, {})
    with pytest.raises(InputError, match="not one of this conversation"):
        store.messages.add_answer(other.id, question.id, {})
    with pytest.raises(InputError, match="not one of this conversation"):
        store.messages.add_question(one.id, 10**6, text("where?"))
    with pytest.raises(InputError, match="no conversation"):
        store.messages.add_question("nowhere", None, text("where?"))
    assert len(store.messages.tree(one.id)) == 2


@pytest.mark.parametrize("content", [[], [{"type": "text", "text": " \n"}]])
def test_a_question_asks_something(store: Store, content: list[dict[str, str]]) -> None:
    one = store.conversations.create()
    with pytest.raises(InputError, match="needs text"):
        store.messages.add_question(one.id, None, content)


def test_media_must_be_there(store: Store) -> None:
    one = store.conversations.create()
    with pytest.raises(InputError, match="no media"):
        store.messages.add_question(one.id, None, [{"type": "image", "media": "0" * 64, "name": ""}])
    assert store.messages.tree(one.id) == []


def test_writing_to_what_was_deleted_is_an_error(store: Store) -> None:
    one = store.conversations.create()
    question = store.messages.add_question(one.id, None, text("?"))
    answer = store.messages.add_answer(one.id, question.id, {})
    store.conversations.delete(one.id)
    with pytest.raises(StoreError, match="no longer there"):
        store.messages.append(answer.id, "more")
    with pytest.raises(StoreError, match="no longer there"):
        store.messages.finish(answer.id, "done", "all")
