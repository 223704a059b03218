"""Sessions of agents: with what they begin, and what is kept of them."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from qwen3vl import Engine
from qwen3vl.server import Services, create_app
from qwen3vl.server.agent.sessions import AgentSessions
from support.agents import (
    BUY,
    DETAILS,
    PAGE,
    Api,
    Scripted,
    at,
    native,
    post,
    start,
    with_api,
)
from support.server import MODELS, serving, wait_until
from support.sites import Site, site

pytestmark = pytest.mark.usefixtures("no_browser_is_left")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "goal"),
        ({"goal": "x"}, "url"),
        ({"goal": "x", "url": "http://a.org", "html": "x"}, "url"),
        ({"goal": "x", "url": "file:///etc/passwd"}, "url"),
        ({"goal": "x", "url": "http://me:secret@a.org/"}, "url"),
        ({"goal": "x", "url": "https://a.org", "allow_hosts": ["*"]}, "allow_hosts"),
        ({"goal": "x", "html": "x", "allow_hosts": ["http://a.org/"]}, "allow_hosts"),
        ({"goal": "", "html": "x"}, "goal"),
        ({"goal": "x", "html": "x", "width": 100000}, "width"),
        ({"goal": "x", "html": "x", "temperature": 7}, "temperature"),
        ({"goal": "x", "html": "x", "private": True}, "private"),
        ({"goal": "x", "html": "x", "allow_host": []}, "allow_host"),
        ({"goal": "x", "url": "http://127.0.0.1:9/"}, "url"),
        ({"goal": "x", "url": "http://169.254.169.254/latest/meta-data"}, "url"),
        ({"goal": "x", "url": "http://2130706433/"}, "url"),
    ],
)
def test_what_cannot_begin(body: dict[str, Any], param: str) -> None:
    async def work(api: Api, agents: AgentSessions) -> None:
        answer = await api.post("/sessions", json=body)
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert error["param"] == param, error
        assert "JSON object" not in error["message"]
        assert agents.of() == []

    with_api(Scripted(), work)


def test_a_site_of_this_machine_that_the_server_allows() -> None:
    async def work(api: Api, agents: AgentSessions, here: Site) -> None:
        session = await start(api, html=None, url=f"{here.url}/")
        assert session["allow_hosts"] == [here.host]
        await post(api, session, "propose")
        view = await post(api, session, "act")
        assert view["url"].startswith(f"{here.url}/bought")
        assert here.asked[-1][1].startswith("/bought?q=")
        view = await post(api, session, "act", {"step": {"action": "button", "text": "back"}})
        assert view["url"] == f"{here.url}/"

    with site({"/": PAGE, "/bought": "<title>Thanks</title>"}) as here:
        with_api(Scripted(BUY), lambda api, agents: work(api, agents, here), private_hosts=(here.host,))


def test_the_record_as_files() -> None:
    model = Scripted(DETAILS, native("left_click", coordinate=at(100, 320)))

    async def work(api: Api, agents: AgentSessions) -> None:
        session = await start(api, goal="Look *here*\n# not a heading")
        for _ in range(2):
            await post(api, session, "propose")
            view = await post(api, session, "act")
        assert view["url"] == "http://page.invalid/"
        assert view["steps"][1]["notices"] == [
            {"kind": "blocked", "what": "http://evil.test/", "reason": "host_not_allowed"}
        ]
        await post(api, session, "stop")
        url = f"/sessions/{session['id']}"
        answer = await api.get(f"{url}/export?pictures=true")
        assert answer.headers["content-disposition"] == 'attachment; filename="agent.json"'
        record = json.loads(answer.content)
        assert (record["state"], record["goal"]) == ("stopped", "Look *here*\n# not a heading")
        assert [taken["words"] for taken in record["steps"]] == ["click at (200, 50)", "click at (200, 800)"]
        assert record["steps"][0]["step"]["confidence"] == pytest.approx(0.9)
        first = (await api.get(f"{url}/steps/1/screenshot")).content
        import base64

        assert base64.b64decode(record["steps"][0]["screenshot"]) == first
        assert (await api.get(f"{url}/steps/1/overlay")).content != first
        assert (await api.get(f"{url}/steps/3/overlay")).status_code == 404
        text = (await api.get(f"{url}/export?format=markdown&pictures=true")).text
        assert text.startswith("# Look \\*here\\* \\# not a heading\n")
        assert text.count("](data:image/png;base64,") == 2
        assert "- blocked `http://evil.test/` host_not_allowed" in text

    with_api(model, work)


def test_the_shipped_model_is_asked_in_a_whole_server() -> None:
    """It is too small to know a real page; but it looks at one, says something, and that is booked."""
    engine = Engine.load(MODELS / "moe", device="cpu", memory="1GiB")
    body = {"html": PAGE, "goal": "Click the Details button.", "width": 384, "height": 256, "max_tokens": 60}
    with Services.single(engine) as services, serving(create_app(services)) as url, httpx.Client(timeout=60) as api:
        session = api.post(f"{url}/v1/agent/sessions", json=body).json()
        view = api.post(f"{url}/v1/agent/sessions/{session['id']}/propose").json()
        assert view["state"] == "proposed"
        assert view["proposal"]["text"] or view["proposal"]["step"]
        assert view["proposal"]["metrics"]["visual_tokens"] == 96  # 384 x 256 in blocks of 32 x 32
        assert view["proposal"]["usage"]["total_tokens"] > view["proposal"]["usage"]["completion_tokens"] > 0
        wait_until(lambda: bool(services.store.ledger.rows()))
        [row] = services.store.ledger.rows()
        assert (row.task, row.status, row.visual_tokens) == ("gui_agent", "ok", 96)
        schema = api.get(f"{url}/openapi.json").json()
        assert "/v1/agent/sessions/{session_id}/act" in schema["paths"]
