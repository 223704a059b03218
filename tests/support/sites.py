"""Little web sites on this machine: what they serve is given, what they were asked is remembered."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Answer:
    body: str | bytes = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "text/html; charset=utf-8"})
    length: bool = True  # false: the body ends with the connection


@dataclass
class Site:
    """`pages`: answers by path, without the query."""

    port: int
    pages: dict[str, Answer]
    asked: list[tuple[str, str, bytes]] = field(default_factory=list)  # method, path with query, body

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"


@contextmanager
def site(pages: Mapping[str, Answer | str]) -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            known.asked.append((self.command, self.path, body))
            answer = known.pages.get(self.path.partition("?")[0], Answer("not here", status=404))
            data = answer.body.encode() if isinstance(answer.body, str) else answer.body
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.length:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_POST = do_HEAD = do_PUT = _answer

        def log_message(self, *_: object) -> None:
            pass

    answers = {path: Answer(page) if isinstance(page, str) else page for path, page in pages.items()}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    known = Site(server.server_port, answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield known
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Trap:
    """A port that nobody should come to, whatever they would say there."""

    port: int
    visits: list[bytes] = field(default_factory=list)


@contextmanager
def trap() -> Iterator[Trap]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        known = Trap(listener.getsockname()[1])

        def wait() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(0.2)
                    try:
                        known.visits.append(connection.recv(200))
                    except OSError:
                        known.visits.append(b"")

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        try:
            yield known
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
