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
from PIL import Image

from qwen3vl.cli import main
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
    assert done.stdout.startswith('{"action": "click", "text": "Save"')
    assert done.stdout.count("\n") == 1  # the answer and nothing else, so that it can be piped
    assert re.search(r"\d+ tokens, \d+ tokens/s, \d+ ms to the first", done.stderr)
    assert "tiny-moe: 8 experts, 4 a token" in done.stderr
    x1, _, x2, y2 = window.boxes["Save"]
    with Image.open(marked) as image:
        assert image.getpixel((round((x1 + x2) / 2), round(y2))) != window.image.getpixel(
            (round((x1 + x2) / 2), round(y2))
        )


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
    [["chat"], ["serve", "--port", "99999"], ["serve", "--dtype", "int3"], ["chat", "--nope", "x"], ["dance"]],
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


def test_help_needs_no_torch() -> None:
    code = """
import sys
from qwen3vl.cli import main
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
        assert re.search(r"dense: dense, 8\.\d M parameters, float32 on cpu, 1,024 MiB", lines[0]), lines
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
