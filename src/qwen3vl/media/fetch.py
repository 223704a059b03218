"""Fetches one picture, video or document by its URL, from public addresses only.

Who may name a URL can otherwise look into the network that the server stands in. So a name is resolved once, every
address it has must be public, and the connection goes to one of exactly these, with the name in SNI and Host; each
redirect is treated as a new URL. Bytes and seconds are capped. No proxy, cookie or login takes part, and no error
repeats what an answer said. Knows nothing of pixels: the file's first bytes must be those of a format that can be read.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import httpcore

from qwen3vl.errors import MediaError
from qwen3vl.media.sniff import HEAD_BYTES, file_format

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to addresses as text."""

_MAX_REDIRECTS = 3
_REDIRECTS = (301, 302, 303, 307, 308)
_PORTS = {"http": 80, "https": 443}
_HEADERS = [("Accept", "image/*, video/*, application/pdf"), ("Accept-Encoding", "identity"), ("User-Agent", "qwen3vl")]
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\.?|[0-9a-f:.]*:[0-9a-f:.]*", re.IGNORECASE)
_URL = re.compile(r"[\x21-\x7e]{1,8192}")
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*", re.IGNORECASE)
# What some versions of `ipaddress` take for public, and one address that is answered inside a provider's own network.
_NOT_PUBLIC = tuple(
    map(ipaddress.ip_network, ("192.0.0.0/24", "2001::/23", "2001:db8::/32", "64:ff9b:1::/48", "168.63.129.16/32"))
)
# IPv6 networks that carry an IPv4 address, and how far from the right end it stands.
_CARRIERS = tuple(
    (ipaddress.IPv6Network(network), shift)
    for network, shift in (("::ffff:0:0/96", 0), ("::ffff:0:0:0/96", 0), ("64:ff9b::/96", 0), ("2002::/16", 80))
)


@dataclass(frozen=True)
class FetchRules:
    """What may be fetched. `hosts`: names, or `*.example.org` for all below it; none means any public host."""

    hosts: tuple[str, ...] = ()
    ports: tuple[int, ...] = (80, 443)
    max_bytes: int = 64 * 2**20
    seconds: float = 30.0  # for everything, redirects included


