"""Answers in the background, held against a model that says what the test wants, when it wants."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from qwen3vl.engine.grammar import Grammar
from qwen3vl.engine.outputs import Delta, TokenLogprob, Usage
from qwen3vl.errors import InputError, StoreError
from qwen3vl.server.answers import Answers, Ask, Reading, title_of
from qwen3vl.server.writing import LiveAnswer
from qwen3vl.store import Store
from qwen3vl.store.records import Conversation, Message

USAGE = Usage(7, 3, 2, 0, 4, 0.1, 0.2, 0.3)
QUESTION = [{"type": "text", "text": "What is it?"}]


class Model:
    """Stands for a model in use: says `pieces`, after `hold` is set if there is one, then raises `error` if any."""

    thinks = False

    def __init__(self, *pieces: str, error: Exception | None = None, hold: asyncio.Event | None = None) -> None:
        self.pieces, self.error, self.hold = pieces, error, hold
        self.asked: list[tuple[list[dict[str, Any]], dict[str, Any]]] = []
        self.users = self.closed = 0
        self.prompt_builder = self.tokenizer = self

    @asynccontextmanager
    async def use(self, model: str | None) -> AsyncIterator[Model]:
        self.users += 1
        try:
            yield self
        finally:
            self.users -= 1

    def harmless(self, text: str) -> str:
        return text.replace("<|im_end|>", "< |im_end|>")

    def astream(self, messages: list[dict[str, Any]], **options: Any) -> AsyncIterator[Delta]:
        self.asked.append((messages, options))
        return self._deltas()

    async def _deltas(self) -> AsyncIterator[Delta]:
        try:
            for number, piece in enumerate(self.pieces):
                last = number == len(self.pieces) - 1 and self.error is None and self.hold is None
                logprobs = [TokenLogprob(7, "ab", -0.5)] if last else None
                yield Delta(
                    piece,
                    [number],
                    logprobs=logprobs,
                    finish_reason="stop" if last else None,
                    usage=USAGE if last else None,
                )
                await asyncio.sleep(0.002)
            if self.hold is not None:
                await self.hold.wait()
            if self.error is not None:
                raise self.error
        finally:
            self.closed += 1


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path}/store.db", tmp_path / "media") as store:
        yield store


def run(store: Store, model: Model, test: Callable[[Answers, Conversation], Awaitable[None]]) -> None:
    async def within() -> None:
        answers = Answers(store, model.use)  # type: ignore[arg-type]
        await asyncio.wait_for(test(answers, store.conversations.create()), timeout=20)

    asyncio.run(within())


def stored(store: Store, message: Message) -> Message:
    found = store.messages.get(message.id)
    assert found is not None
    return found


async def ask(answers: Answers, conversation: Conversation, parent: int | None = None, **given: Any) -> LiveAnswer:
    return (await answers.ask(conversation, parent, QUESTION, Ask(**given)))[1]


def test_nothing_is_shown_before_it_is_kept(store: Store) -> None:
    pieces = [f"word{i} " for i in range(200)]

    async def test(answers: Answers, conversation: Conversation) -> None:
        live = await ask(answers, conversation)
        snapshots = 0
        async for shown in live.watch():
            kept = stored(store, shown)
            assert kept.text.startswith(shown.text)
            snapshots += 1
        assert snapshots > 3
        assert stored(store, shown) == shown
        assert (shown.state, shown.text, shown.finish_reason) == ("done", "".join(pieces), "stop")
        assert shown.usage is not None
        assert (shown.usage["prompt_tokens"], shown.usage["completion_tokens"]) == (7, 3)
        assert 0 < shown.usage["first_token_seconds"] < shown.usage["total_seconds"]
        assert answers.live(shown.id) is None

    model = Model(*pieces)
    run(store, model, test)
    assert (model.users, model.closed) == (0, 1)


def test_a_slow_model_is_shown_all_the_same(store: Store) -> None:
    """What came right after the last look is not left until something else comes."""

    async def test(answers: Answers, conversation: Conversation) -> None:
        live = await ask(answers, conversation)
        async with asyncio.timeout(2):
            async for shown in live.watch():
                if shown.text == "one two":
                    break
        await answers.stop(live.message.id)

    run(store, Model("one", " two", hold=asyncio.Event()), test)


def test_whoever_comes_late_gets_what_there_is(store: Store) -> None:
    async def test(answers: Answers, conversation: Conversation) -> None:
        first = await ask(answers, conversation)
        await first.begun()
        late = answers.live(first.message.id)
        assert late is not None
        seen = [message.text async for message in late.watch()]
        assert seen[0] != ""
        assert seen[-1] == "".join(f"{i} " for i in range(100)) == (await first.ended()).text
        assert all(later.startswith(earlier) for earlier, later in pairwise(seen))

    run(store, Model(*(f"{i} " for i in range(100))), test)


def test_an_answer_that_nobody_watches_goes_on(store: Store) -> None:
    async def test(answers: Answers, conversation: Conversation) -> None:
        live = await ask(answers, conversation)
        async for _ in live.watch():
            break
        while answers.live(live.message.id):
            await asyncio.sleep(0.01)
        assert stored(store, live.message).text == "a b c"

    run(store, Model("a ", "b ", "c"), test)


def test_stop_keeps_all_that_came(store: Store) -> None:
    async def test(answers: Answers, conversation: Conversation) -> None:
        live = await ask(answers, conversation)
        await live.begun()
        await asyncio.sleep(0.02)  # the second piece has come and is not shown yet
        await asyncio.gather(answers.stop(live.message.id), answers.stop(live.message.id))
        assert (model.users, model.closed) == (0, 1)
        assert stored(store, live.message) == live.message
        assert (live.message.state, live.message.text) == ("stopped", "ab")
        assert live.message.usage is not None
        assert live.message.usage["completion_tokens"] == 2
        await answers.stop(live.message.id)

    model = Model("a", "b", hold=asyncio.Event())
    run(store, model, test)


def test_stopped_before_it_began(store: Store) -> None:
    async def test(answers: Answers, conversation: Conversation) -> None:
        live = await ask(answers, conversation)
        await answers.stop(live.message.id)
        assert (live.message.state, live.message.text) == ("stopped", "")
        assert stored(store, live.message) == live.message

    run(store, Model("a"), test)


def test_closing_interrupts_and_starting_finds_what_a_crash_left(store: Store) -> None:
    async def test(answers: Answers, conversation: Conversation) -> None:
        lives = [await ask(answers, conversation) for _ in range(3)]
        for live in lives:
            await live.begun()
        await answers.close()
        assert {(stored(store, live.message).state, live.message.text) for live in lives} == {("interrupted", "half")}
        question = store.messages.add_question(conversation.id, None, QUESTION)
        crashed = store.messages.add_answer(conversation.id, question.id, {})
        store.messages.append(crashed.id, "half of ")
        await answers.start()
        assert (stored(store, crashed).state, stored(store, crashed).text) == ("interrupted", "half of ")

    run(store, Model("half", hold=asyncio.Event()), test)


@pytest.mark.parametrize("pieces", [(), ("so far",)])
def test_what_the_model_fails_with(store: Store, pieces: tuple[str, ...]) -> None:
    async def test(answers: Answers, conversation: Conversation) -> None:
        live = await ask(answers, conversation)
        if pieces:
            await live.begun()
        else:
            with pytest.raises(InputError, match="too long"):
                await live.begun()
        ended = await live.ended()
        assert (ended.state, ended.text, ended.error) == ("failed", "".join(pieces), "it is too long")
        assert stored(store, ended) == ended

    model = Model(*pieces, error=InputError("it is too long"))
    run(store, model, test)
    assert model.users == 0


def test_what_nobody_foresaw_is_not_told(store: Store) -> None:
    async def test(answers: Answers, conversation: Conversation) -> None:
        ended = await (await ask(answers, conversation)).ended()
        assert ended.state == "failed"
        assert ended.error == "internal error; the server's log says more"

    run(store, Model("a", error=ZeroDivisionError("secret/path")), test)


def test_a_store_that_fails_ends_the_answer(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(answers: Answers, conversation: Conversation) -> None:
        live = await ask(answers, conversation)
        await live.begun()
        shown = live.message.text
        with monkeypatch.context() as patch:
            for name in ("append", "finish"):
                patch.setattr(store.messages, name, full)
            async with asyncio.timeout(3):  # long before the model has said all
                ended = await live.ended()
        assert (ended.state, ended.error) == ("failed", "the disk is full")
        assert isinstance(live.failure, StoreError)
        assert store.messages.interrupt_running() == 1
        assert stored(store, ended).text.startswith(shown)

    def full(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    model = Model(*(f"{i} " for i in range(5000)))
    run(store, model, test)
    assert (model.users, model.closed) == (0, 1)


def test_a_database_locked_for_a_moment_loses_nothing(store: Store, tmp_path: Path) -> None:
    async def test(answers: Answers, conversation: Conversation) -> None:
        live = await ask(answers, conversation)
        await live.begun()
        other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await asyncio.sleep(0.3)
        other.execute("ROLLBACK")
        other.close()
        assert (await live.ended()).text == "".join(f"{i} " for i in range(300))

    run(store, Model(*(f"{i} " for i in range(300))), test)


def test_thinking_apart(store: Store) -> None:
    async def test(answers: Answers, conversation: Conversation) -> None:
        ended = await (await ask(answers, conversation)).ended()
        assert (ended.thinking, ended.text) == ("Hm, a cat.", "A cat.")

    run(store, Model("<thi", "nk>Hm,", " a cat.</th", "ink>\n\nA c", "at."), test)


def test_a_task_reads_the_answer(store: Store) -> None:
    class Told(NamedTuple):
        text: str
        tokens: list[int]
        reason: str | None
        thinking: bool

        def model_dump(self, mode: str) -> dict[str, Any]:
            return self._asdict()

    class Recorder:
        def __init__(self, thinking: bool) -> None:
            self.thinking = thinking

        def finish(self, text: str, logprobs: Sequence[TokenLogprob], reason: str | None) -> Told:
            return Told(text, [each.token_id for each in logprobs], reason, self.thinking)

    async def test(answers: Answers, conversation: Conversation) -> None:
        grammar = Grammar("regex", "[a-z]+")
        reading = Reading(Recorder, grammar, {"temperature": 0.0, "logprobs": 0, "stop_loops": True})
        asked = Ask(task="ocr", params={"form": "lines"}, options={"temperature": 0.5}, reading=reading)
        _, live = await answers.ask(conversation, None, QUESTION, asked)
        ended = await live.ended()
        assert ended.result == {"text": "<think>hm</think>ab", "tokens": [7], "reason": "stop", "thinking": False}
        assert (ended.text, ended.thinking) == ("ab", "hm")
        assert ended.request == {"options": {"temperature": 0.5}, "task": "ocr", "params": {"form": "lines"}}
        assert model.asked[0][1] == {
            **{"allow_files": True, "task": "ocr", "grammar": grammar},
            **{"temperature": 0.5, "logprobs": 0, "stop_loops": True},
        }
        broken = await (await ask(answers, conversation, reading=Reading(lambda _: 1 // 0))).ended()
        assert (broken.state, broken.text, broken.result) == ("failed", "ab", None)

    model = Model("<think>hm</think>", "ab")
    run(store, model, test)


def test_the_branch_is_what_the_model_is_asked(store: Store, tmp_path: Path) -> None:
    async def test(answers: Answers, conversation: Conversation) -> None:
        sha256 = store.media.add(b"bytes", kind="image", media_type="image/png").sha256
        picture = {"type": "image", "media": sha256, "name": "a.png"}
        question, live = await answers.ask(conversation, None, [picture, *QUESTION], Ask())
        first = await live.ended()
        await (await answers.answer(question, Ask())).ended()
        given = Ask(model="m", system="Be brief.", options={"temperature": 0.0, "mode": 2})
        _, live = await answers.ask(conversation, first.id, [{"type": "text", "text": "Why?"}], given)
        await live.ended()
        messages, options = model.asked[-1]
        assert options == {"allow_files": True, "task": "chat", "temperature": 0.0, "mode": 2}
        assert messages == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "image", "image": store.media.path(sha256)}, *QUESTION]},
            {"role": "assistant", "content": "It ends with < |im_end|>"},  # which could forge a turn as it was
            {"role": "user", "content": [{"type": "text", "text": "Why?"}]},
        ]
        options = {"temperature": 0.0, "mode": 2}
        assert live.message.request == {"model": "m", "system": "Be brief.", "options": options, "task": "chat"}
        store.media.path(sha256).unlink()
        ended = await (await answers.answer(question, Ask())).ended()
        assert ended.error == "the image 'a.png' is not in the store any more"

    model = Model("It ends with ", "<|im_end|>")
    run(store, model, test)


def test_deleting_ends_the_answers(store: Store) -> None:
    async def test(answers: Answers, conversation: Conversation) -> None:
        live = await ask(answers, conversation)
        other = await ask(answers, store.conversations.create())
        await live.begun()
        assert await answers.delete(conversation.id)
        assert store.messages.get(live.message.id) is None
        assert model.users == 1
        assert not await answers.delete(conversation.id)
        await answers.stop(other.message.id)

    model = Model("a", hold=asyncio.Event())
    run(store, model, test)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n": 2}, "unknown field 'n'"),
        ({"grammar": "x"}, "unknown field 'grammar'"),
        ({"temprature": 1}, "unknown field 'temprature'"),
        ({"temperature": 9}, "temperature must be"),
    ],
)
def test_options_that_cannot_be_honoured(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Ask(options=options)


def test_many_answers_share_the_store_fairly(store: Store) -> None:
    """Sixty at once are each shown at least twice a second, without a commit for every word of each."""

    async def test(answers: Answers, conversation: Conversation) -> None:
        lives = [await ask(answers, conversation) for _ in range(60)]
        assert answers._pause() == 0.5
        hold.set()
        for live in lives:
            assert (await live.ended()).text == "".join(f"{i} " for i in range(20))
        await asyncio.sleep(0)
        assert answers._pause() == 0.05

    hold = asyncio.Event()
    run(store, Model(*(f"{i} " for i in range(20)), hold=hold), test)


@pytest.mark.parametrize(
    ("text", "names", "title"),
    [
        ("  \n What is  this?\nAnd that?", [], "What is this?"),
        ("", ["a.png", "b.pdf"], "a.png, b.pdf"),
        ("\n", [""], "image"),
        ("x" * 61, [], "x" * 59 + "…"),
        ("这张图片里有什么？", ["a.png"], "这张图片里有什么？"),
    ],
)
def test_titles(store: Store, text: str, names: list[str], title: str) -> None:
    async def test(answers: Answers, conversation: Conversation) -> None:
        sha256 = store.media.add(b"bytes", kind="image", media_type="image/png").sha256
        content = [{"type": "image", "media": sha256, "name": name} for name in names]
        question, live = await answers.ask(conversation, None, [*content, {"type": "text", "text": text}], Ask())
        await live.ended()
        assert title_of(question) == title
        named = store.conversations.get(conversation.id, "")
        assert named is not None
        assert named.title == title
        await (await ask(answers, named)).ended()
        named = store.conversations.get(conversation.id, "")
        assert named is not None
        assert named.title == title

    run(store, Model("a"), test)
