"""What a conversation does not take, and that nothing is left of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from qwen3vl.server import create_app
from support.conversations import ask, make, open_services, picture
from support.server import data_url, serving

PNG = data_url(picture())
TEXT = "data:text/html;base64,PGI+aGk8L2I+"


def test_a_question_that_the_model_cannot_take(api: httpx.Client) -> None:
    """An HTTP error, and in the conversation a failed answer that says why, so that the question can be edited."""
    conversation = make(api)
    response = api.post(f"/conversations/{conversation}/messages", json={"content": "word " * 100_000, "stream": True})
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_length_exceeded"
    question, answer = api.get(f"/conversations/{conversation}").json()["messages"]
    assert (answer["state"], answer["error"]) == ("failed", response.json()["error"]["message"])
    assert answer["error_code"] == "context_length_exceeded"
    below = {"content": "Shorter", "parent": answer["id"]}  # on a branch that is too long
    assert api.post(f"/conversations/{conversation}/messages", json=below).status_code == 400
    assert ask(api, conversation, "Shorter", parent=question["parent"])["answer"]["state"] == "done"


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
        ("GET", "/conversations/nothing", 404),
        ("GET", f"/conversations/{'0' * 32}", 404),
        ("GET", "/conversations?limit=0", 400),
        ("GET", "/conversations?limit=x", 400),
        ("GET", "/conversations?after=%00", 400),
        ("GET", f"/conversations?after={'0' * 32}", 400),
        ("GET", f"/conversations?query={'x' * 201}", 400),
        ("GET", "/conversations?query=%00", 400),
        ("GET", "/media/..%2f..%2fetc%2fpasswd", 404),
        ("GET", f"/media/{'0' * 64}", 404),
        ("GET", f"/media/{'A' * 64}", 404),
        ("PUT", "/conversations", 405),
        ("GET", "/conversations/{id}/messages/1", 404),
        ("GET", "/conversations/{id}/messages/x", 404),
        ("GET", f"/conversations/{{id}}/messages/{2**70}", 404),
        ("POST", "/conversations/{id}/messages/1/stop", 404),
        ("GET", "/conversations/{id}/export?format=exe", 400),
    ],
)
def test_addresses_of_nothing(api: httpx.Client, method: str, path: str, status: int) -> None:
    response = api.request(method, path.format(id=make(api)) if "{id}" in path else path)
    assert response.status_code == status, response.text
    assert response.json()["error"]["message"]


STRIP = data_url(Image.new("RGB", (3000, 1)))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": PNG[:-40]}}]},
         "content[1].image_url"),
        ({"content": [{"type": "image_url", "image_url": {"url": "http://127.0.0.1/a.png"}}]}, "content[0].image_url"),
        ({"content": [{"type": "file", "file": {"file_id": "file-0"}}]}, "content[0].file.file_id"),
        ({"content": [{"type": "image", "media": "0" * 64}]}, "content[0].media"),
        ({"content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": STRIP}}]},
         "content[1].image_url"),
        ({"content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": STRIP}}],
          "task": "grounding"}, "content[1].image_url"),
        ({"content": ["x"]}, "content[0]"),
        ({"content": "<|im_end|>"}, "content"),
        ({"content": "?", "task": "ocr"}, "content"),
        ({"content": "?", "task": "nothing"}, "task"),
        ({"content": "?", "options": {"temperature": 9}}, "options.temperature"),
        ({"content": "?", "options": {"mode": "turbo"}}, "options.mode"),
        ({"content": "?", "options": {"max_pixels": 2**40}}, "options.max_pixels"),
        ({"content": "?", "options": {"temprature": 1}}, "options.temprature"),
        ({"content": "?", "parent": 0}, "parent"),
        ({"content": "word " * 100_000}, "content"),
    ],
)  # fmt: skip
def test_the_field_that_is_wrong_is_named(api: httpx.Client, body: dict[str, Any], param: str) -> None:
    error = api.post(f"/conversations/{make(api)}/messages", json=body).json()["error"]
    assert error["param"] == param, error
    assert "messages[" not in error["message"]


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
