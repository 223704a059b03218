"""A real server on a free port of this machine, and what its tests send to it."""

from __future__ import annotations

import base64
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from PIL import Image

MODELS = Path(__file__).parents[2] / "models"


@contextmanager
def serving(app: FastAPI, port: int = 0) -> Iterator[str]:
    """Runs `app` in a thread of this process, so that a test can look at the engine behind it. Yields its base URL."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            wait_until(lambda: server.started, seconds=30)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=30)
            assert not thread.is_alive(), "the server did not stop"


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds} seconds"
        time.sleep(0.01)


def endless_model(folder: Path) -> Path:
    """The shipped MoE model without an end token: every answer runs to its limit, so that there is time to stop it.

    It then says `<|im_end|>` again and again, which is shown here as text, so that the answer is seen to grow.
    """
    folder.mkdir()
    for file in (MODELS / "moe").iterdir():
        if file.name not in ("generation_config.json", "tokenizer.json"):
            (folder / file.name).symlink_to(file)
    never_sampled = 575  # a row of the vocabulary behind the last token of the tokenizer
    (folder / "generation_config.json").write_text(json.dumps({"do_sample": False, "eos_token_id": never_sampled}))
    tokenizer = json.loads((MODELS / "moe" / "tokenizer.json").read_text(encoding="utf-8"))
    for token in tokenizer["added_tokens"]:
        token["special"] = token["special"] and token["content"] not in ("<|im_end|>", "<|endoftext|>")
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    return folder


def data_url(image: Image.Image, kind: str = "PNG") -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
