"""Which hosts may be reached: by name, by port, by what the name stands for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from qwen3vl.browser.rules import HostRules, RefusedError, host_entry
from qwen3vl.errors import InputError


@pytest.mark.parametrize(
    ("entry", "host", "port", "allowed"),
    [
        ("example.org", "example.org", 443, True),
        ("example.org", "EXAMPLE.org.", 80, True),
        ("example.org", "example.org", 8080, False),
        ("example.org", "www.example.org", 443, False),
        ("example.org", "notexample.org", 443, False),
        ("example.org", "example.org.evil.test", 443, False),
        ("*.example.org", "a.b.example.org", 443, True),
        ("*.example.org", "example.org", 443, False),
        ("*.example.org", "evilexample.org", 443, False),
        ("example.org:8080", "example.org", 8080, True),
        ("example.org:8080", "example.org", 443, False),
        ("[::1]:8080", "::1", 8080, True),
    ],
)
def test_hosts_and_ports(entry: str, host: str, port: int, allowed: bool) -> None:
    assert HostRules((entry,)).allows(host, port) is allowed


@pytest.mark.parametrize("entry", ["", "*", "https://a.org", "a.org/path", "a b", "*.*.org", "a.org:0", "a.org:70000"])
def test_what_is_no_host(entry: str) -> None:
    with pytest.raises(InputError):
        HostRules((entry,))


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://example.org/a?b#c", True),
        ("ws://example.org/a", True),
        ("https://example.org:444/", False),
        ("https://user@evil.test#@example.org/", False),
        ("https://evil.test\\@example.org/", False),
        ("file:///etc/passwd", False),
        ("chrome://version", False),
        ("view-source:https://example.org/", False),
        ("ftp://example.org/", False),
        ("javascript:alert(1)", False),
        ("http://[::1/", False),
        ("data:text/html,hello", True),
        ("about:blank", True),
        ("about:settings", False),
    ],
)
def test_urls(url: str, allowed: bool) -> None:
    assert HostRules(("example.org",)).allows_url(url) is allowed


def test_the_entry_of_a_url() -> None:
    assert host_entry("https://Example.org/x") == "example.org"
    assert host_entry("http://example.org:8080/x") == "example.org:8080"
    assert host_entry("http://[::1]:3000/") == "[::1]:3000"
    for bad in ("example.org", "ftp://a.org", "https://", "https://me:secret@a.org/", "http://a.org:99999/"):
        with pytest.raises(InputError):
            host_entry(bad)


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("93.184.216.34", None),
        ("2606:2800:220:1::1", None),
        *((address, "private_address") for address in ("127.0.0.1", "10.0.0.8", "169.254.169.254", "100.64.0.1")),
        *((address, "private_address") for address in ("::1", "fd00::1", "fe80::1", "::ffff:127.0.0.1", "0.0.0.0")),
    ],
)
def test_a_name_must_stand_for_a_public_address(address: str, refused: str | None) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["93.184.216.34", address]

    question = HostRules(("example.org",)).addresses("example.org", 443, resolve)
    if refused is None:
        assert asyncio.run(question) == ["93.184.216.34", address]
    else:
        with pytest.raises(RefusedError, match=refused):
            asyncio.run(question)


def test_private_addresses_that_are_named_as_such() -> None:
    rules = HostRules(("127.0.0.1:3000", "127.0.0.1:4000"), private=("127.0.0.1:3000",))
    assert asyncio.run(rules.addresses("127.0.0.1", 3000)) == ["127.0.0.1"]
    with pytest.raises(RefusedError, match="private_address"):
        asyncio.run(rules.addresses("127.0.0.1", 4000))
    with pytest.raises(RefusedError, match="host_not_allowed"):  # being private alone allows nothing
        asyncio.run(HostRules((), private=("127.0.0.1:3000",)).addresses("127.0.0.1", 3000))


def test_a_name_that_nobody_knows() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        raise OSError

    with pytest.raises(RefusedError, match="host_not_known"):
        asyncio.run(HostRules(("example.org",)).addresses("example.org", 443, resolve))
