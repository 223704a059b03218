"""A hostile page in a real Chromium: nothing of it gets anywhere, and what it tried is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from qwen3vl.browser.opening import open_session
from qwen3vl.browser.rules import HostRules
from qwen3vl.browser.session import Notice
from qwen3vl.errors import BrowserError, InputError
from support.sites import Answer, Site, site, trap

SIZE = (640, 480)


def rules(*sites: Site) -> HostRules:
    hosts = tuple(each.host for each in sites)
    return HostRules(hosts, private=hosts)


def test_no_way_out(tmp_path: Path) -> None:
    """Each way to reach another host that a page has. The trap would notice so much as a connection."""

    async def go() -> list[Notice]:
        with trap() as outside, site({"/worker.js": "", "/hop": ""}) as here:
            bad = f"127.0.0.1:{outside.port}"
            here.pages["/worker.js"] = Answer(
                f"fetch('http://{bad}/in-worker').catch(()=>0);", headers={"Content-Type": "text/javascript"}
            )
            here.pages["/hop"] = Answer(status=302, headers={"Location": f"http://{bad}/hopped"})
            here.pages["/hops"] = Answer(status=307, headers={"Location": f"https://{bad}/hopped"})
            here.pages["/"] = Answer(
                f"""<!doctype html><title>start</title>
                <link rel=stylesheet href="http://{bad}/css"><link rel=preconnect href="https://{bad}">
                <link rel=dns-prefetch href="//{bad}"><link rel=prefetch href="http://{bad}/prefetch">
                <link rel=icon href="http://{bad}/icon"><link rel=manifest href="http://{bad}/manifest">
                <img src="http://{bad}/img"><iframe src="http://{bad}/frame"></iframe>
                <video src="http://{bad}/video"></video><object data="http://{bad}/object"></object>
                <iframe src="file:///etc/passwd"></iframe><img src="/hop"><img src="/hops">
                <form id=f action="http://{bad}/form" method=post target=own><input name=a value=b></form>
                <iframe name=own></iframe>
                <script>
                const bad = {json.dumps(bad)};
                fetch(`http://${{bad}}/fetch`).catch(()=>0); fetch(`https://${{bad}}/tls`).catch(()=>0);
                fetch('/hop').catch(()=>0); new EventSource(`http://${{bad}}/events`);
                navigator.sendBeacon(`http://${{bad}}/beacon`, 'x');
                new WebSocket(`ws://${{bad}}/ws`); new WebSocket(`wss://${{bad}}/wss`);
                new Worker('/worker.js'); window.open(`http://${{bad}}/popup`); f.submit();
                try {{ new WebTransport(`https://${{bad}}/transport`) }} catch {{}}
                const peer = new RTCPeerConnection({{iceServers: [{{urls: `turn:${{bad}}?transport=tcp`,
                    username: 'a', credential: 'b'}}]}});
                peer.createDataChannel('x'); peer.createOffer().then(offer => peer.setLocalDescription(offer));
                addEventListener('pagehide', () => navigator.sendBeacon(`http://${{bad}}/last`, 'x'));
                setTimeout(() => location = `http://${{bad}}/location`, 300);
                </script>"""
            )
            async with open_session(url=f"{here.url}/", rules=rules(here), size=SIZE) as session:
                seen = await session.observe()
                await asyncio.sleep(1)
                seen = await session.observe()
                assert (seen.url, seen.title) == (f"{here.url}/", "start")
                assert len(session.page.context.pages) == 1
                notices = session.take_notices()
            assert outside.visits == []
            assert ("GET", "/hop", b"") in here.asked  # the page itself was alive
            return [
                Notice(notice.kind, notice.what.replace(str(outside.port), "BAD"), notice.reason) for notice in notices
            ]

    told = asyncio.run(go())
    tried = {notice.what for notice in told if notice.kind == "blocked"}
    bad = "http://127.0.0.1:BAD"
    ways = ("css", "img", "frame", "video", "object", "fetch", "events", "beacon", "in-worker", "popup", "form")
    assert {f"{bad}/{way}" for way in (*ways, "location", "hopped")} <= tried
    assert "https://127.0.0.1:BAD/tls" in tried
    assert "127.0.0.1:BAD" in tried  # tunnels: WebSockets, and the redirect to https
    assert all(notice.reason == "host_not_allowed" for notice in told if notice.kind == "blocked"), told
    assert not [notice for notice in told if "google" in notice.what]  # the browser's own calls are not the page's


def test_links_to_what_is_no_web_page(loop: asyncio.Runner) -> None:
    urls = ("file:///etc/passwd", "chrome://version", "view-source:http://page.invalid/", "data:text/html,x")
    links = "".join(f'<a href="{url}">{number}</a> ' for number, url in enumerate(urls))
    more = "".join(f'<a target=_blank href="{url}">{number}</a> ' for number, url in enumerate(urls, len(urls)))

    async def go() -> None:
        html = f"""<!doctype html><title>start</title>{links}{more}<script>let wait = 50;
            for (const url of {json.dumps(urls)}) setTimeout(() => location = url, wait += 20)</script>"""
        async with open_session(html=html, rules=HostRules(), size=SIZE) as session:
            for number in range(2 * len(urls)):
                await session.page.click(f"text={number}")
                seen = await session.observe()
                assert (seen.url, seen.title) == ("http://page.invalid/", "start")
            assert len(session.page.context.pages) == 1

    loop.run(go())


def test_a_start_that_is_not_allowed(loop: asyncio.Runner) -> None:
    async def start(url: str, hosts: HostRules) -> None:
        async with open_session(url=url, rules=hosts, size=SIZE):
            raise AssertionError("it was let in")

    with (
        trap() as outside,
        site({"/": Answer(status=302, headers={"Location": f"http://127.0.0.1:{outside.port}/"})}) as here,
    ):
        for url, hosts in (
            ("file:///etc/passwd", rules(here)),
            (f"http://127.0.0.1:{outside.port}/", rules(here)),
            (f"{here.url}/", HostRules((here.host,))),  # allowed by name, but not public
            (f"{here.url}/", rules(here)),  # leads elsewhere
        ):
            with pytest.raises((InputError, BrowserError)):
                loop.run(start(url, hosts))
        assert outside.visits == []


def test_a_name_of_this_machine(loop: asyncio.Runner) -> None:
    """An allowed name that stands for an address that is not public is refused, whatever asks for it."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async def go() -> None:
        with trap() as outside:
            html = f"<script>fetch('http://rebound.test:{outside.port}/').catch(() => document.title = 'no')</script>"
            hosts = HostRules((f"rebound.test:{outside.port}",))
            async with open_session(html=html, rules=hosts, size=SIZE, resolve=resolve) as session:
                await session.observe()
                assert (
                    Notice("blocked", f"http://rebound.test:{outside.port}/", "private_address")
                    in session.take_notices()
                )
            assert outside.visits == []

    loop.run(go())


