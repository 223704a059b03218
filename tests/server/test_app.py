"""The endpoints around the chat: models, health, request ids, and that nothing points to another host."""

from __future__ import annotations

import re

import httpx
import openai

from qwen3vl import Engine


def test_models(client: openai.OpenAI, engine: Engine) -> None:
    model, *others = client.models.list().data
    assert (model.id, model.object, model.owned_by) == (engine.info.name, "model", "qwen3vl")
    assert model.model_extra is not None
    assert model.model_extra["modes"] == {"fast": 2, "balanced": 3, "full": 4}
    assert model.model_extra["num_experts"] == 8
    assert model.model_extra["max_context"] == engine.info.max_context
    assert model.model_extra["state"] == "ready"
    assert client.models.retrieve(model.id) == model
    assert {"tiny-dense", "4b-instruct"} <= {other.id for other in others}


def test_health(url: str, engine: Engine) -> None:
    response = httpx.get(f"{url}/health")
    assert response.status_code == 200
    health = response.json()
    assert health["status"] == "ok"
    assert (health["running"], health["waiting"]) == (0, 0)
    assert health["total_blocks"] == engine.stats().total_blocks


def test_request_ids(url: str) -> None:
    first, second = (httpx.get(f"{url}/health").headers["x-request-id"] for _ in range(2))
    assert first != second
    assert re.fullmatch(r"req_[0-9a-f]{32}", first)
    given = httpx.get(f"{url}/health", headers={"x-request-id": "mine-7"})
    assert given.headers["x-request-id"] == "mine-7"
    for bad in ("two words", "x" * 200):
        assert httpx.get(f"{url}/health", headers={"x-request-id": bad}).headers["x-request-id"] != bad


def test_the_schema_is_served_and_names_no_other_host(url: str) -> None:
    schema = httpx.get(f"{url}/openapi.json")
    assert "/v1/chat/completions" in schema.json()["paths"]
    assert "://" not in schema.text
