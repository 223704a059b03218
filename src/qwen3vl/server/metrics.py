"""`GET /metrics`: what a Prometheus server collects. Names are vLLM's, behind this program's prefix.

The engine counts by itself; here its figures get their names, when somebody asks. They begin anew with another model.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from qwen3vl.engine.engine import Engine
from qwen3vl.engine.info import EngineTelemetry
from qwen3vl.server.services import Services
from qwen3vl.telemetry.histogram import Histogram

PREFIX = "qwen3vl:"
_POWER_SECONDS = 1.0  # over which power is the mean, at least


def metrics_router(services: Services) -> APIRouter:
    router = APIRouter(tags=["health"])
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Figures(services))

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def metrics() -> Response:
        """Counters, gauges and histograms of the model in memory and of this process, in Prometheus' text format."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router


class _Figures(Collector):
    def __init__(self, services: Services) -> None:
        self._services = services
        self._power = _Power()

    def describe(self) -> list[Metric]:
        return []  # there may be no model yet

    def collect(self) -> Iterator[Metric]:
        services = self._services
        requests = CounterMetricFamily(
            f"{PREFIX}requests", "Requests that have ended, as the ledger has it", labels=["status"]
        )
        for status, count in sorted(services.books.statuses.copy().items()):
            requests.add_metric([status], count)
        yield requests
        yield _gauge("num_requests_queued", "Requests that wait for their first token", services.gate.waiting)
        engine = services.models.engine
        if engine is not None:
            told = engine.telemetry()
            yield from _of_engine(engine, told)
            if told.request_joules is not None and told.device_joules is not None:
                yield _counter("request_energy_joules", "Energy that answers were charged with", told.request_joules)
                yield _counter("device_energy_joules", "Energy that the model's devices have taken", told.device_joules)
                if (watts := self._power.mean(engine, told.device_joules)) is not None:
                    yield _gauge("power_watts", "Mean power of these devices since it was last asked for", watts)


class _Power:
    """Mean power between one look at a counter of joules and the next."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._then = self._joules = 0.0
        self._watts: float | None = None

    def mean(self, engine: Engine, joules: float) -> float | None:
        """None at the first look at an engine."""
        now = time.monotonic()
        if engine is not self._engine:
            self._engine, self._then, self._joules, self._watts = engine, now, joules, None
        elif now - self._then >= _POWER_SECONDS:
            self._watts = (joules - self._joules) / (now - self._then)
            self._then, self._joules = now, joules
        return self._watts


def _of_engine(engine: Engine, told: EngineTelemetry) -> Iterator[Metric]:
    info, stats = engine.info, engine.stats()
    about = {"model": info.name, "device": info.device, "dtype": info.dtype, "quantization": info.quantization}
    model = GaugeMetricFamily(f"{PREFIX}model_info", "The model in memory", labels=list(about))
    model.add_metric(list(about.values()), 1)
    yield model
    yield _gauge("num_requests_running", "Sequences in the batch", stats.running)
    yield _gauge("num_requests_waiting", "Sequences that wait to be admitted", stats.waiting)
    yield _gauge("oldest_waiting_seconds", "How long the next to be admitted has waited", told.oldest_waiting_seconds)
    used = 1 - stats.free_blocks / stats.total_blocks
    yield _gauge("kv_cache_usage_perc", "Blocks that requests hold, of all; 1 is all", used)
    yield _counter("num_preemptions", "Sequences that gave their blocks up for older ones", stats.preemptions)
    yield _counter("engine_steps", "Passes through the network", stats.steps)
    yield _counter("prompt_tokens", "Tokens of admitted prompts", stats.prompt_tokens)
    yield _counter("generation_tokens", "Tokens of answers", stats.generated_tokens)
    yield _counter("prefix_cache_queries", "Tokens of prompts that were looked for", stats.prompt_tokens)
    yield _counter("prefix_cache_hits", "Those whose keys and values were found", stats.cached_tokens)
    yield _counter("mm_cache_queries", "Pictures that were looked for", stats.feature_hits + stats.feature_misses)
    yield _counter("mm_cache_hits", "Those whose features were found", stats.feature_hits)
    yield _counter("spec_decode_num_drafts", "Drafts of several tokens", stats.spec_decode_num_drafts)
    yield _counter("spec_decode_num_draft_tokens", "Tokens of drafts", stats.spec_decode_num_draft_tokens)
    yield _counter("spec_decode_num_accepted_tokens", "Those that were right", stats.spec_decode_num_accepted_tokens)
    yield _histogram("request_queue_time_seconds", "Until a request was admitted, noted then", told.queue_seconds)
    yield _histogram("time_to_first_token_seconds", "From submission to the first token", told.first_token_seconds)
    yield _histogram("e2e_request_latency_seconds", "From submission to the end", told.total_seconds)
    memory = GaugeMetricFamily(f"{PREFIX}memory_bytes", "Memory that is set apart, by what it is for", labels=["owner"])
    for owner, size in told.memory_bytes.items():
        memory.add_metric([owner], size)
    yield memory


def _gauge(name: str, says: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, says, value)


def _counter(name: str, says: str, value: float) -> Metric:
    return CounterMetricFamily(PREFIX + name, says, value)


def _histogram(name: str, says: str, counted: Histogram) -> Metric:
    below, buckets = 0, []
    for bound, count in zip([*map(str, counted.bounds), "+Inf"], counted.counts.copy(), strict=True):
        below += count
        buckets.append((bound, below))
    return HistogramMetricFamily(PREFIX + name, says, buckets, counted.total)
