"""Answers that outlive the client that asked, and what was shown of them the process."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from qwen3vl import Engine
from qwen3vl.store import Store
from support.conversations import ask, events, make
from support.engines import is_idle
from support.processes import server_afterwards, server_process
from support.server import MODELS, endless_model, wait_until


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
    with server_afterwards(MODELS / "moe", tmp_path / "data") as api:
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
