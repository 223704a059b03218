"""What a client is told when something is wrong: OpenAI's shape, the right status, a sentence that helps."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from PIL import Image

from qwen3vl import Engine
from qwen3vl.server import Services, create_app
from support.server import MODELS, data_url, serving

HELLO: list[Any] = [{"role": "user", "content": "Read the text."}]


def picture(url: str) -> dict[str, Any]:
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "Read the text."}]
    return {"messages": [{"role": "user", "content": parts}]}


def post(url: str, **body: Any) -> httpx.Response:
    return httpx.post(f"{url}/v1/chat/completions", json={"messages": HELLO, "max_tokens": 1, **body}, timeout=60)


REFUSED: list[tuple[dict[str, Any], str | None, str]] = [
    ({"temprature": 1}, "temprature", "did you mean 'temperature'"),
    ({"xyzzy": 1}, "xyzzy", "unknown field"),
    ({"temperature": 9}, "temperature", "at most 2"),
    ({"temperature": "hot"}, "temperature", "number"),
    ({"top_p": 0}, "top_p", "above 0"),
    ({"n": 0}, "n", "from 1 to 16"),
    ({"n": "2"}, "n", "must be a whole number, got '2'"),
    ({"max_tokens": 0}, "max_tokens", "at least 1"),
    ({"max_tokens": 3, "max_completion_tokens": 4}, "max_tokens", "differ"),
    ({"stop": ["a", ""]}, "stop", "non-empty"),
    ({"stop": {"a": 1}}, "stop", "must be text or a list, got an object"),
    ({"seed": 1.5}, "seed", "whole number"),
    ({"top_logprobs": 2}, "top_logprobs", "'logprobs': true"),
    ({"logprobs": True, "top_logprobs": 99}, "logprobs", "from 0 to 20"),
    ({"stream_options": {"include_usage": True}}, "stream_options", "'stream': true"),
    (
        {"stream": True, "stream_options": {"inlude_usage": True}},
        "stream_options.inlude_usage",
        "did you mean 'include_usage'",
    ),
    ({"stream": "yes"}, "stream", "true or false"),
    ({"mode": "turbo"}, "mode", "'fast', 'balanced', 'full'"),
    ({"mode": 9}, "mode", "1 to 4"),
    ({"fps": -1}, "fps", "above 0"),
    ({"min_pixels": 90000, "max_pixels": 80000}, "min_pixels", "max_pixels"),
    ({"tools": [{"type": "function", "function": {"name": "no blanks"}}]}, "tools[0].function.name", "of the form"),
    (
        {"tools": [{"type": "function", "function": {"name": "f", "strict": True}}]},
        "tools[0].function.strict",
        "must be false, got true",
    ),
    ({"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required"}, "tool_choice", "'auto'"),
    ({"response_format": {"type": "xml"}}, "response_format.type", "json_schema"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "required"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "elephant"}}}},
        "response_format.json_schema.schema",
        "elephant",
    ),
    (
        {"tools": [{"type": "function", "function": {"name": "f"}}], "response_format": {"type": "json_object"}},
        "response_format",
        "exclude each other",
    ),
    ({"tool_choice": {"type": "function"}}, "tool_choice", "'auto'"),
    ({"logit_bias": {"5": 1}}, "logit_bias", "not supported"),
    ({"store": True}, "store", "not supported"),
    ({"tool_choice": 7}, "tool_choice", "'none' or 'auto'"),
    (
        {"response_format": {"type": "text", "json_schema": {"name": "x", "schema": {}}}},
        "response_format.json_schema",
        "only",
    ),
    ({"messages": [7]}, "messages[0]", "must be an object, got 7"),
    ({"messages": []}, "messages", "at least 1"),
    ({"messages": "Hello"}, "messages", "list"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role", "'robot'"),
    ({"messages": [{"role": "user", "content": "<|im_end|>"}]}, "messages[0].content", "control token"),
    (picture("https://example.com/a.png"), "messages[0].content[0].image_url", "data URL"),
    (picture("/etc/hostname"), "messages[0].content[0].image_url", "data URL"),
    (picture("file:///etc/hostname"), "messages[0].content[0].image_url", "data URL"),
    (picture("data:image/png;base64,AAAA"), "messages[0].content[0].image_url", "no known format"),
    (picture("data:image/png;base64,!!"), "messages[0].content[0].image_url", "base64"),
    (picture(data_url(Image.new("RGB", (3000, 1)))), "messages[0].content[0].image_url", "3000x1"),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("body", "param", "words"), REFUSED, ids=lambda value: str(value)[:40])
def test_a_refusal_says_why(url: str, body: dict[str, Any], param: str | None, words: str, stream: bool) -> None:
    if "stream" in body or "stream_options" in body:
        stream = False  # the body says itself
    response = post(url, **({"stream": True} if stream else {}), **body)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert words in error["message"]


def test_the_client_raises_its_own_types(client: openai.OpenAI, engine: Engine) -> None:
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(model=engine.info.name, messages=HELLO, temperature=9)
    assert bad.value.param == "temperature"
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="gpt-5", messages=HELLO)
    assert missing.value.code == "model_not_found"
    assert engine.info.name in missing.value.message
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-5")


def test_too_long_for_the_context(client: openai.OpenAI, engine: Engine) -> None:
    long: list[Any] = [{"role": "user", "content": "word " * engine.info.max_context}]
    with pytest.raises(openai.BadRequestError, match="context") as caught:
        client.chat.completions.create(model=engine.info.name, messages=long)
    assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize("told", [True, False], ids=["content-length", "chunked"])
def test_a_body_that_is_too_large(url: str, told: bool) -> None:
    body = b'{"messages": [' + b" " * 2_000_000 + b"]}"

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(body), 50_000):
            yield body[start : start + 50_000]

    headers = {"content-type": "application/json"}
    response = httpx.post(f"{url}/v1/chat/completions", content=body if told else chunks(), headers=headers)
    assert response.status_code == 413
    assert "2,000,000 bytes" in response.json()["error"]["message"]


@pytest.mark.parametrize("content", [b"{", b"", b"[1]", b'"x"', b"\xff"])
def test_a_body_that_is_no_json_object(url: str, content: bytes) -> None:
    headers = {"content-type": "application/json"}
    response = httpx.post(f"{url}/v1/chat/completions", content=content, headers=headers)
    assert response.status_code == 400
    assert "JSON" in response.json()["error"]["message"]


def test_unknown_endpoints(url: str) -> None:
    for method, path in (("POST", "/v1/embeddings"), ("GET", "/docs"), ("DELETE", "/v1")):
        response = httpx.request(method, url + path)
        assert response.status_code == 404
        assert response.json()["error"]["type"] == "invalid_request_error"
    assert "/v1/chat/completions" in httpx.get(f"{url}/v1/embeddings").json()["error"]["message"]
    response = httpx.get(f"{url}/v1/chat/completions")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


def test_what_nobody_foresaw_is_not_told_to_the_client(
    engine: Engine, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise RuntimeError("a secret of the house")

    monkeypatch.setattr(engine, "astream", fail)
    response = post(url)
    assert response.status_code == 500
    assert response.json()["error"]["type"] == "server_error"
    assert "secret" not in response.text


def test_a_dense_model_says_why_it_has_no_modes() -> None:
    engine = Engine.load(MODELS / "dense", device="cpu", memory="1GiB")
    with Services.single(engine) as services, serving(create_app(services)) as url:
        response = post(url, mode="fast")
        assert response.status_code == 400
        assert "dense" in response.json()["error"]["message"]
        card = httpx.get(f"{url}/v1/models/dense").json()
        assert card["modes"] == {"full": 1}


def test_media_may_be_as_large_as_the_body_allows(url: str) -> None:
    """A whole picture of more than a megabyte gets through: the limit is on bytes, not on what they are."""
    noise = Image.effect_noise((1100, 1100), 80).convert("RGB")
    payload = data_url(noise, "JPEG")
    assert 600_000 < len(base64.b64decode(payload.split(",")[1])) < 1_400_000
    assert post(url, **picture(payload)).status_code == 200
