"""`/v1/conversations` and `/v1/media` of a real server with the shipped model, and what outlives the server."""

from __future__ import annotations

import hashlib
import io
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from qwen3vl import Engine
from qwen3vl.server import Services, create_app
from qwen3vl.server.access import make_key
from qwen3vl.settings import ServerSettings, Settings
from qwen3vl.store import Store
from qwen3vl.tasks.registry import TASKS
from qwen3vl.tasks.results import MediaInfo
from support.engines import is_idle
from support.processes import server_process
from support.server import MODELS, data_url, endless_model, serving, wait_until

GREEDY = {"temperature": 0.0, "max_tokens": 24}


@pytest.fixture
def api(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{url}/v1", timeout=60) as client:
        yield client


@pytest.fixture
def endless_api(endless: tuple[Engine, str]) -> Iterator[tuple[Engine, httpx.Client]]:
    with httpx.Client(base_url=f"{endless[1]}/v1", timeout=60) as client:
        yield endless[0], client


def make(api: httpx.Client, **body: Any) -> str:
    response = api.post("/conversations", json=body)
    assert response.status_code == 200, response.text
    return str(response.json()["id"])


def ask(api: httpx.Client, conversation: str, content: Any, **body: Any) -> dict[str, Any]:
    """The question and its answer."""
    body = {"content": content, "options": GREEDY, **body}
    response = api.post(f"/conversations/{conversation}/messages", json=body)
    assert response.status_code == 200, response.text
    turn: dict[str, Any] = response.json()
    return turn


@contextmanager
def events(api: httpx.Client, method: str, path: str, **request: Any) -> Iterator[Iterator[dict[str, Any]]]:
    with api.stream(method, path, **request) as response:
        assert response.status_code == 200, response.read()
        lines = (line.removeprefix("data: ") for line in response.iter_lines() if line)
        yield (json.loads(line) for line in lines if line != "[DONE]")


def picture() -> Image.Image:
    image = Image.new("RGB", (96, 64), "white")
    image.paste("red", (20, 10, 60, 50))
    return image


def test_a_conversation(api: httpx.Client, engine: Engine) -> None:
    """Answers are what the engine says to the same messages, the earlier ones included."""
    conversation = make(api, system="Answer in one word.")
    first = ask(api, conversation, "What colour is the sky?")
    second = ask(api, conversation, "And the grass?")
    system = {"role": "system", "content": "Answer in one word."}
    history = [system, {"role": "user", "content": "What colour is the sky?"}]
    assert first["answer"]["text"] == engine.generate(history, **GREEDY).text
    history += [
        {"role": "assistant", "content": first["answer"]["text"]},
        {"role": "user", "content": "And the grass?"},
    ]
    assert second["answer"]["text"] == engine.generate(history, **GREEDY).text
    tree = api.get(f"/conversations/{conversation}").json()
    assert tree["title"] == "What colour is the sky?"
    assert tree["messages"] == [first["question"], first["answer"], second["question"], second["answer"]]
    assert [message["parent"] for message in tree["messages"]] == [None, *(m["id"] for m in tree["messages"][:3])]
    assert tree["active"] == second["answer"]["id"]
    answer = second["answer"]
    assert (answer["state"], answer["request"]["options"]) == ("done", GREEDY)
    assert answer["usage"]["prompt_tokens"] > first["answer"]["usage"]["prompt_tokens"] > 0


def test_branches(api: httpx.Client, engine: Engine) -> None:
    conversation = make(api)
    first = ask(api, conversation, "What is 2 + 2?")
    follow = ask(api, conversation, "Are you sure?")
    edited = ask(api, conversation, "What is 3 + 3?", parent=None)
    again = ask(api, conversation, None, parent=first["question"]["id"], options={"temperature": 0.0, "max_tokens": 2})
    assert again["question"] == first["question"]
    assert first["answer"]["text"].startswith(again["answer"]["text"])
    deep = ask(api, conversation, "Go on", parent=edited["answer"]["id"])
    history = [("user", "What is 3 + 3?"), ("assistant", edited["answer"]["text"]), ("user", "Go on")]
    messages = [{"role": role, "content": content} for role, content in history]
    assert deep["answer"]["text"] == engine.generate(messages, **GREEDY).text
    elsewhere = f"/conversations/{make(api)}/messages/{first['answer']['id']}"
    assert api.get(elsewhere).status_code == api.post(f"{elsewhere}/stop").status_code == 404
    switched = api.patch(f"/conversations/{conversation}", json={"active": first["answer"]["id"]}).json()
    assert switched["active"] == follow["answer"]["id"]
    response = api.post(
        f"/conversations/{conversation}/messages", json={"content": "?", "parent": follow["question"]["id"]}
    )
    assert response.status_code == 400
    assert "is a question" in response.json()["error"]["message"]


def test_streaming(api: httpx.Client) -> None:
    conversation = make(api)
    whole = ask(api, conversation, "Name three animals.")["answer"]["text"]
    body = {"content": "Name three animals.", "parent": None, "options": GREEDY, "stream": True}
    with events(api, "POST", f"/conversations/{conversation}/messages", json=body) as stream:
        question, opened, *deltas, done = stream
    assert (question["type"], opened["type"], done["type"]) == ("question", "answer", "done")
    assert opened["message"]["state"] == "running"
    assert {delta["type"] for delta in deltas} <= {"delta"}
    assert "".join(delta["text"] for delta in deltas) == done["message"]["text"] == whole
    path = f"/conversations/{conversation}/messages/{done['message']['id']}"
    assert api.get(path).json() == done["message"]
    with events(api, "GET", path, params={"stream": True}) as stream:  # long over
        assert [event["type"] for event in stream] == ["answer", "delta", "done"]


def test_a_picture_is_kept_and_shown_again(api: httpx.Client, engine: Engine) -> None:
    image = picture()
    url = data_url(image)
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What colour is the box?"}]
    conversation = make(api)
    turn = ask(api, conversation, content)
    assert turn["answer"]["text"] == engine.generate([{"role": "user", "content": content}], **GREEDY).text
    part = turn["question"]["content"][0]
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    assert part == {"type": "image", "media": hashlib.sha256(buffer.getvalue()).hexdigest(), "name": ""}
    response = api.get(f"/media/{part['media']}")
    assert response.content == buffer.getvalue()
    assert response.headers["content-type"] == "image/png"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-disposition"].startswith("inline")
    piece = api.get(f"/media/{part['media']}", headers={"Range": "bytes=1-3"})
    assert (piece.status_code, piece.content) == (206, b"PNG")
    again = ask(api, conversation, [{"type": "image", "media": part["media"]}, content[1]], parent=None)
    assert again["answer"]["text"] == turn["answer"]["text"]
    uploaded = api.post("/files", files={"file": ("box.png", buffer.getvalue())}, data={"purpose": "vision"}).json()
    by_id = ask(api, conversation, [{"type": "file", "file": {"file_id": uploaded["id"]}}, content[1]], parent=None)
    assert by_id["question"]["content"][0]["media"] == part["media"]


@pytest.mark.parametrize("name", ["grounding", "ocr"])
def test_a_task(api: httpx.Client, engine: Engine, name: str) -> None:
    """The task's own question, and what its reader finds in the answer; answered again, the same."""
    image, task = picture(), TASKS[name]
    params = {"grounding": {"target": "red box"}, "ocr": {}}[name]
    content = [{"type": "image_url", "image_url": {"url": data_url(image)}}]
    parsed, media = task.params.model_validate(params), [MediaInfo("image", 96, 64)]
    asked = task.prepare(parsed, media, "en")
    parts = [{"type": "image", "image": image}, {"type": "text", "text": asked.instruction}]
    options = {**asked.options, "max_tokens": 60, "temperature": 0.0}
    said = engine.generate([{"role": "user", "content": parts}], grammar=asked.grammar, **options)
    expected = task.reader(parsed, media).finish(said.text, said.logprobs, said.finish_reason).model_dump(mode="json")

    conversation = make(api)
    given = {"task": name, "params": params, "options": {"max_tokens": 60, "temperature": 0.0}}
    turn = ask(api, conversation, content, **given)
    question, answer = turn["question"], turn["answer"]
    assert question["text"] == asked.instruction
    assert (answer["result"], answer["text"]) == (expected, expected["text"])
    assert (answer["request"]["task"], answer["request"]["params"]) == (name, parsed.model_dump(mode="json"))
    again = ask(api, conversation, None, parent=question["id"], options=given["options"])
    assert (again["answer"]["result"], again["answer"]["request"]) == (answer["result"], answer["request"])
    follow = ask(api, conversation, "Thank you")
    assert (follow["answer"]["result"], follow["answer"]["request"]["task"]) == (None, "chat")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"content": "?", "task": "nothing"}, 400),
        ({"content": "?", "task": "ocr"}, 400),  # without a picture
        ({"content": "?", "task": "chat", "params": {"system": "x"}}, 400),
        ({"content": [{"type": "image_url", "image_url": {"url": data_url(picture())}}], "task": "grounding",
          "params": {"colour": 1}}, 400),
        ({"content": "?", "task": "ocr", "language": "fr"}, 400),
    ],
)  # fmt: skip
def test_tasks_that_cannot_be_done(api: httpx.Client, body: dict[str, Any], status: int) -> None:
    conversation = make(api)
    response = api.post(f"/conversations/{conversation}/messages", json=body)
    assert response.status_code == status
    assert response.json()["error"]["message"]
    assert api.get(f"/conversations/{conversation}").json()["messages"] == []


