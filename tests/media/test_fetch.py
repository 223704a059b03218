"""Fetching by URL: which addresses a request may be sent to, and what of an answer is taken.

Names are resolved by a table. Connections go through a network that notes where they were to go, and leads them to a
real HTTP server of the test instead; whatever it does not note was never tried.
"""

from __future__ import annotations

import asyncio
import ipaddress
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpcore
import pytest

from qwen3vl.errors import MediaError
from qwen3vl.media.fetch import Fetcher, FetchRules, is_public
from support.media_files import encode, noise

PICTURE = encode(noise(8, 8), "PNG")
PUBLIC, OTHER, PUBLIC_6 = "93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
NAMES = {
    "a.org": [PUBLIC],
    "b.org": [OTHER],
    "six.org": [PUBLIC_6],
    "inside.org": ["10.0.0.7"],
    "half.org": [PUBLIC, "192.168.1.1"],
    "metadata.google.internal": ["169.254.169.254"],
    "localhost": ["127.0.0.1"],
    "azure.org": ["168.63.129.16"],
    "nowhere.org": [],
}

Handle = Callable[[BaseHTTPRequestHandler], None]


class Net(httpcore.AsyncNetworkBackend):
    """Notes each connection, then leads it to the test's own server."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connected: list[tuple[str, int]] = []
        self._real = httpcore.AnyIOBackend()

    async def connect_tcp(self, host: str, port: int, *arguments: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        self.connected.append((host, port))
        return await self._real.connect_tcp("127.0.0.1", self.port, *arguments, **options)


class Web:
    def __init__(self, port: int) -> None:
        self.net, self.resolved = Net(port), list[str]()
        self.requests: list[tuple[str, str]] = []  # Host and path, as they arrived

    def fetch(self, url: str, **rules: Any) -> bytes:
        async def resolve(host: str, port: int) -> list[str]:
            self.resolved.append(host)
            return NAMES[host.lower()]

        return asyncio.run(Fetcher(FetchRules(**rules), resolve=resolve, network=self.net).fetch(url))


@contextmanager
def web(handle: Handle) -> Iterator[Web]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            here.requests.append((self.headers["Host"], self.path))
            handle(self)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        here = Web(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield here
        finally:
            server.shutdown()
            thread.join()


def send(handler: BaseHTTPRequestHandler, data: bytes = PICTURE, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content_Length": str(len(data)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(data)


def to(*steps: str) -> Handle:
    """A chain of redirects; after the last step, the picture."""

    def handle(handler: BaseHTTPRequestHandler) -> None:
        done = int(handler.path.strip("/") or 0)
        if done < len(steps):
            send(handler, b"a secret of the inside", 302, Location=steps[done].format(next=done + 1))
        else:
            send(handler)

    return handle


def test_a_picture_comes_from_the_address_that_was_resolved() -> None:
    with web(send) as here:
        assert here.fetch("http://a.org/picture.png?x=1#part") == PICTURE
        assert here.net.connected == [(PUBLIC, 80)]
        assert here.requests == [("a.org", "/picture.png?x=1")]
        assert here.resolved == ["a.org"]  # once: a second answer of the name service cannot lead elsewhere
        assert here.fetch(f"http://{OTHER}:80/") == PICTURE
        assert here.fetch("http://six.org/") == PICTURE
        assert here.fetch(f"http://[{PUBLIC_6}]/") == PICTURE
        assert [host for host, _ in here.net.connected[1:]] == [OTHER, PUBLIC_6, PUBLIC_6]


REFUSED = [
    "http://localhost/",
    "http://127.0.0.1/",
    "http://127.1/",
    "http://127.0.0.1:80/",
    "http://127.255.255.254/",
    "http://0.0.0.0/",
    "http://0/",
    "http://2130706433/",
    "http://134744072/",  # 8.8.8.8 as one number: public, but no form that anybody writes
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0177.0.0.1/",
    "http://127.0.0.1./",
    "http://10.1.2.3/",
    "http://172.16.0.1/",
    "http://192.168.0.1/",
    "http://100.64.0.1/",
    "http://100.100.100.200/",
    "http://169.254.169.254/latest/meta-data/",
    "http://metadata.google.internal/",
    "http://192.0.0.192/",
    "http://192.0.2.1/",
    "http://198.18.0.1/",
    "http://224.0.0.1/",
    "http://239.255.255.250/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://168.63.129.16/",
    "http://azure.org/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[::127.0.0.1]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://[2001:db8::1]/",
    "http://[2001::1]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:a9fe:a9fe::]/",
    "http://[64:ff9b::127.0.0.1]/",
    "http://[64:ff9b::10.0.0.1]/",
    "http://[64:ff9b:1::7f00:1]/",
    "http://inside.org/",
    "http://half.org/",
    "http://nowhere.org/",
    "http://a.org:22/",
    "http://a.org:8080/",
    "http://a.org:99999/",
    "http://user@a.org/",
    "http://user:word@a.org/",
    "http://a.org@127.0.0.1/",
    "http://a.org\\@127.0.0.1/",
    "http://a.org\\.inside.org/",
    "http://a.org%00.inside.org/",
    "http://a.org /",
    "http://a.org\t/",
    "http://a.org/\r\nHost: inside.org",
    "http:///path",
    "http://",
    "http://[::1",
    "http://аррӏе.org/",  # letters that only look like others
    "http://１２７.0.0.1/",
    "ftp://a.org/",
    "file:///etc/passwd",
    "gopher://a.org/",
    "//a.org/",
    "a.org",
    "",
    "http://a.org/" + "x" * 9000,
]


@pytest.mark.parametrize("url", REFUSED)
def test_what_is_not_public_is_not_asked(url: str) -> None:
    with web(send) as here:
        with pytest.raises(MediaError) as caught:
            here.fetch(url)
        assert here.net.connected == []
        known = {address for addresses in NAMES.values() for address in addresses if address not in url}
        assert not any(address in str(caught.value) for address in known)  # what a name stands for is not told


SAME_HOST = ("http:///path", "http://", "http://a.org/\r\nHost: inside.org")  # no place of their own, once joined


@pytest.mark.parametrize("url", [url for url in REFUSED if url[:7] == "http://" and url not in SAME_HOST])
def test_a_redirect_is_checked_like_a_first_url(url: str) -> None:
    with web(to(url)) as here:
        with pytest.raises(MediaError) as caught:
            here.fetch("http://a.org/0")
        assert here.net.connected == [(PUBLIC, 80)]
        assert "secret" not in str(caught.value)


def test_redirects_are_followed_three_times() -> None:
    with web(to("http://b.org/{next}", "/{next}", "http://a.org/{next}")) as here:
        assert here.fetch("http://a.org/0") == PICTURE
        assert here.net.connected == [(PUBLIC, 80), (OTHER, 80), (OTHER, 80), (PUBLIC, 80)]
        assert [host for host, _ in here.requests] == ["a.org", "b.org", "b.org", "a.org"]
    with web(to(*["/{next}"] * 4)) as here, pytest.raises(MediaError, match="more than 3 times"):
        here.fetch("http://a.org/0")
    with web(lambda handler: send(handler, status=302)) as here, pytest.raises(MediaError, match="no URL"):
        here.fetch("http://a.org/")


def test_a_name_that_changes_its_mind_does_not_get_a_second_look() -> None:
    """DNS rebinding: public when it is checked, inside when it is connected to."""
    answers = [[PUBLIC], ["127.0.0.1"], ["127.0.0.1"]]

    async def resolve(host: str, port: int) -> list[str]:
        return answers.pop(0)

    with web(to("http://a.org/{next}")) as here:
        fetcher = Fetcher(FetchRules(), resolve=resolve, network=here.net)
        with pytest.raises(MediaError, match="not a public address"):  # for the redirect it is looked at anew
            asyncio.run(fetcher.fetch("http://a.org/0"))
        assert here.net.connected == [(PUBLIC, 80)]


def test_only_hosts_that_are_listed() -> None:
    with web(send) as here:
        assert here.fetch("http://a.org/", hosts=("A.org",)) == PICTURE
        assert here.fetch("http://A.ORG/", hosts=("*.net", "a.org")) == PICTURE
        for hosts in (("b.org",), ("*.a.org",), ("*.rg",)):
            with pytest.raises(MediaError, match="only certain hosts"):
                here.fetch("http://a.org/", hosts=hosts)
    with web(to("http://b.org/1")) as here, pytest.raises(MediaError, match="only certain hosts"):
        here.fetch("http://a.org/0", hosts=("a.org",))


def test_bytes_are_capped_told_or_not() -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        sent = 0
        try:
            while sent < 50_000_000:
                handler.wfile.write(b"10000\r\n" + b"\x89" * 0x10000 + b"\r\n")
                sent += 0x10000
        except OSError:
            pass
        reached.append(sent)

    reached: list[int] = []
    with web(endless) as here, pytest.raises(MediaError, match="more than the 1,000,000 bytes"):
        here.fetch("http://a.org/", max_bytes=1_000_000)
    assert reached[0] < 50_000_000
    long = web(lambda handler: send(handler, Content_Length="99999999999"))
    with long as here, pytest.raises(MediaError, match="more than"):
        here.fetch("http://a.org/", max_bytes=1_000_000)


def test_seconds_are_capped_for_everything_together() -> None:
    def slow(handler: BaseHTTPRequestHandler) -> None:
        """Never silent for long, so that no timeout of one read would end it."""
        try:
            for _ in range(100):
                handler.wfile.write(b"H")
                handler.wfile.flush()
                time.sleep(0.05)
        except OSError:
            pass

    started = time.monotonic()
    with web(slow) as here, pytest.raises(MediaError, match=r"longer than 0\.3 seconds"):
        here.fetch("http://a.org/", seconds=0.3)
    assert time.monotonic() - started < 7


@pytest.mark.parametrize(
    ("handle", "words"),
    [
        (lambda handler: send(handler, b"a secret", 404), "HTTP status 404"),
        (lambda handler: send(handler, b"a secret", 500), "HTTP status 500"),
        (lambda handler: send(handler, b"<html>a secret</html>", Content_Type="image/png"), "no known format"),
        (lambda handler: send(handler, b""), "empty"),
        (lambda handler: send(handler, Content_Encoding="gzip"), "compressed"),
        (lambda handler: handler.wfile.write(b"SSH-2.0-secret\r\n\r\n"), "does not answer|did not answer"),
        (lambda handler: send(handler, Content_Length="5000"), "did not answer"),
    ],
    ids=range(7),
)
def test_what_is_no_picture_is_refused_without_its_words(handle: Handle, words: str) -> None:
    def handle_and_close(handler: BaseHTTPRequestHandler) -> None:
        handle(handler)
        handler.close_connection = True

    with web(handle_and_close) as here:
        with pytest.raises(MediaError, match=words) as caught:
            here.fetch("http://a.org/", seconds=3)
        assert "secret" not in str(caught.value)


def test_tls_asks_for_the_name_and_refuses_a_server_that_has_another() -> None:
    """The connection goes to the address, the handshake to the name; a server that speaks no TLS is no server."""

    class Stream(httpcore.AsyncMockStream):
        async def start_tls(self, ssl_context: Any, server_hostname: Any = None, timeout: Any = None) -> Any:
            asked.append((server_hostname, ssl_context.verify_mode, ssl_context.check_hostname))
            return self

    class Mock(httpcore.AsyncMockBackend):
        async def connect_tcp(self, host: str, port: int, *arguments: Any, **options: Any) -> Any:
            connected.append((host, port))
            return Stream([b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PICTURE), PICTURE])

    asked: list[Any] = []
    connected: list[Any] = []

    async def resolve(host: str, port: int) -> list[str]:
        return NAMES[host]

    fetcher = Fetcher(FetchRules(), resolve=resolve, network=Mock([]))
    assert asyncio.run(fetcher.fetch("https://a.org/")) == PICTURE
    assert connected == [(PUBLIC, 443)]
    assert asked == [("a.org", 2, True)]  # certificates are demanded, and held against the name
    with web(send) as here, pytest.raises(MediaError, match="did not answer"):
        here.fetch("https://a.org/", seconds=3)


def test_a_real_name_service_that_knows_nothing() -> None:
    with pytest.raises(MediaError, match=r"not known|not a public address"):
        asyncio.run(Fetcher(FetchRules(seconds=5)).fetch("http://no-such-name.invalid/"))
    with pytest.raises(MediaError, match="not a public address"):
        asyncio.run(Fetcher(FetchRules(seconds=5)).fetch("http://localhost/"))


@pytest.mark.parametrize(
    "address", [PUBLIC, OTHER, PUBLIC_6, "1.1.1.1", "64:ff9b::808:808", "2002:808:808::", "::ffff:8.8.8.8"]
)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))
