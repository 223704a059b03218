from __future__ import annotations

from pathlib import Path

import pytest
import torch


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="where the tests against the reference library run: cpu or cuda")


# What takes longest comes first, and what is quick evens out when two processes end.
_FIRST = ("webui", "server", "engine", "browser", "docs", "bench", "training")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        return _FIRST.index(folder) if folder in _FIRST else len(_FIRST)

    items.sort(key=rank)


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> str:
    """Float32 must mean float32: the reduced precision that CUDA libraries may take for it is switched off."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.set_num_threads(min(2, torch.get_num_threads()))
    return str(request.config.getoption("--device"))
