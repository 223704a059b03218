"""Agents that go on by themselves: when they end, when they ask, and that everything can be stopped."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from qwen3vl.server import errors
from qwen3vl.server.agent.sessions import AgentSessions
from support.agents import (
    BUY,
    DETAILS,
    Api,
    Scripted,
    at,
    at_rest,
    native,
    post,
    start,
    with_api,
)

pytestmark = pytest.mark.usefixtures("no_browser_is_left")


def test_a_run_goes_on_until_it_is_done() -> None:
    model = Scripted(
        DETAILS, native("scroll", pixels=-100), native("wait", time=0.1), native("answer", text="It is 5.")
    )

    async def work(api: Api, agents: AgentSessions) -> None:
        session = await start(api)
        view = await post(api, session, "run", {"steps": 5}, status=202)
        assert view["auto"] == {"steps_left": 5, "min_confidence": 0.7}
        await post(api, session, "propose", status=409)
        view = await at_rest(api, session)
        assert (view["state"], view["result"], view["pause"], view["auto"]) == ("done", "It is 5.", [], None)
        assert [taken["step"]["action"] for taken in view["steps"]] == ["click", "scroll", "wait", "answer"]
        answer = await api.patch(f"/sessions/{session['id']}", json={"goal": "Something else"})
        assert (answer.json()["state"], answer.json()["goal"]) == ("ready", "Something else")

    with_api(model, work)


def test_a_run_pauses() -> None:
    cases: list[tuple[tuple[str, ...], dict[str, Any], set[str]]] = [
        ((BUY,), {}, {"submit", "password", "payment"}),
        ((native("left_click", coordinate=at(100, 320)),), {}, {"other_site"}),
        ((native("wait", time=0),), {"min_confidence": 0.95}, {"unsure"}),
        ((DETAILS, native("wait", time=0)), {"steps": 1}, {"steps"}),
        (("I do not know.",), {}, {"the answer names no step"}),
    ]

    async def work(api: Api, agents: AgentSessions) -> None:
        session, steps = await start(api), 0
        for answers, options, pause in cases:
            await post(api, session, "run", options, status=202)
            view = await at_rest(api, session)
            assert (view["state"], set(view["pause"])) == ("proposed", pause)
            assert len(view["steps"]) == steps + len(answers) - 1  # the last was not taken
            assert view["title"] == ("clicked" if DETAILS in answers or "names" in str(pause) else "Shop")
            view = await post(api, session, "skip")
            steps = len(view["steps"])
        await post(api, session, "run", {}, status=202)
        view = await at_rest(api, session)
        assert "there is no key 'hyper'" in view["pause"][0]
        await post(api, session, "act", status=400)
        await post(api, session, "propose")
        view = await post(api, session, "act")  # a person may say yes to what a run asks about
        assert "/bought?q=" in view["url"]

    script = [answer for answers, _, _ in cases for answer in answers]
    with_api(Scripted(*script, native("key", keys=["hyper"]), BUY), work)


def test_a_run_pauses_when_nothing_changes() -> None:
    nowhere = native("left_click", coordinate=at(450, 380))

    async def work(api: Api, agents: AgentSessions) -> None:
        session = await start(api)
        await post(api, session, "run", {}, status=202)
        view = await at_rest(api, session)
        assert (view["pause"], len(view["steps"])) == (["repeats"], 1)

    with_api(Scripted(nowhere, nowhere, nowhere), work)


def test_stopping_ends_everything() -> None:
    model = Scripted(DETAILS)

    async def work(api: Api, agents: AgentSessions) -> None:
        model.gate = asyncio.Event()  # the model thinks for ever
        session = await start(api)
        waiting = asyncio.create_task(api.post(f"/sessions/{session['id']}/propose"))
        while not model.asked:
            await asyncio.sleep(0.02)
        view = (await api.get(f"/sessions/{session['id']}")).json()
        assert (view["state"], view["busy"]) == ("proposing", True)
        await post(api, session, "propose", status=409)
        assert (await api.patch(f"/sessions/{session['id']}", json={"goal": "x"})).status_code == 409
        view = await post(api, session, "stop")
        assert (view["state"], view["busy"]) == ("stopped", False)
        assert (await waiting).status_code == 409
        for what in ("propose", "act", "run", "look"):
            await post(api, session, what, status=409)
        await post(api, session, "stop")
        lines = [line async for line in (await api.get(f"/sessions/{session['id']}/events")).aiter_lines() if line]
        assert json.loads(lines[0].removeprefix("data: "))["state"] == "stopped"
        assert lines[-1] == "data: [DONE]"
        assert (await api.delete(f"/sessions/{session['id']}")).json()["deleted"] is True
        assert (await api.get(f"/sessions/{session['id']}")).status_code == 404

    with_api(model, work)


def test_limits() -> None:
    async def work(api: Api, agents: AgentSessions) -> None:
        first = await start(api)
        body = {"html": "x", "goal": "y"}
        answer = await api.post("/sessions", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many_agents")
        await post(api, first, "act", {"step": {"action": "wait", "amount": 0}})
        answer = await api.post(f"/sessions/{first['id']}/propose")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "too_many_steps")
        async with asyncio.timeout(30):  # nobody asks anything of it
            while agents.of()[0].state != "stopped":
                await asyncio.sleep(0.1)
        second = await start(api)
        assert [each["id"] for each in (await api.get("/sessions")).json()["data"]] == [second["id"], first["id"]]
        assert agents.of("somebody else") == []
        with pytest.raises(errors.ApiError, match="no agent session"):
            agents.get(second["id"], "somebody else")
        assert agents.get(second["id"], "somebody else", admin=True).id == second["id"]

    with_api(Scripted(), work, max_sessions=1, max_steps=1, idle_seconds=2.0)


def test_halting_and_a_model_that_fails() -> None:
    async def work(api: Api, agents: AgentSessions) -> None:
        session = await start(api)
        await post(api, session, "run", {}, status=202)
        await post(api, session, "halt")
        view = await at_rest(api, session)
        assert (view["state"], view["pause"], len(view["steps"])) == ("ready", ["halted"], 1)
        await post(api, session, "run", {}, status=202)  # there is nothing more in the script
        view = await at_rest(api, session)
        assert (view["state"], view["pause"]) == ("ready", ["internal error; the server's log says more"])
        assert (await api.post(f"/sessions/{session['id']}/propose")).status_code == 500
        assert (await api.get(f"/sessions/{session['id']}")).json()["state"] == "ready"

    with_api(Scripted(DETAILS), work)
