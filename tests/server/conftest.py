from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import openai
import psutil
import pytest
import torch

from qwen3vl import Engine
from qwen3vl.engine.scheduler import Chunk
from qwen3vl.server import Services, create_app
from qwen3vl.settings import ServerSettings, Settings
from support.server import MODELS, endless_model, serving

MAX_BODY = 2_000_000


@pytest.fixture(scope="package")
def engine() -> Iterator[Engine]:
    with Engine.load(MODELS / "moe", device="cpu", memory="1GiB") as engine:
        yield engine


@pytest.fixture(scope="package")
def url(engine: Engine) -> Iterator[str]:
    settings = Settings(server=ServerSettings(max_body=MAX_BODY))
    with Services.single(engine, settings) as services, serving(create_app(services)) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture
def endless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, str]]:
    """An engine whose answers do not end by themselves, and the URL of its server. Its steps take as long as a larger
    model's: what happens during an answer needs an answer that lasts.
    """
    folder = endless_model(tmp_path_factory.mktemp("models") / "endless")
    engine = Engine.load(folder, device="cpu", memory="1GiB")
    runner = engine._core.runner
    run = runner.run

    def run_slowly(chunks: list[Chunk]) -> torch.Tensor:
        time.sleep(0.01)
        return run(chunks)

    runner.run = run_slowly  # type: ignore[method-assign]
    with Services.single(engine) as services, serving(create_app(services)) as url:
        yield engine, url


@pytest.fixture
def api(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{url}/v1", timeout=60) as client:
        yield client


@pytest.fixture
def endless_api(endless: tuple[Engine, str]) -> Iterator[tuple[Engine, httpx.Client]]:
    with httpx.Client(base_url=f"{endless[1]}/v1", timeout=60) as client:
        yield endless[0], client


@pytest.fixture(scope="module")
def no_browser_is_left() -> Iterator[None]:
    yield
    left = [child for child in psutil.Process().children(recursive=True) if "chrom" in child.name()]
    _, alive = psutil.wait_procs(left, timeout=5)
    assert [child for child in alive if child.status() != psutil.STATUS_ZOMBIE] == []