def open_services(folder: Path, **server: Any) -> Services:
    return Services.open(Settings(server=ServerSettings(data_dir=folder, **server)))


def test_what_media_may_not_do(tmp_path: Path) -> None:
    """Whatever got into the store, the server shows no page of it."""
    with open_services(tmp_path) as services, serving(create_app(services)) as url:
        for kind in ("text/html", "image/svg+xml", "application/xhtml+xml"):
            evil = f"<script>alert(1)</script>{kind}".encode()
            media = services.store.media.add(evil, kind="file", media_type=kind, name='a"\r\nb.html')
            response = httpx.get(f"{url}/v1/media/{media.sha256}")
            assert response.headers["content-type"] == "application/octet-stream"
            assert response.headers["content-disposition"] == "attachment; filename*=utf-8''a%22%0D%0Ab.html"
            assert response.headers["x-content-type-options"] == "nosniff"


def test_an_answer_goes_on_when_the_client_hangs_up(endless_api: tuple[Engine, httpx.Client]) -> None:
    engine, api = endless_api
    conversation = make(api)
    body = {"content": "Go", "stream": True, "options": {"temperature": 0.0, "max_tokens": 400}}
    with events(api, "POST", f"/conversations/{conversation}/messages", json=body) as stream:
        _, opened, first = (next(stream) for _ in range(3))
    path = f"/conversations/{conversation}/messages/{opened['message']['id']}"
    assert api.get(path).json()["state"] == "running"
    with events(api, "GET", path, params={"stream": True}) as stream:  # as a page that comes back
        _, *deltas, done = stream
    assert done["message"]["finish_reason"] == "length"
    assert done["message"]["usage"]["completion_tokens"] == 400
    assert "".join(delta["text"] for delta in deltas) == done["message"]["text"]
    assert done["message"]["text"].startswith(first["text"])
    assert is_idle(engine)


