"""Questions of a conversation that a task asks."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from qwen3vl import Engine
from qwen3vl.tasks.registry import TASKS
from qwen3vl.tasks.results import MediaInfo, TaskResult
from support.answers import same
from support.conversations import ask, make, picture
from support.server import data_url


@pytest.mark.parametrize("name", ["grounding", "ocr", "extract"])
def test_a_task(api: httpx.Client, engine: Engine, name: str) -> None:
    """The task's own question, and what its reader finds in the answer; answered again, the same."""
    image, task = picture(), TASKS[name]
    params = {"grounding": {"target": "red box"}, "ocr": {}, "extract": {}}[name]
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
    assert same(TaskResult.model_validate(answer["result"]), TaskResult.model_validate(expected))
    assert answer["text"] == expected["text"]
    assert (answer["request"]["task"], answer["request"]["params"]) == (name, parsed.model_dump(mode="json"))
    again = ask(api, conversation, None, parent=question["id"], options=given["options"])
    assert same(TaskResult.model_validate(again["answer"]["result"]), TaskResult.model_validate(answer["result"]))
    assert again["answer"]["request"] == answer["request"]
    follow = ask(api, conversation, "Thank you")
    assert (follow["answer"]["result"], follow["answer"]["request"]["task"]) == (None, "chat")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"content": "?", "task": "nothing"}, 404),
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
