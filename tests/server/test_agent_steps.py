"""Steps of an agent on a real page: proposed, looked at, taken, changed and refused, in both forms."""

from __future__ import annotations

import json

import pytest

from qwen3vl.server.agent.sessions import AgentSessions
from support.agents import (
    DETAILS,
    DONE,
    Api,
    Scripted,
    at,
    native,
    picture,
    post,
    start,
    with_api,
)

pytestmark = pytest.mark.usefixtures("no_browser_is_left")


def test_propose_look_and_confirm() -> None:
    model = Scripted(DETAILS, DONE)

    async def work(api: Api, agents: AgentSessions) -> None:
        session = await start(api)
        assert (session["state"], session["title"], session["url"]) == ("ready", "Shop", "http://page.invalid/")
        view = await post(api, session, "propose")
        proposal = view["proposal"]
        assert (view["state"], view["title"]) == ("proposed", "Shop")  # nothing is done yet
        assert proposal["step"]["action"] == "click"
        assert proposal["step"]["target"]["pixels"] == [100, 20]
        assert proposal["step"]["confidence"] == pytest.approx(0.9)
        assert proposal["step"]["reason"] == "because."
        assert proposal["element"]["text"] == "Details"
        assert (proposal["cautions"], proposal["problem"]) == ([], "")
        before = picture((await api.get(f"/sessions/{session['id']}/screenshot")).content)
        answer = await api.get(f"/sessions/{session['id']}/overlay")
        assert answer.headers["content-type"] == "image/png"
        overlay = picture(answer.content)
        assert before.getpixel((100, 37)) != overlay.getpixel((100, 37))  # the crosshair
        assert before.getpixel((111, 31)) != overlay.getpixel((111, 31))  # the ring
        assert before.getpixel((480, 380)) == overlay.getpixel((480, 380))
        without_body = await api.post(f"/sessions/{session['id']}/act")
        assert without_body.status_code == 200, without_body.text
        view = without_body.json()
        assert (view["state"], view["title"], view["proposal"]) == ("ready", "clicked", None)
        [taken] = view["steps"]
        assert (taken["by"], taken["outcome"], taken["title"]) == ("model", "done", "Shop")
        view = await post(api, session, "propose")
        assert "1. click at (200, 50)" in model.said(1)
        view = await post(api, session, "act")
        assert (view["state"], view["result"]) == ("done", "success")

    with_api(model, work)
    [part, words] = model.asked[0][0][-1]["content"]
    assert picture(part["image"])
    assert words["text"] == "Show the details."
    assert model.asked[0][1]["logprobs"] == 0
    assert "computer_use" in model.asked[0][0][0]["content"]


def test_the_plain_form_edits_and_skips() -> None:
    box = [*at(0, 100), *at(200, 140)]
    plain = {"action": "type", "text": "你好", "element": {"text": "Search", "bbox": box}, "reasoning": "to find"}
    model = Scripted(json.dumps(plain), json.dumps(plain), DETAILS)

    async def work(api: Api, agents: AgentSessions) -> None:
        session = await start(api, form="json", language="zh")
        view = await post(api, session, "propose")
        assert view["proposal"]["words"] == 'type "Search" at (200, 300) "你好"'
        view = await post(api, session, "skip", {"note": "not that"})
        assert (view["state"], view["steps"][0]["outcome"]) == ("ready", "skipped")
        assert (await api.post(f"/sessions/{session['id']}/skip")).status_code == 409  # not for lack of a body
        await post(api, session, "act", status=409)
        view = await post(api, session, "propose")
        assert "not that" in model.said(1)
        own = {"step": {"action": "type", "target": [100, 120], "label": "Search", "text": "别的"}}
        view = await post(api, session, "act", own)
        assert (view["steps"][1]["by"], view["steps"][1]["step"]["text"]) == ("person", "别的")
        page = agents.get(session["id"])._open_browser().page
        assert await page.input_value("[name=q]") == "别的"
        for wrong in (
            {"action": "click"},
            {"action": "click", "target": [4000, 20]},
            {"action": "key", "text": "hyper"},
            {"action": "scroll"},
            {"action": "fly", "target": [1, 1]},
            {"action": "drag", "target": [1, 1]},
            {"action": "button", "text": "self-destruct"},
        ):
            await post(api, session, "act", {"step": wrong}, status=400)
        view = await post(api, session, "act", {"step": {"action": "key", "text": "ctrl+a"}})
        assert (view["state"], len(view["steps"])) == ("ready", 3)

    with_api(model, work)
    assert "JSON" in model.asked[0][0][0]["content"]


def test_what_was_confirmed_must_still_be_there() -> None:
    async def work(api: Api, agents: AgentSessions) -> None:
        session = await start(api)
        await post(api, session, "propose")
        page = agents.get(session["id"])._open_browser().page
        await page.evaluate("document.querySelector('button').textContent = 'Delete everything'")
        view = await post(api, session, "act")
        assert (view["state"], view["steps"][0]["outcome"], view["title"]) == ("ready", "changed", "Shop")

    with_api(Scripted(DETAILS), work)


def test_a_password_is_in_no_record() -> None:
    focus = native("left_click", coordinate=at(400, 120))
    model = Scripted(focus, native("type", text="hunter2"), DONE)

    async def work(api: Api, agents: AgentSessions) -> None:
        session = await start(api, goal="Log in.")
        await post(api, session, "propose")
        view = await post(api, session, "act")
        view = await post(api, session, "propose")
        assert view["proposal"]["cautions"] == ["password"]
        view = await post(api, session, "act")
        page = agents.get(session["id"])._open_browser().page
        assert await page.input_value("[name=p]") == "hunter2"
        await post(api, session, "act", {"step": {"action": "type", "text": "letmein"}})
        await post(api, session, "propose")
        assert "hunter2" not in model.said(2)
        assert "letmein" not in model.said(2)
        for query in ("format=json&pictures=true", "format=markdown"):
            export = (await api.get(f"/sessions/{session['id']}/export?{query}")).text
            assert "hunter2" not in export
            assert "letmein" not in export
            assert "••••" in export

    with_api(model, work)