def test_downloads_dialogs_and_files(loop: asyncio.Runner, tmp_path: Path) -> None:
    page = """<!doctype html><title>start</title><a id=down href="/file">get</a>
        <a id=made download=x.txt href="data:text/plain,x">make</a>
        <button id=ask onclick="document.title = confirm('Sure?')">ask</button><input type=file id=up>"""
    attached = {"Content-Type": "application/octet-stream", "Content-Disposition": "attachment; filename=x.exe"}

    async def go() -> None:
        with site({"/": page, "/file": Answer("MZ", headers=attached)}) as here:
            async with open_session(url=f"{here.url}/", rules=rules(here), size=SIZE) as session:
                for button, notice in (
                    ("#down", Notice("download", f"{here.url}/file")),
                    ("#made", Notice("download", "data:text/plain,x")),
                    ("#up", Notice("file", "the page asked for a file; it got none")),
                    ("#ask", Notice("dialog", "confirm: Sure?")),
                ):
                    await session.page.click(button)
                    seen = await session.observe()
                    assert session.take_notices() == [notice]
                assert seen.title == "false"
                assert await session.page.evaluate("up.files.length") == 0

    loop.run(go())


def test_popups(loop: asyncio.Runner) -> None:
    """Never another window. One that a step opens is followed in this one, if it may be; others are closed."""
    page = """<!doctype html><title>{}</title><a id=a target=_blank href="/two">two</a>
        <a id=b target=_blank href="http://evil.test/">evil</a><script>window.open('/three')</script>"""

    async def go() -> None:
        with site({"/": page.format("one"), "/two": "<title>two</title>", "/three": "<title>three</title>"}) as here:
            async with open_session(url=f"{here.url}/", rules=rules(here), size=SIZE) as session:
                assert (await session.observe()).title == "one"
                assert session.take_notices() == [Notice("popup", f"{here.url}/three", "closed")]
                await session.page.click("#b")
                assert (await session.observe()).title == "one"
                assert "http://evil.test/" in [notice.what for notice in session.take_notices()]
                await session.page.click("#a")
                seen = await session.observe()
                assert (seen.url, seen.title) == (f"{here.url}/two", "two")
                assert session.take_notices() == [Notice("popup", f"{here.url}/two", "opened_here")]
                assert len(session.page.context.pages) == 1

    loop.run(go())


def test_back_from_a_redirect_that_was_refused(loop: asyncio.Runner) -> None:
    hop = Answer(status=302, headers={"Location": "https://evil.test/"})
    plain = Answer(status=302, headers={"Location": "http://evil.test/"})

    async def go() -> None:
        with site(
            {"/": "<title>one</title><a href=/hop>x</a><a href=/plain>y</a>", "/hop": hop, "/plain": plain}
        ) as here:
            async with open_session(url=f"{here.url}/", rules=rules(here), size=SIZE) as session:
                for text, blocked in (("x", "evil.test:443"), ("y", "http://evil.test/")):
                    await session.page.click(f"text={text}")
                    seen = await session.observe()
                    assert (seen.url, seen.title) == (f"{here.url}/", "one")
                    first, second = session.take_notices()
                    assert first == Notice("blocked", blocked, "host_not_allowed")
                    assert second.kind == "error"

    loop.run(go())
