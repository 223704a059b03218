"""The command as a person runs it: in a process of its own, with its exit status and what it prints where."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from PIL import Image, ImageChops

from qwen3vl.cli import main
from qwen3vl.settings import KEYS
from support import drawing
from support.server import MODELS

COMMAND = str(Path(sys.executable).with_name("qwen3vl"))


def run(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "200", **(environment or {})},
    )


def test_chat_streams_an_answer_and_marks_the_picture(tmp_path: Path) -> None:
    window = drawing.window()
    window.image.save(tmp_path / "window.png")
    marked = tmp_path / "marked.png"
    picture = str(tmp_path / "window.png")
    done = run("chat", picture, "Click the Save button.", "--boxes", str(marked), "--mode", "balanced")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"<tool_call>\n\{.*\}\n</tool_call>\n", done.stdout)  # nothing else, so that it can be piped
    assert re.search(r"\d+ tokens, \d+ tokens/s, \d+ ms to the first", done.stderr)
    assert "tiny-moe: 8 experts, 4 a token" in done.stderr
    button = tuple(round(edge) for edge in window.boxes["Save"])
    with Image.open(marked) as image:
        changed = ImageChops.difference(image.convert("RGB"), window.image).crop(button)
    assert changed.getbbox() is not None


def in_process(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    """Status, stdout and stderr of `main` in this process, which has torch already."""
    monkeypatch.setattr(sys, "argv", ["qwen3vl", *arguments])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as exited:
        main()
    out, err = capfd.readouterr()
    assert isinstance(exited.value.code, int)
    return exited.value.code, out, err


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings, data or keys of whoever runs the tests."""
    for name in ("CONFIG", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chat", "gone.png", "What?"], "gone.png cannot be read: No such file"),
        (["chat", "What?", "--model", "no-such-model"], "no-such-model"),
        (["chat", "What?", "--mode", "turbo"], "'fast', 'balanced', 'full'"),
        (["chat", "What?", "--mode", "9"], "1 to 4"),
        (["chat", "What?", "--temperature", "7"], "temperature"),
        (["chat", "What?", "--memory", "1MiB"], "0.00 GiB may be used"),
        (["chat", "What?", "--boxes", "x.png"], "exactly one picture"),
        (["serve", "--host", "0.0.0.0", "--port", "0"], "--insecure"),  # before a model is loaded
        (["serve", "--port", "0", "--rate", "fast"], "60/min"),
        (["serve", "--port", "0", "--temperature", "9"], "setting generation.temperature"),
        (["serve", "--port", "0", "--database", "mysql://x/y"], "sqlite or postgresql"),
        (
            ["serve", "tiny-dense", "--port", "0", "--mode", "balanced"],
            "setting generation.mode: mode 'balanced' needs",
        ),
        (
            ["serve", "tiny-dense", "--port", "0", "--max-pixels", "99999999"],
            "setting generation.max_pixels: max_pixels",
        ),
        (["keys", "create", "--name", "x", "--scope", "everything"], "chat, models, files, admin"),
        (["keys", "create", "--name", "x", "--rate", "0/min"], "60/min"),
        (["keys", "revoke", "nobody"], "no key 'nobody'"),
        (["chat", "What?", "--model", "[bold]x[/]"], "'[bold]x[/]'"),  # not taken for markup
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_failure_is_one_line(
    arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    status, out, err = in_process(monkeypatch, capfd, *arguments)
    [line] = [line for line in err.splitlines() if line.startswith("error: ")]
    assert (status, out) == (1, "")
    assert words in line
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["chat"],
        ["serve", "--port", "99999"],
        ["serve", "--dtype", "int3"],
        ["serve", "--quantization", "int3"],
        ["serve", "--config", "gone.yaml"],
        ["serve", "--url-ports", "80,many"],
        ["chat", "--nope", "x"],
        ["keys", "create"],
        ["dance"],
    ],
)
def test_wrong_usage_has_status_2(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    status, _, err = in_process(monkeypatch, capfd, *arguments)
    assert status == 2
    assert "Traceback" not in err


def test_a_port_that_is_taken(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, _, err = in_process(monkeypatch, capfd, "serve", "--port", str(port))
    assert status == 1
    assert f"port {port}" in err
    assert "experts" not in err  # found out before a model was loaded


def test_every_setting_is_a_flag_in_its_section(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = in_process(monkeypatch, capfd, "serve", "--help")
    assert status == 0
    sections = dict(
        re.findall(r"^(Model|Generation|Interface|Server) \(\w+ in config\.yaml\):\n((?:  .*\n?)+)", out, re.M)
    )
    for section, key in KEYS:
        if (section, key) != ("model", "name"):
            assert f"--{key.replace('_', '-')}" in sections[section.capitalize()], (section, key)
            assert KEYS[section, key].description.split()[0] in sections[section.capitalize()]


def test_flags_and_the_file_reach_the_settings(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A file that is wrong, and a flag in its place that is wrong in another way: it is the flag that is told."""
    file = tmp_path / "some.yaml"
    file.write_text("server: {rate: slow, insecure: true}")
    status, _, err = in_process(monkeypatch, capfd, "serve", "--config", str(file), "--port", "0")
    assert (status, "got 'slow'" in err) == (1, True)
    status, _, err = in_process(monkeypatch, capfd, "serve", "--config", str(file), "--port", "0", "--rate", "quick")
    assert (status, "got 'quick'" in err) == (1, True)
    file.write_text("server: {prt: 1}")
    status, _, err = in_process(monkeypatch, capfd, "serve", "--config", str(file))
    assert status == 2
    assert "did you mean server.port?" in " ".join(err.split())


def test_keys_are_made_listed_and_revoked(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def keys(*arguments: str) -> str:
        status, out, err = in_process(monkeypatch, capfd, "keys", *arguments)
        assert status == 0, err
        return out

    secret = keys("create", "--name", "laptop", "--scope", "chat,files", "--rate", "2/s")
    assert re.fullmatch(r"qk-[\w-]{43}\n", secret)  # alone, so that it can be piped
    [line] = keys("list").splitlines()
    assert re.search(r"  active  .*  chat,files  120/min  laptop$", line)
    identity = line.split()[0]
    keys("revoke", identity)
    assert "revoked" in keys("list")
    everything = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"laptop" in everything
    assert secret.strip().encode() not in everything


def test_help_needs_no_torch() -> None:
    code = """
import sys
from qwen3vl.cli import main
from qwen3vl.settings import KEYS
sys.argv = ["qwen3vl", "--help"]
try:
    main()
except SystemExit:
    assert not {"torch", "gradio", "fastapi", "numpy"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "serve" in done.stdout
    assert "chat" in done.stdout


def test_serve_until_interrupted() -> None:
    """The page and the API answer at the printed URL; Ctrl+C ends it soon and without a word, an open stream or not."""
    process = subprocess.Popen(
        [COMMAND, "serve", str(MODELS / "dense"), "--port", "0", "--memory", "1GiB"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert process.stderr is not None
    try:
        lines = [process.stderr.readline(), process.stderr.readline()]
        assert re.search(r"dense: dense, 1\d\.\d M parameters, float32 on cpu, 1,024 MiB", lines[0]), lines
        found = re.match(r"(http://127\.0\.0\.1:\d+) ", lines[1])
        assert found, lines
        url = found[1]
        assert httpx.get(f"{url}/health", timeout=30).json()["status"] == "ok"
        page = httpx.get(url, timeout=30)
        assert "gradio" in page.text
        assert "default-src 'self'" in page.headers["content-security-policy"]
        with httpx.stream("GET", f"{url}/gradio_api/heartbeat/someone", timeout=30):  # an open page
            process.send_signal(signal.SIGINT)
            started = time.monotonic()
            assert process.wait(timeout=30) == 0
            assert time.monotonic() - started < 15
        assert process.stderr.read() == ""
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stderr.close()
