"""Settings from four places: which one counts, and what is said about what is wrong."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from qwen3vl.settings import KEYS, Settings


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No variable, no file of whoever runs the tests; the working folder is an empty one."""
    for name in [name for name in os.environ if name.upper().startswith("QWEN3VL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


def test_defaults() -> None:
    settings = Settings.load()
    assert settings.model.name == "tiny-moe"
    assert settings.model.memory is None
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 7860)
    assert settings.generation.given() == {}
    assert settings.server.url_media is False


def test_flags_beat_the_environment_which_beats_the_file_which_beats_the_defaults(
    monkeypatch: pytest.MonkeyPatch, clean: Path
) -> None:
    (clean / "config.yaml").write_text(
        "server: {port: 8001, host: 0.0.0.0, max_queue: 7}\nmodel:\n  name: tiny-dense\n  memory: 1.5GiB\n"
    )
    monkeypatch.setenv("QWEN3VL_SERVER_PORT", "8002")
    monkeypatch.setenv("QWEN3VL_SERVER_HOST", "127.0.0.2")
    monkeypatch.setenv("QWEN3VL_MODEL_MAX_CONTEXT", "512")
    settings = Settings.load(model={"name": None, "device": "cpu"}, server={"port": "8003"})
    server, model = settings.server, settings.model
    assert (server.port, server.host, server.max_queue) == (8003, "127.0.0.2", 7)
    assert (model.name, model.device, model.max_context) == ("tiny-dense", "cpu", 512)
    assert model.memory == 3 * 2**29


def test_where_the_file_is_looked_for(monkeypatch: pytest.MonkeyPatch, clean: Path, tmp_path: Path) -> None:
    def port_of(**options: Any) -> int:
        return Settings.load(**options).server.port

    def write(path: Path, port: int) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"server: {{port: {port}}}")
        return path

    write(tmp_path / "user" / "qwen3vl" / "config.yaml", 1001)
    assert port_of() == 1001
    write(clean / "config.yaml", 1002)
    assert port_of() == 1002
    monkeypatch.setenv("QWEN3VL_CONFIG", str(write(tmp_path / "named.yaml", 1003)))
    assert port_of() == 1003
    assert port_of(config=write(tmp_path / "flag.yaml", 1004)) == 1004
    with pytest.raises(ValueError, match=r"gone\.yaml does not exist"):
        port_of(config=tmp_path / "gone.yaml")


def test_every_key_is_a_variable_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for section, key in KEYS:
        monkeypatch.setenv(f"QWEN3VL_{section}_{key}".upper(), "1")
    with pytest.raises(ValueError, match=r"environment variable QWEN3VL_\w+: setting"):  # 1 is not good for all
        Settings.load()
    for section, key in KEYS:
        monkeypatch.delenv(f"QWEN3VL_{section}_{key}".upper())
    monkeypatch.setenv("QWEN3VL_SERVER_URL_HOSTS", "a.org, *.b.org")
    monkeypatch.setenv("QWEN3VL_SERVER_URL_PORTS", "80,8080")
    monkeypatch.setenv("QWEN3VL_INTERFACE_STREAMING", "off")
    monkeypatch.setenv("QWEN3VL_GENERATION_MODE", "3")
    monkeypatch.setenv("QWEN3VL_GENERATION_TEMPERATURE", "0")
    settings = Settings.load()
    assert settings.server.url_hosts == ("a.org", "*.b.org")
    assert settings.server.url_ports == (80, 8080)
    assert settings.interface.streaming is False
    assert settings.generation.given() == {"mode": 3, "temperature": 0.0}


def test_no_key_stands_in_two_sections() -> None:
    """Each is a flag of its own name."""
    names = [key for _, key in KEYS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("QWEN3VL_SERVER_PRT", "1", "QWEN3VL_SERVER_PRT; did you mean QWEN3VL_SERVER_PORT"),
        ("QWEN3VL_ZZZZZZZZ", "1", "unknown environment variable"),
        ("QWEN3VL_SERVER_PORT", "many", "server.port"),
        ("QWEN3VL_SERVER_PORT", "70000", "server.port"),
        ("QWEN3VL_SERVER_URL_PORTS", "80,99999", "server.url_ports"),
        ("QWEN3VL_MODEL_MEMORY", "3 parrots", "model.memory"),
        ("QWEN3VL_MODEL_DTYPE", "int3", "model.dtype.*float32"),
        ("QWEN3VL_MODEL_MAX_CONTEXT", "0", "model.max_context"),
        ("QWEN3VL_INTERFACE_LANGUAGE", "fr", "interface.language.*zh"),
        ("QWEN3VL_CONFIG", "/nowhere/config.yaml", "does not exist"),
    ],
)
def test_what_is_wrong_is_named(variable: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=words):
        Settings.load()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("server: {prt: 1}", r"config\.yaml: unknown setting server\.prt; did you mean server\.port\?"),
        ("sever: {port: 1}", r"unknown section 'sever'; did you mean server\?"),
        ("server: {port: many}", r"config\.yaml: setting server\.port: .*'many'"),
        ("server: [1]", "the section 'server' must hold keys"),
        ("- 1", "must hold sections"),
        ("a: b: c", "cannot be read as YAML"),
        ("server: !!python/object/apply:os.system [ls]", "cannot be read as YAML"),
    ],
)
def test_a_file_that_is_wrong_says_where(text: str, words: str, clean: Path) -> None:
    (clean / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match=words):
        Settings.load()


def test_an_empty_file_or_section_says_nothing(clean: Path) -> None:
    (clean / "config.yaml").write_text("# nothing yet\nserver:\nmodel: {device: }\n")
    assert Settings.load() == Settings()


def test_an_unknown_flag_is_refused() -> None:
    with pytest.raises(ValueError, match=r"command line: unknown setting server\.prt; did you mean server\.port"):
        Settings.load(server={"prt": 1})
