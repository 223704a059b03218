from __future__ import annotations

import pytest

from qwen3vl.settings import Settings


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.upper().startswith("QWEN3VL_")]:
        monkeypatch.delenv(name)


def test_defaults() -> None:
    settings = Settings.load()
    assert settings.model.name == "tiny-moe"
    assert settings.model.memory is None
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 7860)


def test_flags_beat_the_environment_which_beats_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QWEN3VL_SERVER_PORT", "9000")
    monkeypatch.setenv("QWEN3VL_MODEL_NAME", "tiny-dense")
    monkeypatch.setenv("QWEN3VL_MODEL_MAX_CONTEXT", "512")
    monkeypatch.setenv("QWEN3VL_MODEL_MEMORY", "1.5GiB")
    settings = Settings.load(model={"name": None, "device": "cpu"}, server={"port": 9001})
    assert settings.server.port == 9001
    assert (settings.model.name, settings.model.device, settings.model.max_context) == ("tiny-dense", "cpu", 512)
    assert settings.model.memory == 3 * 2**29


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("QWEN3VL_SERVER_PRT", "1", "QWEN3VL_SERVER_PRT; known are .*QWEN3VL_SERVER_PORT"),
        ("QWEN3VL_SERVER_PORT", "many", "server.port"),
        ("QWEN3VL_SERVER_PORT", "70000", "server.port"),
        ("QWEN3VL_MODEL_MEMORY", "3 parrots", "model.memory"),
        ("QWEN3VL_MODEL_DTYPE", "int3", "model.dtype.*float32"),
        ("QWEN3VL_MODEL_MAX_CONTEXT", "0", "model.max_context"),
    ],
)
def test_what_is_wrong_is_named(variable: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=words):
        Settings.load()


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValueError, match=r"server\.prt"):
        Settings.load(server={"prt": 1})