def test_stop_frees_the_engine_within_a_step(endless_api: tuple[Engine, httpx.Client]) -> None:
    engine, api = endless_api
    conversation = make(api)
    body = {"content": "Go", "stream": True, "options": {"temperature": 0.0}}
    with events(api, "POST", f"/conversations/{conversation}/messages", json=body) as stream:
        _, opened, first = (next(stream) for _ in range(3))
        path = f"/conversations/{conversation}/messages/{opened['message']['id']}"
        steps = engine.stats().steps
        stopped = api.post(f"{path}/stop").json()
        wait_until(lambda: is_idle(engine), seconds=2)
        *deltas, done = stream
    assert (stopped["state"], stopped["finish_reason"]) == ("stopped", None)
    assert done["message"] == stopped == api.get(path).json() == api.post(f"{path}/stop").json()
    assert stopped["text"] == first["text"] + "".join(delta["text"] for delta in deltas)
    made = stopped["usage"]["completion_tokens"]
    assert engine.stats().steps - steps < made + 3
    after = ask(api, conversation, "Again", options={"max_tokens": 3})
    assert after["answer"]["state"] == "done"


def test_deleting_a_conversation_ends_its_answers(endless_api: tuple[Engine, httpx.Client]) -> None:
    engine, api = endless_api
    conversation = make(api)
    body = {"content": "Go", "stream": True}
    with events(api, "POST", f"/conversations/{conversation}/messages", json=body) as stream:
        next(stream)
        deleted = api.delete(f"/conversations/{conversation}").json()
    assert deleted == {"id": conversation, "object": "conversation.deleted", "deleted": True}
    wait_until(lambda: is_idle(engine), seconds=2)
    assert api.get(f"/conversations/{conversation}").status_code == 404
    assert api.delete(f"/conversations/{conversation}").status_code == 404


