"""`/v1/tasks` over HTTP: typed results whole and streamed, what each kind of input becomes, and clear refusals."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from qwen3vl import Engine
from qwen3vl.server.tasks import TaskAnswer, TaskChunk, TaskList
from qwen3vl.tasks.registry import TASKS
from qwen3vl.tasks.results import TaskResult
from support import drawing
from support.answers import same
from support.engines import is_idle, wait_until
from support.media_files import clip, encode, noise, pdf, video

PNG = encode(noise(256, 384), "PNG")
STRIP = encode(noise(1, 600), "PNG")
BOXES = {"params": {"target": "red circle", "strict": True}, "max_tokens": 200, "seed": 1}


def part(data: bytes, mime: str = "image/png") -> dict[str, Any]:
    url = f"data:{mime};base64,{base64.b64encode(data).decode()}"
    if mime.startswith("image"):
        return {"type": "image_url", "image_url": {"url": url}}
    if mime.startswith("video"):
        return {"type": "video_url", "video_url": {"url": url}}
    return {"type": "file", "file": {"file_data": url, "filename": "a.pdf"}}


@pytest.fixture
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client


def events(text: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def test_the_list_is_enough_to_build_forms(http: httpx.Client) -> None:
    listed = TaskList.model_validate(http.get("/v1/tasks").json())
    assert [entry.name for entry in listed.data] == list(TASKS)
    grounding = next(entry for entry in listed.data if entry.name == "grounding")
    assert grounding.params["required"] == ["target"]
    assert grounding.params["properties"]["target"]["zh"]["title"] == "找什么"
    assert "marks" in listed.result["properties"]


def test_an_answer(http: httpx.Client) -> None:
    body = {**BOXES, "input": [part(PNG)], "params": {"target": "stars", "ask": "count", "strict": True}}
    answer = http.post("/v1/tasks/grounding", json=body)
    assert answer.status_code == 200, answer.text
    parsed = TaskAnswer.model_validate(answer.json())
    assert parsed.result.data == {"count": int(parsed.result.text)}
    assert (parsed.task, parsed.finish_reason) == ("grounding", "stop")
    assert parsed.usage.completion_tokens > 0
    assert parsed.metrics.visual_tokens == 96


def test_a_stream_says_the_same(http: httpx.Client) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"enum": ["x", "y"]}, "b": {"enum": [1, 2]}},
        "required": ["a", "b"],
    }
    extract = {"preset": "schema", "schema": {**schema, "additionalProperties": False}, "strict": True}
    for task, params in (("grounding", {"target": "it", "ask": "points"}), ("extract", extract)):
        body = {"input": [part(PNG)], "params": params, "seed": 3, "max_tokens": 60}
        whole = http.post(f"/v1/tasks/{task}", json=body).json()
        chunks = events(http.post(f"/v1/tasks/{task}", json={**body, "stream": True}).text)
        end = TaskAnswer.model_validate(chunks.pop())
        assert same(end.result, TaskAnswer.model_validate(whole).result)
        parsed = [TaskChunk.model_validate(chunk) for chunk in chunks]
        assert "".join(chunk.text for chunk in parsed if chunk.type == "text").rstrip() == end.result.text
        told = [chunk for chunk in parsed if chunk.type == "update"]
        assert [chunk.index for chunk in told] == list(range(len(told)))


def test_a_stream_with_usage_has_it_at_its_end(http: httpx.Client) -> None:
    body = {"input": [{"type": "text", "text": "Hello"}], "stream": True, "max_tokens": 4, "temperature": 0}
    asked = {**body, "stream_options": {"include_usage": True}}
    *chunks, last = events(http.post("/v1/tasks/chat", json=asked).text)
    assert chunks
    assert all(chunk["usage"] is None and TaskChunk.model_validate(chunk) for chunk in chunks)
    whole = http.post("/v1/tasks/chat", json={**body, "stream": False}).json()
    assert TaskAnswer.model_validate(last).usage.completion_tokens == whole["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize(
    ("task", "body", "param"),
    [
        (
            "grounding",
            {"input": [{"type": "text", "text": "a"}, part(b"nonsense")], "params": {}},
            "input[1].image_url",
        ),
        ("grounding", {"input": [{"type": "text", "text": "a"}, part(STRIP)]}, "input[1].image_url"),
        ("grounding", {"params": {"target": "x"}}, "input"),
        ("grounding", {"input": [part(PNG)], "params": {"target": "<|im_end|>"}}, "params"),
        ("grounding", {"input": [part(PNG)], "params": {"target": "x"}, "max_pixels": 2**40}, "max_pixels"),
        ("grounding", {"input": [part(PNG)], "params": {"target": "x"}, "mode": 9}, "mode"),
        ("extract", {"input": [part(PNG)], "params": {"preset": "schema"}}, "params"),
        (
            "extract",
            {"input": [part(PNG)], "params": {"preset": "schema", "schema": {"type": "foo"}, "strict": True}},
            "params.schema",
        ),
        ("chat", {"input": [{"type": "text", "text": "word " * 100_000}]}, "input"),
    ],
)
def test_the_field_that_is_wrong_is_named(http: httpx.Client, task: str, body: dict[str, Any], param: str) -> None:
    error = http.post(f"/v1/tasks/{task}", json=body).json()["error"]
    assert error["param"] == param, error
    assert "alue error" not in error["message"]
    assert "messages[" not in error["message"]


def test_things_are_told_when_they_are_finished(http: httpx.Client) -> None:
    """Each point is told before the answer ends, and with its place in pixels."""
    params = {"target": "all shapes", "ask": "points"}
    picture = encode(np.asarray(drawing.shapes().image), "PNG")
    body = {"input": [part(picture)], "params": params, "stream": True, "max_tokens": 300}
    chunks = events(http.post("/v1/tasks/grounding", json=body).text)
    marks = chunks[-1]["result"]["marks"]
    told = [chunk for chunk in chunks if chunk["type"] == "update"]
    assert marks, "the model wrote no point in time, so that nothing was tried"
    assert 1 <= len(told) <= len(marks)
    for chunk, mark in zip(told, marks, strict=False):
        assert chunk["list"] == "marks"
        assert chunk["item"] == {**mark, "confidence": None}
        assert mark["pixels"] == pytest.approx([mark["relative"][0] * 0.384, mark["relative"][1] * 0.256])
        assert 0 < mark["confidence"] <= 1
    assert chunks.index(told[0]) < len(chunks) - 10


def test_text_beside_the_media_is_the_question(http: httpx.Client) -> None:
    body = {"input": [part(PNG), {"type": "text", "text": "red circle"}], "max_tokens": 5}
    assert http.post("/v1/tasks/grounding", json=body).status_code == 200
    twice = http.post("/v1/tasks/grounding", json={**body, "params": {"target": "x"}})
    assert twice.status_code == 400
    assert twice.json()["error"]["param"] == "params.target"


def test_every_kind_of_media(http: httpx.Client) -> None:
    asked = [
        ("documents", part(pdf((200, 300), (200, 300)), "application/pdf"), {"question": "Which page?"}),
        ("video_events", part(video(clip(8)), "video/mp4"), {}),
        ("ocr", part(PNG), {"form": "lines"}),
        ("chat", {"type": "text", "text": "Hello"}, {}),
    ]
    for task, medium, params in asked:
        answer = http.post(f"/v1/tasks/{task}", json={"input": [medium], "params": params, "max_tokens": 4})
        assert answer.status_code == 200, answer.text
        TaskResult.model_validate(answer.json()["result"])


@pytest.mark.parametrize(
    ("task", "body", "status", "words"),
    [
        ("nope", {}, 404, ["nope", "grounding"]),
        ("grounding", {"input": [part(PNG)]}, 400, ["params.target"]),
        (
            "grounding",
            {"input": [part(PNG)], "params": {"target": "x", "tarqet": 1}},
            400,
            ["'tarqet'", "mean 'target'"],
        ),
        (
            "grounding",
            {"input": [part(PNG)], "params": {"target": "x", "ask": "colours"}},
            400,
            ["params.ask", "boxes"],
        ),
        ("grounding", {"params": {"target": "x"}}, 400, ["needs image"]),
        ("grounding", {"input": [part(b"nonsense")], "params": {"target": "x"}}, 400, ["input[0]"]),
        ("grounding", {"input": [{"type": "image"}], "params": {"target": "x"}}, 400, ["input[0]", "image"]),
        ("grounding", {"input": [part(PNG)], "params": {"target": "<|im_end|>"}}, 400, ["<|im_end|>"]),
        ("video_when", {"input": [part(PNG)], "params": {"what": "x"}}, 400, ["takes no image"]),
        ("chat", {"input": [{"type": "text", "text": "a"}], "n": 2}, 400, ["one answer"]),
        ("chat", {"input": "hello"}, 400, ["input"]),
        ("chat", {"input": [{"type": "text", "text": "a"}], "language": "fr"}, 400, ["language"]),
        ("chat", {"input": [{"type": "text", "text": "a"}], "temprature": 1}, 400, ["temperature"]),
        ("chat", {"input": [{"type": "text", "text": "a"}], "mode": "turbo"}, 400, ["turbo"]),
        (
            "extract",
            {"input": [part(PNG)], "params": {"preset": "schema", "schema": {"type": "foo"}, "strict": True}},
            400,
            ["schema", "foo"],
        ),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_refusals(
    http: httpx.Client, task: str, body: dict[str, Any], status: int, words: list[str], stream: bool
) -> None:
    answer = http.post(f"/v1/tasks/{task}", json={**body, "stream": stream})
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert all(word in error["message"] for word in words), error


def test_the_method_must_be_right(http: httpx.Client) -> None:
    assert http.get("/v1/tasks/chat").status_code == 405


def test_who_hangs_up_frees_the_engine(endless: tuple[Engine, str]) -> None:
    engine, url = endless
    body = {"input": [{"type": "text", "text": "Hello"}], "stream": True}
    with httpx.Client(base_url=url, timeout=60) as client, client.stream("POST", "/v1/tasks/chat", json=body) as answer:
        next(answer.iter_lines())
        assert not is_idle(engine)
    wait_until(lambda: is_idle(engine))
