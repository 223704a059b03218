"""The only way out of a guarded browser: an HTTP proxy on this machine that connects to allowed hosts and no others.

It sees whatever the browser sends, by whatever means a page asks for it: requests, redirects, WebSockets, prefetches,
beacons. A name is looked up here, its addresses are checked, and the connection goes to one of exactly these, so that a
name cannot come to mean something else in between. What is refused is told to the caller. Knows nothing of pages.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

import h11

from qwen3vl.browser.rules import HostRules, RefusedError, Resolve

REFUSED_HEADER = "x-qwen3vl-refused"
"""In the answer to what may not leave: why."""

_CONNECTING_SECONDS = 15.0
_PIECE = 65_536
_OF_THIS_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization", b"te", b"trailer", b"upgrade")
)

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


class Proxy:
    """Serves one browser, in one event loop. `pages`: documents that it answers itself, by host, for `http://host/`."""

    def __init__(
        self,
        rules: HostRules,
        *,
        refused: Callable[[str, str], None],
        pages: Mapping[str, str] | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        """`refused(url, reason)` is told of everything that may not leave; of an encrypted one only the host is
        known."""
        self._rules, self._refused, self._resolve = rules, refused, resolve
        self._pages = {host: html.encode() for host, html in (pages or {}).items()}
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        """Its own address."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        """Ends every connection. May be called twice."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: Reader, writer: Writer) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: Reader, writer: Writer) -> None:
        """One request, or one tunnel: a connection is not used for another, which might be for another host."""
        client = _Side(h11.Connection(h11.SERVER), reader, writer)
        try:
            request = await client.next()
            if isinstance(request, h11.Request):
                await (self._tunnel if request.method == b"CONNECT" else self._forward)(client, request)
        except (OSError, EOFError, ValueError, h11.ProtocolError):
            pass  # the browser sees that the connection ends
        finally:
            writer.close()

    async def _tunnel(self, client: _Side, request: h11.Request) -> None:
        host, _, port = request.target.decode("latin-1").rpartition(":")
        upstream = await self._connect(client, f"{host}:{port}", host, int(port) if port.isdecimal() else 0)
        if upstream is None:
            return
        reader, writer = upstream
        try:
            client.writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            writer.write(client.state.trailing_data[0])
            ways = [_pump(client.reader, writer), _pump(reader, client.writer)]
            tasks = [asyncio.ensure_future(way) for way in ways]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            writer.close()

    async def _forward(self, client: _Side, request: h11.Request) -> None:
        url = request.target.decode("latin-1")
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme == "http" and parts.port is None and host in self._pages:
            await client.answer(200, self._pages[host], b"text/html; charset=utf-8")
            return
        if parts.scheme != "http":
            await self._refuse(client, url, "scheme_not_allowed")
            return
        upstream = await self._connect(client, url, host, parts.port or 80)
        if upstream is None:
            return
        server = _Side(h11.Connection(h11.CLIENT), *upstream)
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            headers = [pair for pair in request.headers.raw_items() if pair[0].lower() not in _OF_THIS_HOP]
            headers.append((b"Connection", b"close"))
            await server.send(h11.Request(method=request.method, target=target.encode("latin-1"), headers=headers))
            while not isinstance(event := await client.next(), h11.EndOfMessage | h11.ConnectionClosed):
                await server.send(event)
            await server.send(h11.EndOfMessage())
            while not isinstance(event := await server.next(), h11.EndOfMessage | h11.ConnectionClosed):
                await client.send(_without_hop(event) if isinstance(event, h11.Response) else event)
            await client.send(h11.EndOfMessage())
        finally:
            server.writer.close()

    async def _connect(self, client: _Side, url: str, host: str, port: int) -> tuple[Reader, Writer] | None:
        """A connection to an allowed host; without one the browser has been told why."""
        try:
            async with asyncio.timeout(_CONNECTING_SECONDS):
                addresses = await self._rules.addresses(host.strip("[]"), port, self._resolve)
                for address in addresses:
                    with contextlib.suppress(OSError):
                        return await asyncio.open_connection(address, port)
        except RefusedError as refused:
            await self._refuse(client, url, str(refused))
            return None
        except TimeoutError:
            pass
        await client.answer(502, b"the host does not answer")
        return None

    async def _refuse(self, client: _Side, url: str, reason: str) -> None:
        self._refused(url, reason)
        await client.answer(403, f"refused: {reason}".encode(), more=[(REFUSED_HEADER.encode(), reason.encode())])


class _Side:
    """One of the two connections of a forwarded request, as HTTP events."""

    def __init__(self, state: h11.Connection, reader: Reader, writer: Writer) -> None:
        self.state, self.reader, self.writer = state, reader, writer

    async def next(self) -> h11.Event:
        while True:
            event = self.state.next_event()
            if event is h11.NEED_DATA:
                self.state.receive_data(await self.reader.read(_PIECE))
            elif event is h11.PAUSED:
                raise EOFError
            else:
                assert isinstance(event, h11.Event)
                return event

    async def send(self, event: h11.Event) -> None:
        if data := self.state.send(event):
            self.writer.write(data)
            await self.writer.drain()

    async def answer(
        self, status: int, body: bytes, kind: bytes = b"text/plain", more: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        headers = [
            *more,
            (b"Content-Type", kind),
            (b"Content-Length", str(len(body)).encode()),
            (b"Cache-Control", b"no-store"),
            (b"Connection", b"close"),
        ]
        await self.send(h11.Response(status_code=status, headers=headers))
        await self.send(h11.Data(data=body))
        await self.send(h11.EndOfMessage())


def _without_hop(response: h11.Response) -> h11.Response:
    headers = [pair for pair in response.headers.raw_items() if pair[0].lower() not in _OF_THIS_HOP]
    headers.append((b"Connection", b"close"))
    return h11.Response(status_code=response.status_code, headers=headers, reason=response.reason)


async def _pump(reader: Reader, writer: Writer) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_PIECE):
            writer.write(data)
            await writer.drain()