def test_lists_and_changes(tmp_path: Path) -> None:
    with (
        open_services(tmp_path) as services,
        serving(create_app(services)) as url,
        httpx.Client(base_url=f"{url}/v1") as api,
    ):
        made = [make(api, title=title) for title in ("May receipts", "五月的收据", "Other")]
        first = api.get("/conversations", params={"limit": 2}).json()
        assert ([item["id"] for item in first["data"]], first["has_more"]) == (made[:0:-1], True)
        rest = api.get("/conversations", params={"limit": 2, "after": first["last_id"]}).json()
        assert ([item["id"] for item in rest["data"]], rest["has_more"]) == ([made[0]], False)
        found = api.get("/conversations", params={"query": "收据"}).json()
        assert [item["title"] for item in found["data"]] == ["五月的收据"]
        path = f"/conversations/{made[0]}"
        changed = api.patch(path, json={"system": "Be kind.", "options": {"mode": "fast"}, "model": "m"}).json()
        assert (changed["title"], changed["system"], changed["options"]) == (
            "May receipts",
            "Be kind.",
            {"mode": "fast"},
        )
        changed = api.patch(path, json={"title": " New\n title", "system": None}).json()
        assert (changed["title"], changed["system"], changed["options"]) == ("New title", None, {"mode": "fast"})
        assert changed["model"] == "m"
        assert {**changed, "messages": []} == api.get(path).json()


def test_each_key_has_its_own(tmp_path: Path) -> None:
    with open_services(tmp_path) as services, serving(create_app(services)) as url:
        secrets = [make_key(services.store.keys, name=name, scopes=["chat"], rate=None)[1] for name in "ab"]
        mine, yours = (
            httpx.Client(base_url=f"{url}/v1", headers={"Authorization": f"Bearer {secret}"}) for secret in secrets
        )
        with mine, yours:
            conversation = make(mine, title="mine")
            assert [item["id"] for item in mine.get("/conversations").json()["data"]] == [conversation]
            assert yours.get("/conversations").json()["data"] == []
            for response in (
                yours.get(f"/conversations/{conversation}"),
                yours.patch(f"/conversations/{conversation}", json={"title": "yours"}),
                yours.delete(f"/conversations/{conversation}"),
                yours.get(f"/conversations/{conversation}/export"),
                yours.post(f"/conversations/{conversation}/messages", json={"content": "?"}),
            ):
                assert response.status_code == 404
            assert mine.get(f"/conversations/{conversation}").json()["title"] == "mine"
        assert httpx.get(f"{url}/v1/conversations").status_code == 401


