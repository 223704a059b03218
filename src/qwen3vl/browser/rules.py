"""Which hosts a browser may reach. Knows names and addresses, opens no connection but to ask for a name's addresses."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from qwen3vl.errors import InputError
from qwen3vl.media.fetch import is_public

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to addresses as text."""

PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_ENTRY = re.compile(r"(?P<host>(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])(:(?P<port>\d{1,5}))?")
# What a browser takes for another host than Python does, or may: a user's name, a backslash, blanks.
_READ_OTHERWISE = re.compile(r"^[^/?#]*//[^/?#]*@|^[^?#]*\\|[\x00-\x20\x7f]")


class RefusedError(Exception):
    """A request that may not leave, and why."""


@dataclass(frozen=True)
class HostRules:
    """Hosts as `example.org`, `*.example.org` (all below it, not itself) or `example.org:8080`; without a port 80 and
    443 are meant. What their names stand for must be public addresses, but for those of `private`."""

    hosts: tuple[str, ...] = ()
    private: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for entry in (*self.hosts, *self.private):
            match = _ENTRY.fullmatch(entry.lower())
            if match is None or not 0 < int(match["port"] or 80) < 65536:
                raise InputError(f"a host looks like example.org, *.example.org or example.org:8080, got {entry!r}")

    def allows(self, host: str, port: int) -> bool:
        return _listed(host, port, self.hosts)

    def allows_url(self, url: str) -> bool:
        """Whether a page may ask for `url`. What stays inside the browser is nobody's business."""
        try:
            parts = urlsplit(url)
            scheme, host, port = parts.scheme.lower(), parts.hostname or "", parts.port
        except ValueError:
            return False
        if scheme in ("data", "blob") or url in ("about:blank", "about:srcdoc"):
            return True
        if _READ_OTHERWISE.search(url):
            return False
        return scheme in PORTS and self.allows(host, port or PORTS[scheme])

    async def addresses(self, host: str, port: int, resolve: Resolve | None = None) -> list[str]:
        """The addresses to which a connection to `host` may go. Raises `RefusedError`: the host is not on the list, is
        not known, or has an address that is not public."""
        if not self.allows(host, port):
            raise RefusedError("host_not_allowed")
        try:
            found = [str(ipaddress.ip_address(host))]
        except ValueError:
            try:
                found = list(await (resolve or _resolve)(host, port))
            except (OSError, UnicodeError) as error:
                raise RefusedError("host_not_known") from error
        if not found:
            raise RefusedError("host_not_known")
        if not _listed(host, port, self.private) and not all(is_public(ipaddress.ip_address(each)) for each in found):
            raise RefusedError("private_address")
        return found


def host_entry(url: str) -> str:
    """The entry that allows `url` and no more. Raises `InputError` for what is no web address."""
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), parts.hostname or "", parts.port
    except ValueError as error:
        raise InputError(f"{url!r} is no web address") from error
    if scheme not in ("http", "https") or not host:
        raise InputError(f"a web address begins with http:// or https:// and names a host, got {url!r}")
    if _READ_OTHERWISE.search(url):
        raise InputError("a web address may hold no user name, password, backslash or blank")
    host = f"[{host}]" if ":" in host else host
    return host if port in (None, PORTS[scheme]) else f"{host}:{port}"


def _listed(host: str, port: int, entries: Iterable[str]) -> bool:
    host = host.lower().rstrip(".").strip("[]")
    for entry in entries:
        match = _ENTRY.fullmatch(entry.lower())
        if match is None or port not in ((int(match["port"]),) if match["port"] else (80, 443)):
            continue
        name = match["host"].strip("[]")
        if host.endswith(name[1:]) if name.startswith("*.") else host == name:
            return True
    return False


async def _resolve(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