@dataclass
class Fetcher:
    """Fetches by `rules`. `resolve`, `network` and `tls` are what tests replace."""

    rules: FetchRules
    resolve: Resolve = field(default=lambda host, port: _resolve(host, port))
    network: httpcore.AsyncNetworkBackend = field(default_factory=httpcore.AnyIOBackend)
    tls: ssl.SSLContext | None = None

    async def fetch(self, url: str) -> bytes:
        """The bytes behind `url`. Raises `MediaError` for what is not allowed, not there, too large or too slow."""
        try:
            async with asyncio.timeout(self.rules.seconds):
                return await self._follow(url)
        except TimeoutError as error:
            raise MediaError(f"the URL took longer than {self.rules.seconds:g} seconds to fetch") from error
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError) as error:
            # Not the error's own words: what they say of a closed port or a strange answer is nobody's to know.
            raise MediaError("the URL cannot be fetched: its host did not answer as a web server does") from error

    async def _follow(self, url: str) -> bytes:
        for _ in range(_MAX_REDIRECTS + 1):
            parts = self._checked(url)
            pinned = _Pinned(self.network, await self._public_address(parts))
            async with httpcore.AsyncConnectionPool(network_backend=pinned, ssl_context=self.tls, retries=0) as pool:
                request = httpcore.Request("GET", url.partition("#")[0], headers=[*_HEADERS, ("Host", parts.netloc)])
                answer = await pool.handle_async_request(request)
                try:
                    if answer.status not in _REDIRECTS:
                        return await self._read(answer)
                    location = _header(answer, b"location")
                finally:
                    await answer.aclose()
            url = _redirected(url, location)
        raise MediaError(f"the URL redirects more than {_MAX_REDIRECTS} times")

    def _checked(self, url: str) -> SplitResult:
        """The parts of a URL that may be fetched as far as its text goes."""
        try:
            parts = urlsplit(url)
            port, host = parts.port, parts.hostname or ""
        except ValueError as error:
            raise MediaError("the URL cannot be read") from error
        if parts.scheme not in _PORTS or not _URL.fullmatch(url) or "\\" in url:
            raise MediaError("the URL must begin with http:// or https:// and hold no blanks or letters beyond ASCII")
        if "@" in parts.netloc:
            raise MediaError("the URL may not hold a user name or a password")
        if not _HOST.fullmatch(host):
            raise MediaError("the URL names no valid host")
        if (port or _PORTS[parts.scheme]) not in self.rules.ports:
            raise MediaError(f"the URL's port is not allowed; allowed are {', '.join(map(str, self.rules.ports))}")
        if self.rules.hosts and not any(_matches(host, pattern) for pattern in self.rules.hosts):
            raise MediaError(f"nothing may be fetched from the host {host!r}; this server allows only certain hosts")
        # 2130706433, 0x7f.1 and 0177.0.0.1 are addresses to some programs and names to others: to us they are neither.
        if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
            try:
                ipaddress.IPv4Address(host)
            except ValueError as error:
                raise MediaError("the URL's host is a number that is no address in its usual form") from error
        return parts

    async def _public_address(self, parts: SplitResult) -> str:
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        addresses = [ipaddress.ip_address(text) for text in await self._addresses(host, port)]
        if not addresses:
            raise MediaError(f"the host {host!r} is not known")
        if not all(map(is_public, addresses)):
            raise MediaError(f"the host {host!r} is not a public address")
        return str(addresses[0])

    async def _addresses(self, host: str, port: int) -> Iterable[str]:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return await self.resolve(host, port)
        return [host]

    async def _read(self, answer: httpcore.Response) -> bytes:
        if answer.status != 200:
            raise MediaError(f"the URL answers with HTTP status {answer.status}")
        if _header(answer, b"content-encoding") not in ("", "identity"):
            raise MediaError("the URL answers in a compressed form, which was not asked for")
        too_large = MediaError(f"the file behind the URL has more than the {self.rules.max_bytes:,} bytes allowed")
        length = _header(answer, b"content-length")
        if length.isdigit() and int(length[:20]) > self.rules.max_bytes:
            raise too_large
        data = bytearray()
        async for piece in answer.aiter_stream():
            data += piece
            if len(data) > self.rules.max_bytes:
                raise too_large
        file_format(bytes(data[:HEAD_BYTES]))
        return bytes(data)


class _Pinned(httpcore.AsyncNetworkBackend):
    """Connects to one address, whatever name it is asked for; TLS still asks for the name."""

    def __init__(self, network: httpcore.AsyncNetworkBackend, address: str) -> None:
        self._network, self._address = network, address

    async def connect_tcp(self, host: str, port: int, *arguments: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        return await self._network.connect_tcp(self._address, port, *arguments, **options)


def is_public(address: Address) -> bool:
    """Whether an address belongs to a host of the open internet, and so does one that it carries."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None or address.is_site_local:
            return False
        for network, shift in _CARRIERS:
            if address in network:
                return is_public(ipaddress.IPv4Address(int(address) >> shift & 0xFFFFFFFF))
    refused = address.is_multicast or address.is_reserved or address.is_private
    return address.is_global and not refused and not any(address in network for network in _NOT_PUBLIC)


async def _resolve(host: str, port: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise MediaError(f"the host {host!r} is not known") from error
    return [str(address[0]) for *_, address in found]


def _redirected(url: str, location: str) -> str:
    try:
        if _URL.fullmatch(location):
            return urljoin(url, location)
    except ValueError:
        pass
    raise MediaError("the URL redirects to something that is no URL")


def _matches(host: str, pattern: str) -> bool:
    host, pattern = host.lower().rstrip("."), pattern.lower()
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def _header(answer: httpcore.Response, name: bytes) -> str:
    return next((value.decode("latin-1").strip() for key, value in answer.headers if key.lower() == name), "")