def test_a_question_that_the_model_cannot_take(api: httpx.Client) -> None:
    """An HTTP error, and in the conversation a failed answer that says why, so that the question can be edited."""
    conversation = make(api)
    response = api.post(f"/conversations/{conversation}/messages", json={"content": "word " * 100_000, "stream": True})
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_length_exceeded"
    question, answer = api.get(f"/conversations/{conversation}").json()["messages"]
    assert (answer["state"], answer["error"]) == ("failed", response.json()["error"]["message"])
    below = {"content": "Shorter", "parent": answer["id"]}  # on a branch that is too long
    assert api.post(f"/conversations/{conversation}/messages", json=below).status_code == 400
    assert ask(api, conversation, "Shorter", parent=question["parent"])["answer"]["state"] == "done"


PNG = data_url(picture())
TEXT = "data:text/html;base64,PGI+aGk8L2I+"


@pytest.mark.parametrize(
    "body",
    [
        {"content": ""},
        {"content": []},
        {"content": 7},
        {"content": "half \ud83d"},
        {"content": "NUL \x00"},
        {"content": [{"type": "text"}]},
        {"content": [{"type": "image_url", "image_url": {"url": PNG[:-40]}}]},
        {"content": [{"type": "image_url", "image_url": {"url": TEXT}}]},
        {"content": [{"type": "image_url", "image_url": {"url": "http://127.0.0.1/a.png"}}]},
        {"content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]},
        {"content": [{"type": "image", "image": "/etc/passwd"}]},
        {"content": [{"type": "video_url", "video_url": {"url": PNG}}]},
        {"content": [{"type": "file", "file": {"file_id": "file-0"}}]},
        {"content": [{"type": "image", "media": "0" * 64}]},
        {"content": [{"type": "image", "media": "../../etc/passwd"}]},
        {"content": [{"type": "image", "media": 7}]},
        {"content": [{"type": "image", "media": "0" * 64, "path": "/etc/passwd"}]},
        {"content": [{"type": "audio"}, "text"]},
        {"content": "?", "parent": 0},
        {"content": "?", "parent": 2**31 - 1},
        {"content": "?", "parent": 2**200},
        {"content": "?", "parent": "1"},
        {"parent": None},
        {"stream": True},
        {"content": "?", "options": {"temperature": 9}},
        {"content": "?", "options": {"n": 2}},
        {"content": "?", "options": {"grammar": {"kind": "regex", "source": "a"}}},
        {"content": "?", "options": {"stop": ["\x00"]}},
        {"content": "?", "system": "\ud800"},
        {"content": "?", "colour": "red"},
        [],
    ],
)
def test_bodies_that_cannot_be_served_leave_nothing(api: httpx.Client, body: Any) -> None:
    conversation = make(api)
    response = api.post(
        f"/conversations/{conversation}/messages",
        content=json.dumps(body),
        headers={"Content-Type": "application/json"},
    )
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert "messages[0]" not in error["message"]  # which the client did not send
    assert api.get(f"/conversations/{conversation}").json()["messages"] == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/conversations/nothing", 400),
        ("GET", f"/conversations/{'0' * 32}", 404),
        ("GET", "/conversations?limit=0", 400),
        ("GET", "/conversations?limit=x", 400),
        ("GET", "/conversations?after=%00", 400),
        ("GET", f"/conversations?after={'0' * 32}", 400),
        ("GET", f"/conversations?query={'x' * 201}", 400),
        ("GET", "/conversations?query=%00", 400),
        ("GET", "/media/..%2f..%2fetc%2fpasswd", 404),
        ("GET", f"/media/{'0' * 64}", 404),
        ("GET", f"/media/{'A' * 64}", 400),
        ("PUT", "/conversations", 405),
        ("GET", "/conversations/{id}/messages/1", 404),
        ("GET", "/conversations/{id}/messages/x", 400),
        ("GET", f"/conversations/{{id}}/messages/{2**70}", 400),
        ("POST", "/conversations/{id}/messages/1/stop", 404),
        ("GET", "/conversations/{id}/export?format=exe", 400),
    ],
)
def test_addresses_of_nothing(api: httpx.Client, method: str, path: str, status: int) -> None:
    response = api.request(method, path.format(id=make(api)) if "{id}" in path else path)
    assert response.status_code == status, response.text
    assert response.json()["error"]["message"]


