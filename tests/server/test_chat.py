"""The OpenAI Python client, the oracle of the protocol, against a real server with the shipped MoE model."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import openai
import pytest
from PIL import Image, ImageDraw

from qwen3vl import Engine
from qwen3vl.tasks.actions import parse_actions
from qwen3vl.tasks.grounding import Point, parse_marks
from support import drawing
from support.server import data_url, wait_until

WINDOW = drawing.window()
CLICK: list[Any] = [
    {
        "role": "user",
        "content": [
            {"type": "image_url", "image_url": {"url": data_url(WINDOW.image)}},
            {"type": "text", "text": "Click the Save button."},
        ],
    }
]
SHAPES: list[Any] = [
    {
        "role": "user",
        "content": [
            {"type": "image_url", "image_url": {"url": data_url(drawing.shapes().image)}},
            {"type": "text", "text": "List all shapes."},
        ],
    }
]
NOISE: list[Any] = [  # nothing that can be read: the model is at a loss
    {
        "role": "user",
        "content": [
            {"type": "image_url", "image_url": {"url": data_url(drawing.noise())}},
            {"type": "text", "text": "Read the text."},
        ],
    }
]
SHAPES_FOUND = {"red square", "blue circle", "green triangle", "orange diamond"}


@pytest.fixture
def model(engine: Engine) -> str:
    return engine.info.name


def test_answers_about_a_picture(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.create(model=model, messages=CLICK)
    [choice] = answer.choices
    [action] = parse_actions(choice.message.content or "", *WINDOW.image.size)
    assert action.kind == "click"
    assert isinstance(action.target, Point)
    x1, y1, x2, y2 = WINDOW.boxes["Save"]
    assert x1 < action.target.x < x2
    assert y1 < action.target.y < y2
    assert choice.finish_reason == "stop"
    assert choice.message.role == "assistant"
    assert (answer.object, answer.model) == ("chat.completion", model)
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.model_extra is not None
    assert answer.model_extra["metrics"]["visual_tokens"] == 96  # 384 x 256 in blocks of 32 x 32


def test_a_stream_is_the_same_answer_in_pieces(client: openai.OpenAI, model: str) -> None:
    whole = client.chat.completions.create(model=model, messages=CLICK)
    chunks = list(
        client.chat.completions.create(model=model, messages=CLICK, stream=True, stream_options={"include_usage": True})
    )
    *pieces, last = chunks
    assert pieces[0].choices[0].delta.role == "assistant"
    assert len(pieces) > 10
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == whole.choices[0].message.content
    assert [piece.choices[0].finish_reason for piece in pieces if piece.choices[0].finish_reason] == ["stop"]
    assert pieces[-1].choices[0].finish_reason == "stop"
    assert all(piece.usage is None for piece in pieces)
    assert last.choices == []
    assert last.usage is not None
    assert whole.usage is not None
    assert last.usage.completion_tokens == whole.usage.completion_tokens
    assert len({chunk.id for chunk in chunks}) == 1


def test_the_events_on_the_wire(url: str) -> None:
    with httpx.stream("POST", f"{url}/v1/chat/completions", json={"messages": CLICK, "stream": True}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = list(response.iter_lines())
    assert lines[-2:] == ["data: [DONE]", ""]
    assert lines[1::2] == [""] * (len(lines) // 2)
    events = [json.loads(line.removeprefix("data: ")) for line in lines[:-2:2]]
    assert all(event["object"] == "chat.completion.chunk" for event in events)
    assert not any("usage" in event for event in events)  # it was not asked for


def test_a_video_keeps_its_times(client: openai.OpenAI, model: str) -> None:
    """A disc that appears after 3 of 6 seconds, as an animated GIF at 2 frames a second."""
    frames = [Image.new("RGB", (128, 128), "white") for _ in range(12)]
    for frame in frames[6:]:
        ImageDraw.Draw(frame).ellipse((40, 40, 90, 90), fill=(214, 40, 40))
    video = _gif(frames, milliseconds=500)
    parts = [
        {"type": "video_url", "video_url": {"url": video}},
        {"type": "text", "text": "When does the red circle appear?"},
    ]
    messages: list[Any] = [{"role": "user", "content": parts}]
    assert client.chat.completions.create(model=model, messages=messages).choices[0].message.content == "00:03.00"


def test_several_choices(client: openai.OpenAI, model: str) -> None:
    """Sampled hot, so that the choices differ; the seed makes them repeatable, streamed or not."""
    options: dict[str, Any] = {"n": 3, "temperature": 1.8, "seed": 5, "max_tokens": 24}
    whole = client.chat.completions.create(model=model, messages=NOISE, **options)
    texts = [choice.message.content for choice in whole.choices]
    assert [choice.index for choice in whole.choices] == [0, 1, 2]
    assert len(set(texts)) > 1
    streamed = ["", "", ""]
    roles = []
    for chunk in client.chat.completions.create(model=model, messages=NOISE, stream=True, **options):
        [choice] = chunk.choices
        streamed[choice.index] += choice.delta.content or ""
        if choice.delta.role:
            roles.append(choice.index)
    assert streamed == texts
    assert sorted(roles) == [0, 1, 2]
    other = client.chat.completions.create(model=model, messages=NOISE, **{**options, "seed": 6})
    assert [choice.message.content for choice in other.choices] != texts


def test_log_probabilities(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.create(model=model, messages=SHAPES, logprobs=True, top_logprobs=3)
    [choice] = answer.choices
    assert choice.logprobs is not None
    tokens = choice.logprobs.content
    assert tokens
    assert "".join(token.token for token in tokens).removesuffix("<|im_end|>") == choice.message.content
    for token in tokens:
        assert [top.logprob for top in token.top_logprobs] == sorted(
            (t.logprob for t in token.top_logprobs), reverse=True
        )
        assert len(token.top_logprobs) == 3
        assert token.token == token.top_logprobs[0].token  # greedy
        assert token.logprob == token.top_logprobs[0].logprob <= 0
        assert bytes(token.bytes or []).decode() == token.token
    streamed = [
        token
        for chunk in client.chat.completions.create(
            model=model, messages=SHAPES, logprobs=True, top_logprobs=3, stream=True
        )
        for token in (chunk.choices[0].logprobs.content or [] if chunk.choices[0].logprobs else [])
    ]
    assert [token.token for token in streamed] == [token.token for token in tokens]
    bare = client.chat.completions.create(model=model, messages=SHAPES, logprobs=True).choices[0].logprobs
    assert bare is not None
    assert bare.content
    assert all(token.top_logprobs == [] for token in bare.content)


def test_stop_and_length(client: openai.OpenAI, model: str) -> None:
    whole = client.chat.completions.create(model=model, messages=SHAPES).choices[0].message.content or ""
    stop = ', "label"'
    before = whole[: whole.index(stop)]
    stopped = client.chat.completions.create(model=model, messages=SHAPES, stop=stop).choices[0]
    assert (stopped.message.content, stopped.finish_reason) == (before, "stop")
    pieces = client.chat.completions.create(model=model, messages=SHAPES, stop=["nothing", stop], stream=True)
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == before
    for limit in ({"max_tokens": 4}, {"max_completion_tokens": 4}):
        cut = client.chat.completions.create(model=model, messages=SHAPES, **limit)  # type: ignore[call-overload]
        assert cut.choices[0].finish_reason == "length"
        assert cut.usage.completion_tokens == 4
        assert whole.startswith(cut.choices[0].message.content)


def test_a_mode_is_chosen_per_request(client: openai.OpenAI, model: str) -> None:
    for mode, experts in (("fast", 2), ("balanced", 3), ("full", 4), (1, 1)):
        answer = client.chat.completions.create(model=model, messages=SHAPES, extra_body={"mode": mode})
        assert answer.model_extra is not None
        assert answer.model_extra["metrics"]["active_experts"] == experts


def test_our_own_options_reach_the_engine(client: openai.OpenAI, model: str) -> None:
    small = client.chat.completions.create(model=model, messages=SHAPES, extra_body={"max_pixels": 192 * 128})
    assert small.model_extra is not None
    assert small.model_extra["metrics"]["visual_tokens"] == 24
    base: dict[str, Any] = {"model": model, "messages": NOISE, "seed": 3, "max_tokens": 24}
    greedy = client.chat.completions.create(**base, temperature=0).choices[0].message.content
    assert client.chat.completions.create(**base, temperature=2).choices[0].message.content != greedy
    for narrow in ({"top_k": 1}, {"min_p": 1.0}):
        hot = client.chat.completions.create(**base, temperature=2, extra_body=narrow)
        assert hot.choices[0].message.content == greedy


def test_fields_that_change_nothing_may_say_so(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.create(
        model=model,
        messages=SHAPES,
        user="someone",
        metadata={"run": "7"},
        store=False,
        service_tier="auto",
        response_format={"type": "text"},
        tools=[],
    )
    marks = parse_marks(answer.choices[0].message.content or "", 384, 256)
    assert {mark.label for mark in marks} == SHAPES_FOUND


def test_closing_a_stream_cancels(endless: tuple[Engine, str]) -> None:
    engine, url = endless
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        stream = client.chat.completions.create(model=engine.info.name, messages=SHAPES, stream=True)
        for number, _ in enumerate(stream):
            if number == 5:
                break
        assert engine.stats().running == 1
        stream.close()
        _assert_cancelled(engine)


def test_hanging_up_cancels_without_a_stream_too(endless: tuple[Engine, str]) -> None:
    engine, url = endless
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=1.0) as client:
        with pytest.raises(openai.APITimeoutError):
            client.chat.completions.create(model=engine.info.name, messages=SHAPES)
        _assert_cancelled(engine)


def test_an_engine_that_ends_in_mid_answer(endless: tuple[Engine, str]) -> None:
    """The stream ends with an error event and without [DONE]; later requests and the health check get 503."""
    engine, url = endless
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        stream = client.chat.completions.create(model=engine.info.name, messages=SHAPES, stream=True)
        next(stream)
        engine.close()
        with pytest.raises(openai.APIError, match="closed"):
            list(stream)
        with pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(model=engine.info.name, messages=SHAPES)
        assert (caught.value.status_code, caught.value.type) == (503, "server_error")
    assert httpx.get(f"{url}/health").status_code == 503


def _assert_cancelled(engine: Engine) -> None:
    wait_until(lambda: engine.stats().running == engine.stats().waiting == 0)
    before = engine.stats().generated_tokens
    time.sleep(0.1)
    assert engine.stats().generated_tokens == before < 4000
    engine.check_invariants()


def _gif(frames: list[Image.Image], milliseconds: int) -> str:
    import base64
    import io

    buffer = io.BytesIO()
    # One distinguishing pixel a frame: the writer joins frames that are equal.
    for number, frame in enumerate(frames):
        frame.putpixel((number, 0), (0, 0, 255))
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=milliseconds)
    return f"data:image/gif;base64,{base64.b64encode(buffer.getvalue()).decode()}"
