"""A stand-in for Hugging Face and ModelScope on 127.0.0.1, which can fail on purpose.

It speaks what a download needs of both: for Hugging Face the model API with sizes and hashes and the resolve addresses,
for ModelScope the file listing and the file address. Both know byte ranges. Each kind of failure happens once, then is
gone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

COMMIT = "c0ffee" + "0" * 34
REPO = "Qwen/Qwen3-VL-Test"


@dataclass
class Hub:
    """The published files, what shall go wrong, and what was asked for."""

    files: dict[str, bytes] = field(default_factory=dict)
    cut_after: dict[str, list[int]] = field(default_factory=dict)  # by file: bytes sent before each break
    corrupt: set[str] = field(default_factory=set)  # one byte of these arrives wrong, once
    ignores_ranges: bool = False
    gated: bool = False
    shown_size: dict[str, int] = field(default_factory=dict)  # a size in the listing that is not the true one
    requests: list[tuple[str, str | None]] = field(default_factory=list)  # file name, range header
    url: str = ""

    def sent(self, name: str) -> list[str | None]:
        """The range headers with which a file was asked for."""
        return [ranges for asked, ranges in self.requests if asked == name]


@contextmanager
def serve(files: dict[str, bytes]) -> Iterator[Hub]:
    """A running hub that publishes `files` as the model `REPO`."""
    hub = Hub(dict(files))

    class Handler(_Handler):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def is_large(name: str) -> bool:
    """Large files are in LFS and known by their SHA-256, small ones by their git hash, as on the real hub."""
    return name.endswith((".safetensors", "tokenizer.json"))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    state: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        resolve, file_list = f"/{REPO}/resolve/{COMMIT}/", f"/api/v1/models/{REPO}/repo"
        if path in (f"/api/models/{REPO}", f"/api/models/{REPO}/revision/main"):
            self._huggingface_listing()
        elif path == f"/api/models/{REPO}/revision/missing":
            self._json(404, {"error": "no such revision"}, {"X-Error-Code": "RevisionNotFound"})
        elif path.startswith("/api/models/"):
            self._json(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        elif path == f"{file_list}/files":
            self._modelscope_listing(query["Revision"])
        elif path.startswith("/api/v1/models/") and path.endswith("/files"):
            self._json(404, {"Code": 10010205001, "Message": "record not found", "Success": False})
        elif path.startswith(resolve):
            self._file(path.removeprefix(resolve))
        elif path == file_list and query["Revision"] == "r1":
            self._file(query["FilePath"])
        else:
            self._json(404, {"error": "not found"})

    def do_HEAD(self) -> None:
        """What the hub's own client asks before it fetches a file. The download under test has it from the listing."""
        name = urlsplit(self.path).path.removeprefix(f"/{REPO}/resolve/{COMMIT}/")
        content = self.state.files[name]
        self.send_response(200)
        self.send_header("ETag", f'"{sha256(content) if is_large(name) else git_hash(content)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("X-Linked-Size", str(len(content)))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()

    def _huggingface_listing(self) -> None:
        if self.state.gated:
            return self._json(403, {"error": "gated"}, {"X-Error-Code": "GatedRepo"})
        siblings = []
        for name, content in self.state.files.items():
            size = self.state.shown_size.get(name, len(content))
            entry: dict[str, object] = {"rfilename": name, "size": size, "blobId": git_hash(content)}
            if is_large(name):
                entry["lfs"] = {"sha256": sha256(content), "size": size, "pointerSize": 135}
            siblings.append(entry)
        self._json(200, {"id": REPO, "modelId": REPO, "sha": COMMIT, "siblings": siblings, "tags": []})

    def _modelscope_listing(self, revision: str) -> None:
        if revision != "master":
            return self._json(404, {"Code": 10010205001, "Message": f"no revision {revision}", "Success": False})
        entries = [
            {"Name": name, "Path": name, "Type": "blob", "Size": len(data), "Sha256": sha256(data), "Revision": "r1"}
            for name, data in self.state.files.items()
        ]
        entries.append({"Name": "assets", "Path": "assets", "Type": "tree", "Size": 0, "Sha256": "", "Revision": "r1"})
        self._json(200, {"Code": 200, "Success": True, "Message": "success", "Data": {"Files": entries}})

    def _file(self, name: str) -> None:
        ranges = self.headers.get("Range")
        self.state.requests.append((name, ranges))
        content = self.state.files[name]
        start = int(ranges.removeprefix("bytes=").removesuffix("-")) if ranges and not self.state.ignores_ranges else 0
        if name in self.state.corrupt:
            self.state.corrupt.remove(name)
            content = content[:-1] + bytes([content[-1] ^ 1])
        if start and start >= len(content):
            return self._json(416, {"error": "out of range"})
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = len(content)
        if breaks := self.state.cut_after.get(name):
            end = start + breaks.pop(0)
            self.close_connection = True
        self.wfile.write(content[start:end])

    def _json(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Silence: pytest shows what matters."""
