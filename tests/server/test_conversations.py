"""`/v1/conversations` and `/v1/media` of a real server with the shipped model."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import httpx

from qwen3vl import Engine
from qwen3vl.server import create_app
from qwen3vl.server.access import make_key
from qwen3vl.server.talks import AnswerBody, message_object
from qwen3vl.store import Store
from qwen3vl.store.records import Message
from qwen3vl.tasks.results import TaskResult
from support.conversations import GREEDY, ask, events, make, open_services, picture
from support.server import data_url, serving

_png = io.BytesIO()
picture().save(_png, "PNG")
PICTURE = hashlib.sha256(_png.getvalue()).hexdigest()


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
    direct = {"messages": history, "temperature": 0, "max_tokens": GREEDY["max_tokens"]}
    completion = api.post("/chat/completions", json=direct).json()
    assert set(answer["usage"]) == set(completion["usage"])
    assert set(answer["metrics"]) == set(completion["metrics"])
    assert answer["usage"]["total_tokens"] == completion["usage"]["total_tokens"]
    exported = api.get(f"/conversations/{conversation}/export", params={"format": "json"}).json()
    assert exported["messages"] == tree["messages"]
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
    assert opened["message"]["state"] in ("running", "done")  # it may be a short one
    assert {delta["type"] for delta in deltas} <= {"delta"}
    assert "".join(delta["text"] for delta in deltas) == done["message"]["text"] == whole
    path = f"/conversations/{conversation}/messages/{done['message']['id']}"
    assert api.get(path).json() == done["message"]
    with events(api, "GET", path, params={"stream": True}) as stream:  # long over
        replayed = list(stream)
    assert [event["type"] for event in replayed] == ["answer", "delta", "done"]
    assert replayed[0]["message"] == {**done["message"], "text": ""}


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
            # Media are seen by who has sent them, also where somebody else has sent the same.
            part = {"type": "image_url", "image_url": {"url": data_url(picture())}}
            seen = []
            for client in (mine, yours):
                seen.append([each.get(f"/media/{PICTURE}").status_code for each in (mine, yours)])
                own = make(client)
                client.post(f"/conversations/{own}/messages", json={"content": [part], "options": {"max_tokens": 1}})
                if client is mine:
                    named = {"content": [{"type": "image", "media": PICTURE}]}
                    refused = yours.post(f"/conversations/{make(yours)}/messages", json=named).json()["error"]
                    assert refused["param"] == "content[0].media"
            seen.append([each.get(f"/media/{PICTURE}").status_code for each in (mine, yours)])
            assert seen == [[404, 404], [200, 404], [200, 200]]
        assert httpx.get(f"{url}/v1/conversations").status_code == 401


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


def test_the_store_is_whole_without_a_server(tmp_path: Path) -> None:
    """Two that open the same folder one after the other see the same."""
    with open_services(tmp_path) as services:
        made = services.store.conversations.create(title="kept")
    with Store.open(f"sqlite:///{tmp_path}/store.db", tmp_path / "media") as store:
        assert store.conversations.get(made.id, "") == made


def test_an_answers_result_as_files(api: httpx.Client) -> None:
    conversation = make(api)
    turn = ask(api, conversation, [{"type": "image_url", "image_url": {"url": data_url(picture())}}], task="tables")
    path = f"/conversations/{conversation}/messages/{turn['answer']['id']}/export"
    for format, file in TaskResult.model_validate(turn["answer"]["result"]).exports("x").items():
        response = api.get(path, params={"format": format})
        assert response.content == file.bytes
        assert response.headers["content-type"] == file.media_type
        posted = {"result": turn["answer"]["result"], "format": format, "name": "表 1"}
        response = api.post("/results/export", json=posted)
        assert response.content == file.bytes
        ending = file.filename.rpartition(".")[2]
        assert response.headers["content-disposition"] == f"attachment; filename*=utf-8''%E8%A1%A8%201.{ending}"
    refused = api.get(path, params={"format": "exe"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "format")
    assert "markdown, json" in refused.json()["error"]["message"]
    question = path.replace(f"/{turn['answer']['id']}/", f"/{turn['question']['id']}/")
    assert api.get(question).status_code == 404
    plain = ask(api, conversation, "Hello")["answer"]  # of no task: its text is all there is
    whole = api.get(f"/conversations/{conversation}/messages/{plain['id']}/export").text
    assert whole == plain["text"] + "\n"


def test_a_loop_is_told_like_that_of_a_chat() -> None:
    message = Message(
        *(1, "c", None, "assistant", "done", [], "a a a", "", None, None),
        {"completion_tokens": 3, "first_token_seconds": 0.1},
        *("loop", None, None, 0.0),
    )
    told = AnswerBody.model_validate(message_object(message))
    assert (told.finish_reason, told.loop) == ("stop", True)
    assert told.usage is not None
    assert (told.usage.completion_tokens, told.usage.prompt_tokens, told.usage.total_tokens) == (3, None, None)
