"""`/metrics` as a Prometheus server reads it, and energy in answers, sums and figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from qwen3vl import Engine
from qwen3vl.engine.energy import EnergyBook
from qwen3vl.server import Services, create_app
from qwen3vl.server.metrics import _Power
from qwen3vl.settings import ServerSettings, Settings
from support.conversations import ask, make
from support.server import wait_until

QUESTION = {"messages": [{"role": "user", "content": "How are you?"}], "max_tokens": 6, "temperature": 0}


class Meter:
    """Two joules with each reading."""

    value = 0.0

    def joules(self) -> float:
        self.value += 2
        return self.value

    def close(self) -> None:
        pass


@pytest.fixture
def metered(engine: Engine) -> Iterator[None]:
    before = engine._core.energy
    engine._core.energy = EnergyBook(Meter())  # type: ignore[arg-type]
    yield
    engine._core.energy = before


def figures(api: httpx.Client) -> dict[str, float]:
    """All samples, with their labels behind the name."""
    told = api.get("/../metrics").raise_for_status()
    assert told.headers["content-type"].startswith("text/plain; version=")
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(told.text)
        for sample in family.samples
    }


def test_what_a_request_changes(api: httpx.Client, engine: Engine) -> None:
    before = figures(api)
    assert before[f"qwen3vl:model_info cpu float32 {engine.info.name} none"] == 1
    usage = api.post("/chat/completions", json=QUESTION).json()["usage"]
    assert api.post("/chat/completions", json={**QUESTION, "max_tokens": 10**6}).status_code == 400
    after = figures(api)
    more = {name: value - before.get(name, 0) for name, value in after.items()}
    assert more["qwen3vl:prompt_tokens_total"] == usage["prompt_tokens"]
    assert more["qwen3vl:generation_tokens_total"] == usage["completion_tokens"]
    assert more["qwen3vl:prefix_cache_queries_total"] == usage["prompt_tokens"]
    assert more["qwen3vl:prefix_cache_hits_total"] == usage["prompt_tokens_details"]["cached_tokens"]
    assert more["qwen3vl:requests_total ok"] == more["qwen3vl:requests_total 400"] == 1
    for name in ("request_queue_time_seconds", "time_to_first_token_seconds", "e2e_request_latency_seconds"):
        assert more[f"qwen3vl:{name}_count"] == more[f"qwen3vl:{name}_bucket +Inf"] == 1
        assert 0 < more[f"qwen3vl:{name}_sum"] < 60
    for name in ("num_requests_running", "num_requests_waiting", "num_requests_queued", "kv_cache_usage_perc"):
        assert after[f"qwen3vl:{name}"] == 0
    assert after["qwen3vl:oldest_waiting_seconds"] == 0
    assert after["qwen3vl:memory_bytes weights"] == engine.info.weight_bytes
    assert not any("joules" in name or "watts" in name for name in after)  # nothing is measured, so nothing is said
    if "process_open_fds" in after:  # Linux
        assert after["process_resident_memory_bytes"] > after["qwen3vl:memory_bytes weights"]


def test_while_requests_run(endless_api: tuple[Engine, httpx.Client]) -> None:
    _, api = endless_api
    body = {**QUESTION, "max_tokens": 2000, "stream": True}
    with api.stream("POST", "/chat/completions", json=body) as reply:
        lines = reply.iter_lines()
        next(lines)
        running = figures(api)
    assert running["qwen3vl:num_requests_running"] == 1
    assert 0 < running["qwen3vl:kv_cache_usage_perc"] < 1
    wait_until(lambda: figures(api)["qwen3vl:kv_cache_usage_perc"] == 0)
    ended = figures(api)
    assert ended["qwen3vl:requests_total stopped"] == 1
    assert ended["qwen3vl:e2e_request_latency_seconds_count"] == 0  # it was not finished


@pytest.mark.usefixtures("metered")
def test_energy_is_told_everywhere(api: httpx.Client) -> None:
    def in_the_ledger() -> float:
        rows = api.get("/usage", params={"by": "task"}).json()["data"]
        return sum(row["energy_joules"] or 0.0 for row in rows)

    before = in_the_ledger()
    told = api.post("/chat/completions", json=QUESTION).json()["metrics"]["energy_joules"]
    assert told == pytest.approx(2 * round(told / 2))
    assert told > 0
    conversation = make(api)
    answer = ask(api, conversation, "Hello", options={"max_tokens": 3, "temperature": 0.0})["answer"]
    assert answer["metrics"]["energy_joules"] > 0
    both = told + answer["metrics"]["energy_joules"]
    assert in_the_ledger() - before == pytest.approx(both)
    first = figures(api)
    assert first["qwen3vl:request_energy_joules_total"] == pytest.approx(both)
    assert first["qwen3vl:device_energy_joules_total"] > first["qwen3vl:request_energy_joules_total"]
    assert "qwen3vl:power_watts" not in first  # there is no second look yet


def test_without_a_meter_energy_is_null(api: httpx.Client) -> None:
    assert api.post("/chat/completions", json=QUESTION).json()["metrics"]["energy_joules"] is None


def test_power_is_the_mean_between_two_looks(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("qwen3vl.server.metrics.time.monotonic", lambda: now)
    power = _Power()
    assert power.mean(engine, 50) is None
    now = 102.0
    assert power.mean(engine, 90) == 20
    now = 102.5  # too soon to be told from the noise of a counter
    assert power.mean(engine, 91) == 20
    now = 103.0
    assert power.mean(engine, 100) == 10


def test_without_a_model_there_are_figures_of_the_process(tmp_path: Path) -> None:
    with Services.open(Settings(server=ServerSettings(data_dir=tmp_path))) as services:
        told = TestClient(create_app(services), base_url="http://127.0.0.1").get("/metrics").text
    assert "qwen3vl:num_requests_queued 0.0" in told
    assert "qwen3vl:num_requests_running" not in told
