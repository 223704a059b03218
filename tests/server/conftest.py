from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from qwen3vl import Engine
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
    """An engine whose answers do not end by themselves, and the URL of its server."""
    folder = endless_model(tmp_path_factory.mktemp("models") / "endless")
    engine = Engine.load(folder, device="cpu", memory="1GiB")
    with Services.single(engine) as services, serving(create_app(services)) as url:
        yield engine, url