def test_exports(api: httpx.Client) -> None:
    conversation = make(api, title='A/B: "tést" 标题')
    ask(api, conversation, "Hello")
    for format, kind, name in (
        ("markdown", "text/markdown", "A%20B%20t%C3%A9st%20%E6%A0%87%E9%A2%98.md"),
        ("json", "application/json", "A%20B%20t%C3%A9st%20%E6%A0%87%E9%A2%98.json"),
        ("html", "text/html", "A%20B%20t%C3%A9st%20%E6%A0%87%E9%A2%98.html"),
    ):
        response = api.get(f"/conversations/{conversation}/export", params={"format": format})
        assert response.headers["content-type"] == f"{kind}; charset=utf-8"
        assert response.headers["content-disposition"] == f"attachment; filename*=utf-8''{name}"
        assert "Hello" in response.text


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_what_was_shown_outlives_the_process(tmp_path: Path, end: signal.Signals) -> None:
    model = endless_model(tmp_path / "endless")
    with server_process(model, tmp_path / "data") as (process, api):
        conversation = make(api)
        earlier = ask(api, conversation, "Before", options={"max_tokens": 5})
        body = {"content": "Go", "stream": True, "options": {"temperature": 0.0}}
        shown = ""
        with events(api, "POST", f"/conversations/{conversation}/messages", json=body) as stream:
            _, opened = next(stream), next(stream)
            for event in stream:
                shown += event["text"]
                if len(shown) > 300:
                    process.send_signal(end)
                    break
            for event in stream_to_the_end(stream):
                shown += event.get("text", "")
        process.wait(timeout=30)
    with Store.open(f"sqlite:///{tmp_path}/data/store.db", tmp_path / "data" / "media") as store:
        left = store.messages.get(opened["message"]["id"])
        assert left is not None
        # One that is told to end says so itself; of one that is killed the next finds it.
        assert left.state == ("interrupted" if end == signal.SIGTERM else "running")
        assert left.text.startswith(shown)
    with server_process(MODELS / "moe", tmp_path / "data") as (_, api):
        tree = api.get(f"/conversations/{conversation}").json()
        assert tree["messages"][:2] == [earlier["question"], earlier["answer"]]
        answer = tree["messages"][3]
        assert (answer["id"], answer["state"]) == (opened["message"]["id"], "interrupted")
        assert answer["text"].startswith(shown)
        assert len(shown) > 300
        again = ask(api, conversation, None, parent=tree["messages"][2]["id"])
        assert again["answer"]["state"] == "done"


def stream_to_the_end(stream: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What still came before the process was gone."""
    with suppress(httpx.TransportError):
        yield from (event for event in stream if event["type"] == "delta")


def test_the_store_is_whole_without_a_server(tmp_path: Path) -> None:
    """Two that open the same folder one after the other see the same."""
    with open_services(tmp_path) as services:
        made = services.store.conversations.create(title="kept")
    with Store.open(f"sqlite:///{tmp_path}/store.db", tmp_path / "media") as store:
        assert store.conversations.get(made.id, "") == made
