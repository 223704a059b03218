"""What the API adds to a plain answer: tools, reasoning, JSON, completions, defaults, limits and books."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import openai
import pytest
from pydantic import BaseModel

from qwen3vl import Engine
from qwen3vl.errors import InputError
from qwen3vl.server import Services, bodies, create_app
from qwen3vl.settings import GenerationSettings, ServerSettings, Settings
from support import drawing
from support.scripted import Script
from support.server import MODELS, data_url, serving, wait_until

ASK: list[Any] = [{"role": "user", "content": "What is the weather in Köln?"}]
WEATHER: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]
CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Köln"}}\n</tool_call>'
SHAPES: list[Any] = [
    {
        "role": "user",
        "content": [
            {"type": "image_url", "image_url": {"url": data_url(drawing.shapes().image)}},
            {"type": "text", "text": "List all shapes from left to right."},
        ],
    }
]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine.load(MODELS / "moe", device="cpu", memory="1GiB") as engine:
        yield engine


@contextmanager
def house(engine: Engine, settings: Settings | None = None) -> Iterator[tuple[str, Services, openai.OpenAI]]:
    services = Services.single(engine, settings)
    with (
        serving(create_app(services)) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60) as client,
    ):
        yield url, services, client
    services.models._slot = None  # the engine is shared with the other tests
    services.close()


@pytest.fixture
def client(engine: Engine) -> Iterator[openai.OpenAI]:
    with house(engine) as (_, _, client):
        yield client


def pieces(text: str) -> list[str]:
    return [text[at : at + 3] for at in range(0, len(text), 3)]


def hold(body: type[BaseModel], answer: Any) -> None:
    """The answer is of the form that the schema promises."""
    body.model_validate(json.loads(answer.to_json(exclude_unset=True)), strict=True)


def test_a_tool_call_and_its_result(engine: Engine, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(pieces(f"I will look.\n{CALL}")).play(engine, monkeypatch)
    whole = client.chat.completions.create(model="moe", messages=ASK, tools=WEATHER)
    hold(bodies.ChatCompletion, whole)
    [choice] = whole.choices
    assert (choice.message.content, choice.finish_reason) == ("I will look.", "tool_calls")
    [call] = choice.message.tool_calls or []
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Köln"})
    assert script.asked[0]["tools"] == WEATHER

    deltas = []
    for chunk in client.chat.completions.create(model="moe", messages=ASK, tools=WEATHER, stream=True):
        hold(bodies.ChatCompletionChunk, chunk)
        deltas.append(chunk.choices[0])
    assert "".join(each.delta.content or "" for each in deltas) == "I will look."
    [streamed] = [call for each in deltas for call in each.delta.tool_calls or []]
    assert streamed.function is not None
    assert (streamed.index, streamed.function.name) == (0, "get_weather")
    assert json.loads(streamed.function.arguments or "") == {"city": "Köln"}
    assert deltas[-1].finish_reason == "tool_calls"

    monkeypatch.undo()  # the real engine takes the call and its result back in
    turns: list[Any] = [*ASK, choice.message, {"role": "tool", "tool_call_id": call.id, "content": "15 degrees"}]
    answer = client.chat.completions.create(model="moe", messages=turns, tools=WEATHER, max_tokens=2)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 100


def test_the_real_model_writes_calls_when_it_must(engine: Engine, client: openai.OpenAI) -> None:
    """The whole way through the real engine: what was forced by a grammar comes back as a call."""
    from qwen3vl.engine.grammar import Grammar

    text = "".join(rf"\x{ord(letter):02x}" for letter in CALL.replace("Köln", "Bonn"))
    original = engine.astream

    def forced(messages: Any, **options: Any) -> Any:
        return original(messages, **{**options, "grammar": Grammar("regex", text)})

    engine.astream = forced  # type: ignore[method-assign]
    try:
        answer = client.chat.completions.create(model="moe", messages=ASK, tools=WEATHER)
    finally:
        del engine.astream  # type: ignore[method-assign]
    [call] = answer.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert json.loads(call.function.arguments) == {"city": "Bonn"}


def test_tool_choice_none_shows_no_tools(
    engine: Engine, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Script(pieces(CALL)).play(engine, monkeypatch)
    answer = client.chat.completions.create(model="moe", messages=ASK, tools=WEATHER, tool_choice="none")
    assert (answer.choices[0].message.content, answer.choices[0].message.tool_calls) == (CALL, None)
    assert answer.choices[0].finish_reason == "stop"
    assert script.asked[0]["tools"] is None


def test_reasoning_stands_apart(engine: Engine, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    Script(pieces("<think>\nIt rains there.\n</think>\n\nTake an umbrella.")).play(engine, monkeypatch)
    whole = client.chat.completions.create(model="moe", messages=ASK)
    hold(bodies.ChatCompletion, whole)
    message = whole.choices[0].message
    assert message.content == "Take an umbrella."
    assert message.model_extra == {"reasoning_content": "It rains there."}
    thought = content = ""
    for chunk in client.chat.completions.create(model="moe", messages=ASK, stream=True):
        hold(bodies.ChatCompletionChunk, chunk)
        delta = chunk.choices[0].delta
        thought += (delta.model_extra or {}).get("reasoning_content", "")
        content += delta.content or ""
    assert (thought, content) == ("It rains there.", "Take an umbrella.")


def test_a_template_that_opens_the_thought(
    engine: Engine, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qwen3vl.server import serving as serving_module

    monkeypatch.setattr(serving_module, "_thinking", {engine.prompt_builder: True})
    Script(pieces("It rains.\n</think>\n\nTake one.")).play(engine, monkeypatch)
    message = client.chat.completions.create(model="moe", messages=ASK).choices[0].message
    assert (message.content, message.model_extra) == ("Take one.", {"reasoning_content": "It rains."})


def test_a_loop_is_a_stop_that_says_so(engine: Engine, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(["again ", "again "], reason="loop").play(engine, monkeypatch)
    answer = client.chat.completions.create(model="moe", messages=ASK, extra_body={"stop_loops": True})
    hold(bodies.ChatCompletion, answer)
    [choice] = answer.choices
    assert (choice.finish_reason, choice.model_extra) == ("stop", {"loop": True})
    assert script.asked[0]["stop_loops"] is True
    last = list(client.chat.completions.create(model="moe", messages=ASK, stream=True))[-1]
    assert (last.choices[0].finish_reason, last.choices[0].model_extra) == ("stop", {"loop": True})


def test_json_of_a_schema(client: openai.OpenAI) -> None:
    class Person(BaseModel):
        name: str
        age: int

    form: Any = {"type": "json_schema", "json_schema": {"name": "person", "schema": Person.model_json_schema()}}
    for seed in range(3):
        answer = client.chat.completions.create(
            model="moe", messages=ASK, response_format=form, temperature=1.5, seed=seed, max_tokens=200
        )
        [choice] = answer.choices
        if choice.finish_reason == "stop":
            Person.model_validate_json(choice.message.content or "")
    finished = client.chat.completions.create(
        model="moe", messages=ASK, response_format={"type": "json_object"}, temperature=0, max_tokens=200
    )
    assert (finished.choices[0].message.content or "").lstrip().startswith("{")


def test_completions_continue_a_text(engine: Engine, client: openai.OpenAI) -> None:
    prompt = "<|im_start|>user\nRead the text.<|im_end|>\n<|im_start|>assistant\n"
    options: dict[str, Any] = {"model": "moe", "prompt": prompt, "temperature": 0, "max_tokens": 12}
    whole = client.completions.create(**options)
    hold(bodies.TextCompletion, whole)
    chat = engine.generate([{"role": "user", "content": "Read the text."}], temperature=0.0, max_tokens=12)
    assert whole.choices[0].text == chat.text
    assert whole.usage is not None
    assert whole.usage.completion_tokens == len(chat.token_ids)
    streamed = list(client.completions.create(**options, stream=True, stream_options={"include_usage": True}))
    for chunk in streamed:
        hold(bodies.TextCompletion, chunk)
    assert "".join(chunk.choices[0].text for chunk in streamed[:-1]) == chat.text
    assert streamed[-1].usage == whole.usage
    assert client.completions.create(model="moe", prompt=["a"]).usage.completion_tokens <= 16  # type: ignore[union-attr]


def test_completions_tell_probabilities_in_their_own_form(client: openai.OpenAI) -> None:
    prompt = "<|im_start|>user\nRead the text.<|im_end|>\n<|im_start|>assistant\n"
    whole = client.completions.create(model="moe", prompt=prompt, temperature=0, max_tokens=8, logprobs=2)
    hold(bodies.TextCompletion, whole)
    told = whole.choices[0].logprobs
    assert told is not None
    assert told.tokens is not None
    assert told.top_logprobs is not None
    assert told.text_offset == [len("".join(told.tokens[:at])) for at in range(len(told.tokens))]
    assert all(len(top) == 2 and token in top for top, token in zip(told.top_logprobs, told.tokens, strict=True))
    chunks = client.completions.create(model="moe", prompt=prompt, temperature=0, max_tokens=8, logprobs=2, stream=True)
    offsets = [at for chunk in chunks for at in (chunk.choices[0].logprobs.text_offset or [])]  # type: ignore[union-attr]
    assert offsets == told.text_offset


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "prompt"),
        ({"prompt": ""}, "empty"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ["a", "b"]}, "one text"),
        ({"prompt": [1, 2]}, "text"),
        ({"prompt": "a", "echo": True}, "'echo' is not supported"),
        ({"prompt": "a", "suffix": "b"}, "'suffix' is not supported"),
        ({"prompt": "a", "best_of": 3}, "'best_of' is not supported"),
        ({"prompt": "a", "logprobs": 21}, "20"),
        ({"prompt": "a", "messages": []}, "unknown field 'messages'"),
        ({"prompt": "<|image_pad|>"}, "pads"),
        ({"prompt": "word " * 9000}, "context"),
    ],
)
def test_completions_that_are_refused(engine: Engine, body: dict[str, Any], words: str) -> None:
    with house(engine) as (url, _, _):
        refused = httpx.post(f"{url}/v1/completions", json=body, timeout=60)
        assert refused.status_code == 400
        assert words in refused.json()["error"]["message"]


def test_defaults_of_the_settings_and_of_the_request(engine: Engine) -> None:
    with house(engine, Settings(generation=GenerationSettings(max_tokens=3, mode="fast"))) as (_, _, client):
        given = client.chat.completions.create(model="moe", messages=SHAPES)
        assert given.usage is not None
        assert (given.usage.completion_tokens, given.choices[0].finish_reason) == (3, "length")
        assert (given.model_extra or {})["metrics"]["active_experts"] == 2
        said = client.chat.completions.create(model="moe", messages=SHAPES, max_tokens=5, extra_body={"mode": "full"})
        assert said.usage is not None
        assert said.usage.completion_tokens == 5
        assert (said.model_extra or {})["metrics"]["active_experts"] == 4
    with pytest.raises(InputError, match=r"generation\.temperature.*at most 2"):
        Services.single(engine, Settings(generation=GenerationSettings(temperature=9)))


def test_a_queue_that_is_full(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    Script(["late"], seconds=1.5).play(engine, monkeypatch)
    with house(engine, Settings(server=ServerSettings(max_queue=2))) as (url, services, client):
        body = {"messages": ASK}
        threads = [
            threading.Thread(target=httpx.post, args=(f"{url}/v1/chat/completions",), kwargs={"json": body})
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        wait_until(lambda: services.gate.waiting == 2)
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(model="moe", messages=ASK)
        assert caught.value.code == "queue_full"
        assert int(caught.value.response.headers["retry-after"]) >= 1
        for thread in threads:
            thread.join()
        assert services.gate.waiting == 0
        assert client.chat.completions.create(model="moe", messages=ASK).choices[0].message.content == "late"


def test_answers_that_take_too_long(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(["a", "b", "c", "d"], seconds=0.3).play(engine, monkeypatch)
    with house(engine, Settings(server=ServerSettings(queue_timeout=0.1))) as (_, services, client):
        with pytest.raises(openai.InternalServerError, match=r"wait for its first token 0\.1 seconds") as caught:
            client.chat.completions.create(model="moe", messages=ASK)
        assert (caught.value.status_code, caught.value.code) == (504, "timeout")
        assert services.gate.waiting == 0
    assert script.closed
    with house(engine, Settings(server=ServerSettings(request_timeout=0.5))) as (_, _, client):
        with pytest.raises(openai.InternalServerError, match=r"take 0\.5 seconds"):
            client.chat.completions.create(model="moe", messages=ASK)
        stream = client.chat.completions.create(model="moe", messages=ASK, stream=True)
        with pytest.raises(openai.APIError, match=r"take 0\.5 seconds"):
            list(stream)


def test_every_request_is_booked(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with house(engine) as (url, services, client):
        client.chat.completions.create(model="moe", messages=SHAPES, extra_body={"mode": "fast"})
        client.completions.create(model="moe", prompt="a", max_tokens=2)
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model="moe", messages=[{"role": "user", "content": "word " * 9000}])
        stream = client.chat.completions.create(model="moe", messages=SHAPES, stream=True)
        next(stream)
        stream.close()
        wait_until(lambda: len(services.store.ledger.rows()) == 4)
        rows = {(row.endpoint, row.status): row for row in services.store.ledger.rows()}
        chat = "/v1/chat/completions"
        assert set(rows) == {(chat, "ok"), ("/v1/completions", "ok"), (chat, "400"), (chat, "stopped")}
        whole = rows[chat, "ok"]
        assert (whole.model, whole.task, whole.mode, whole.key) == ("moe", "chat", "fast", None)
        assert whole.visual_tokens > 0
        assert whole.completion_tokens > 5
        assert whole.total_seconds >= whole.first_token_seconds > 0
        assert rows["/v1/completions", "ok"].task == "completion"

        report = httpx.get(f"{url}/v1/usage", params={"by": "status"}).json()
        bodies.UsageReport.model_validate(report)
        assert {group["group"]: group["requests"] for group in report["data"]} == {"ok": 2, "400": 1, "stopped": 1}
        assert httpx.get(f"{url}/v1/usage", params={"since": 4e9}).json()["data"] == []
        for wrong in ({"by": "secret"}, {"since": "now"}, {"since": "nan"}, {"until": -1}):
            assert httpx.get(f"{url}/v1/usage", params=wrong).status_code == 400


def test_usage_is_ones_own_but_for_admins(engine: Engine) -> None:
    from qwen3vl.server.access import make_key

    with house(engine, Settings(server=ServerSettings(require_keys=True))) as (url, services, _):
        made = {
            name: make_key(services.store.keys, name=name, scopes=[scope], rate=None)
            for name, scope in (("mine", "chat"), ("theirs", "chat"), ("boss", "admin"))
        }
        headers = {name: {"Authorization": f"Bearer {secret}"} for name, (_, secret) in made.items()}
        body = {"messages": ASK, "max_tokens": 1}
        for name in ("mine", "theirs", "theirs"):
            httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers[name], timeout=60)

        def usage(name: str) -> dict[str, int]:
            report = httpx.get(f"{url}/v1/usage", params={"by": "key"}, headers=headers[name]).json()
            return {group["group"]: group["requests"] for group in report["data"]}

        mine, theirs = made["mine"][0].id, made["theirs"][0].id
        assert usage("mine") == {mine: 1}
        assert usage("theirs") == {theirs: 2}
        assert usage("boss") == {mine: 1, theirs: 2}


def test_models_are_loaded_and_unloaded(engine: Engine) -> None:
    del engine  # this one may go
    own = Engine.load(MODELS / "moe", device="cpu", memory="1GiB")
    settings = Settings.load(model={"memory": "1GiB", "device": "cpu", "folders": [str(MODELS)]})
    with Services.single(own, settings) as services, serving(create_app(services)) as url:

        def state(name: str) -> str:
            card = httpx.get(f"{url}/v1/models/{name}").json()
            bodies.ModelCard.model_validate(card)
            return str(card["state"])

        def ask(model: str | None = None) -> httpx.Response:
            body = {"messages": ASK, "max_tokens": 2, "model": model}
            return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60)

        bodies.ModelList.model_validate(httpx.get(f"{url}/v1/models").json())
        assert (state("moe"), state("dense"), state("tiny-dense")) == ("ready", "available", "available")
        assert ask("dense").status_code == 404
        begun = httpx.post(f"{url}/v1/models/dense/load")
        assert (begun.status_code, begun.json()["state"]) == (202, "loading")
        events = httpx.get(f"{url}/v1/models/dense/status", headers={"Accept": "text/event-stream"}, timeout=60).text
        lines = [line.removeprefix("data: ") for line in events.splitlines() if line]
        assert lines[-1] == "[DONE]"
        assert json.loads(lines[-2])["state"] == "ready"
        assert (state("moe"), state("dense")) == ("available", "ready")
        assert ask().json()["model"] == "dense"
        assert ask("moe").status_code == 404
        gone = httpx.post(f"{url}/v1/models/dense/unload", timeout=60)
        assert gone.json()["state"] == "available"
        assert httpx.get(f"{url}/health").json()["status"] == "unloaded"
        assert ask().json()["model"] == "dense"  # loaded again, since it was asked
        assert httpx.get(f"{url}/v1/models/dense/status").json()["state"] == "ready"
        for name in ("gpt-5", "../../etc", "%2e%2e/%2e%2e", "a b", "x" * 500):
            assert httpx.post(f"{url}/v1/models/{name}/load").status_code == 404
        assert not own.healthy


def test_media_by_url_when_it_is_allowed(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the route: the fetcher's own tests say what it lets through."""
    from qwen3vl.errors import MediaError
    from qwen3vl.media.fetch import Fetcher

    asked = []
    picture = drawing.shapes().image

    async def fetch(self: Fetcher, url: str) -> bytes:
        import io

        asked.append((url, self.rules))
        if "inside" in url:
            raise MediaError("the host 'inside.org' is not a public address")
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        return buffer.getvalue()

    monkeypatch.setattr(Fetcher, "fetch", fetch)

    def ask(url: str, *addresses: str, kind: str = "image_url") -> httpx.Response:
        parts: list[Any] = [{"type": kind, kind: {"url": address}} for address in addresses]
        parts.append({"type": "text", "text": "List all shapes from left to right."})
        body = {"messages": [{"role": "user", "content": parts}]}
        return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60)

    settings = ServerSettings(url_media=True, url_hosts=("a.org",), url_bytes=1000, url_timeout=5)  # type: ignore[arg-type]
    with house(engine, Settings(server=settings)) as (url, _, _):
        answer = ask(url, "https://a.org/x.png")
        assert answer.json()["choices"][0]["message"]["content"].count('"label"') == 4
        [(address, rules)] = asked
        assert address == "https://a.org/x.png"
        assert (rules.hosts, rules.max_bytes, rules.seconds) == (("a.org",), 1000, 5)
        assert ask(url, *["https://a.org/x.png"] * 2).status_code == 200
        assert len(asked) == 2  # named twice, fetched once
        refused = ask(url, "https://a.org/x.png", "http://inside.org/")
        assert refused.status_code == 400
        assert refused.json()["error"]["message"].startswith("messages[0].content[1].image_url: the host 'inside.org'")
        assert "a video is asked for" in ask(url, "https://a.org/x.png", kind="video_url").json()["error"]["message"]
        many = ask(url, *(f"https://a.org/{number}.png" for number in range(65)))
        assert "64" in many.json()["error"]["message"]
    with house(engine) as (url, _, _):
        before = len(asked)
        assert "not allowed" in ask(url, "https://a.org/x.png").json()["error"]["message"]
        assert len(asked) == before
