"""The way out of the browser, with another HTTP client as the oracle."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from qwen3vl.browser.proxy import Proxy
from qwen3vl.browser.rules import HostRules
from support.sites import Answer, site, trap

Refusals = list[tuple[str, str]]


@asynccontextmanager
async def client(*hosts: str, **options: Any) -> AsyncIterator[tuple[httpx.AsyncClient, Refusals, str]]:
    refusals: Refusals = []
    proxy = Proxy(HostRules(hosts, private=hosts), refused=lambda *told: refusals.append(told), **options)
    address = await proxy.start()
    try:
        async with httpx.AsyncClient(proxy=address, trust_env=False, timeout=10) as client:
            yield client, refusals, address
    finally:
        await proxy.close()


def test_requests_go_through_as_they_are() -> None:
    big = bytes(range(256)) * 4000
    pages = {
        "/": Answer("hello"),
        "/big": Answer(big, headers={"Content-Type": "application/octet-stream", "X-Own": "kept"}),
        "/open": Answer("until it ends", length=False),
        "/none": Answer(status=204),
        "/moved": Answer(status=302, headers={"Location": "/"}),
    }

    async def go() -> None:
        with site(pages) as here:
            async with client(here.host) as (web, refusals, _):
                assert (await web.get(f"{here.url}/?a=1&b=%20x")).text == "hello"
                assert here.asked[-1][:2] == ("GET", "/?a=1&b=%20x")
                answer = await web.get(f"{here.url}/big")
                assert answer.content == big
                assert answer.headers["x-own"] == "kept"
                assert (await web.get(f"{here.url}/open")).text == "until it ends"
                assert (await web.get(f"{here.url}/none")).status_code == 204
                assert (await web.head(f"{here.url}/big")).headers["content-length"] == str(len(big))
                await web.post(f"{here.url}/", content=big)
                assert here.asked[-1][2] == big
                moved = await web.get(f"{here.url}/moved")
                assert (moved.status_code, moved.headers["location"]) == (302, "/")
                assert refusals == []

    asyncio.run(go())


def test_other_hosts_are_refused_before_anything_is_sent() -> None:
    async def go() -> None:
        with site({"/": "hello"}) as here, trap() as outside:
            other = f"127.0.0.1:{outside.port}"
            async with client(here.host) as (web, refusals, _):
                assert (await web.get(f"http://{other}/x")).status_code == 403
                with pytest.raises(httpx.ProxyError, match="403"):
                    await web.get(f"https://{other}/x")
                assert (await web.get(f"{here.url}/")).text == "hello"
            assert refusals == [(f"http://{other}/x", "host_not_allowed"), (other, "host_not_allowed")]
            assert outside.visits == []

    asyncio.run(go())


def test_a_connection_serves_one_request() -> None:
    """So that a second, for another host, cannot ride on the first."""

    async def go() -> None:
        with site({"/": "hello"}) as here, trap() as outside:
            async with client(here.host) as (_, _, address):
                host, port = address.removeprefix("http://").split(":")
                reader, writer = await asyncio.open_connection(host, int(port))
                for name in (here.host, f"127.0.0.1:{outside.port}"):
                    writer.write(f"GET http://{name}/ HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
                answer = await reader.read()
                writer.close()
            assert answer.startswith(b"HTTP/1.1 200")
            assert answer.count(b"HTTP/1.1") == 1
            assert len(here.asked) == 1
            assert outside.visits == []

    asyncio.run(go())


def test_a_tunnel_carries_bytes_both_ways() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data.upper())
        writer.close()

    async def go() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        name = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with client(name) as (_, _, address):
            host, port = address.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(f"CONNECT {name} HTTP/1.1\r\nHost: {name}\r\n\r\nearly".encode())
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 200 Connected\r\n\r\n"
            assert await reader.readexactly(5) == b"EARLY"
            writer.write(b"later")
            assert await reader.readexactly(5) == b"LATER"
            writer.close()
        server.close()

    asyncio.run(go())


def test_a_name_cannot_come_to_mean_something_else() -> None:
    """An allowed name that stands for an address of this machine, at once or only the second time it is asked."""
    answers = [["127.0.0.1"], ["93.184.216.34", "127.0.0.1"]]

    async def resolve(host: str, port: int) -> Sequence[str]:
        return answers.pop(0)

    async def go() -> None:
        with trap() as outside:
            refusals: Refusals = []
            rules = HostRules((f"rebound.test:{outside.port}",))
            proxy = Proxy(rules, refused=lambda *told: refusals.append(told), resolve=resolve)
            address = await proxy.start()
            async with httpx.AsyncClient(proxy=address, trust_env=False) as web:
                for _ in range(2):
                    assert (await web.get(f"http://rebound.test:{outside.port}/")).status_code == 403
            await proxy.close()
            assert [reason for _, reason in refusals] == ["private_address"] * 2
            assert outside.visits == []

    asyncio.run(go())


@pytest.mark.parametrize(
    "said",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT :99999 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET ftp://a.org/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://[::1/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://a.org:99999/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01" + b"\x00" * 100,
        b"",
    ],
)
def test_nonsense_ends_its_own_connection_only(said: bytes) -> None:
    async def go() -> None:
        with site({"/": "hello"}) as here:
            async with client(here.host) as (web, _, address):
                host, port = address.removeprefix("http://").split(":")
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(said)
                writer.write_eof()
                answer = await asyncio.wait_for(reader.read(), 5)
                assert not answer.startswith(b"HTTP/1.1 200")
                writer.close()
                assert (await web.get(f"{here.url}/")).text == "hello"

    asyncio.run(go())


def test_its_own_pages() -> None:
    async def go() -> None:
        async with client(pages={"page.invalid": "<p>你好"}) as (web, refusals, _):
            answer = await web.get("http://page.invalid/any?thing")
            assert answer.text == "<p>你好"
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
            assert refusals == []

    asyncio.run(go())


def test_a_host_that_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]

    async def go() -> None:
        async with client(f"127.0.0.1:{port}") as (web, _, _):
            assert (await web.get(f"http://127.0.0.1:{port}/")).status_code == 502

    asyncio.run(go())
