"""Addresses and what stands after them: names that a route does not have, HEAD, readiness, ids of nothing."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from qwen3vl import Engine
from qwen3vl.server import Services, create_app
from qwen3vl.server.models import ModelStatus
from support.media_files import encode, noise
from support.server import serving

PNG = encode(noise(64, 64), "PNG")


@pytest.mark.parametrize(
    ("method", "path", "request_", "param", "words"),
    [
        ("GET", "/conversations?limt=3", {}, "limt", "did you mean 'limit'?"),
        ("GET", "/tasks?verbose=1", {}, "verbose", "there is none"),
        (
            "POST",
            "/chat/completions?stream=true",
            {"json": {"messages": [{"role": "user", "content": "a"}]}},
            "stream",
            "",
        ),
        ("GET", "/usage?by=model&form=x", {}, "form", "unknown field 'form'"),
        (
            *("POST", "/files"),
            {"files": {"file": ("a.png", PNG)}, "data": {"purpose": "vision", "porpose": "x"}},
            *("porpose", "did you mean 'purpose'?"),
        ),
        ("GET", "/conversations?limit=x", {}, "limit", "'limit' must be a whole number, got 'x'"),
        ("GET", "/usage?by=colour", {}, "by", "must be 'key', 'model'"),
        (
            "POST",
            "/files",
            {"files": {"file": ("a.png", b"nonsense")}, "data": {"purpose": "vision"}},
            "file",
            "format",
        ),
    ],
)
def test_a_name_that_a_route_does_not_have(
    url: str, method: str, path: str, request_: dict[str, Any], param: str, words: str
) -> None:
    response = httpx.request(method, f"{url}/v1{path}", **request_)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["param"] == param
    assert words in error["message"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/conversations/x", "conversation_not_found"),
        (f"/conversations/{'0' * 32}/messages/x", "message_not_found"),
        ("/media/x", "media_not_found"),
        ("/agent/sessions/x", "agent_not_found"),
        ("/indexes/x", "index_not_found"),
        ("/files/x", "file_not_found"),
        (f"/agent/sessions/agent_{'0' * 32}/steps/x/overlay", "step_not_found"),
        (f"/agent/sessions/agent_{'0' * 32}/steps/1/x", "step_not_found"),
    ],
)
def test_ids_that_nothing_can_have_are_ids_of_nothing(url: str, path: str, code: str) -> None:
    response = httpx.get(f"{url}/v1{path}")
    assert (response.status_code, response.json()["error"]["code"]) == (404, code)


def test_head_is_get_without_a_body(url: str) -> None:
    for path in ("/health", "/ready", "/openapi.json", "/v1/models", "/v1/tasks", "/v1/conversations"):
        whole, head = httpx.get(url + path), httpx.head(url + path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == whole.headers["content-type"]
    assert httpx.head(f"{url}/v1/media/{'0' * 64}").status_code == 404
    assert httpx.head(f"{url}/v1/chat/completions").status_code == 405
    assert httpx.put(f"{url}/v1/conversations").headers["allow"] == "GET, HEAD, POST"


def test_head_of_a_stream_ends_and_frees_the_connection(url: str) -> None:
    with httpx.Client(base_url=url, timeout=20) as client:
        model = client.get("/v1/models").json()["data"][0]["id"]
        head = client.head(f"/v1/models/{model}/status", headers={"Accept": "text/event-stream"})
        assert head.headers["content-type"].startswith("text/event-stream")
        assert client.get("/health").status_code == 200  # on the same connection


def test_ready_says_why_not(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with Services.single(engine) as services, serving(create_app(services)) as url:
        services.models._slot = None  # left to the fixture, which closes it
        for state, error, status, words in (
            ("available", None, 200, None),
            ("loading", None, 503, "is loading"),
            ("failed", "no room", 503, "no room"),
            ("absent", None, 503, "not on this machine"),
        ):
            found = ModelStatus("m", state, error=error)  # type: ignore[arg-type]  # each is one
            monkeypatch.setattr(services.models, "status", lambda name, found=found: found)
            response = httpx.get(f"{url}/ready")
            assert response.status_code == status
            assert response.json()["ready"] is (status == 200)
            assert words is None or words in response.json()["reason"]


def test_ready_needs_no_key(url: str, engine: Engine) -> None:
    assert httpx.get(f"{url}/ready").json() == {"ready": True, "model": engine.info.name, "reason": None}


def test_a_developer_is_a_system(url: str) -> None:
    said = []
    for role in ("system", "developer"):
        messages = [{"role": role, "content": "Answer briefly."}, {"role": "user", "content": "Name an animal."}]
        body = {"messages": messages, "temperature": 0, "max_tokens": 8}
        said.append(httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60).json()["choices"])
    assert said[0] == said[1]
