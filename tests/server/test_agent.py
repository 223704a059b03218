"""Agents on real pages in Chromium, with a model that says what the test wrote, in both forms."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from PIL import Image

from qwen3vl import Engine
from qwen3vl.browser.session import Element
from qwen3vl.engine.outputs import Choice, Result, TokenLogprob, Usage
from qwen3vl.server import Services, create_app, errors
from qwen3vl.server.agent.caution import cautions
from qwen3vl.server.agent.routes import agent_router
from qwen3vl.server.agent.sessions import AgentLimits, AgentSessions
from qwen3vl.tasks.results import PointMark, Step
from support.server import MODELS, serving, wait_until
from support.sites import Site, site

PAGE = """<!doctype html><meta charset=utf-8><title>Shop</title><style>*{margin:0;font:16px sans-serif}
button,input,a{position:absolute;width:200px;height:40px}</style>
<button style="left:0;top:0" onclick="document.title='clicked'">Details</button>
<form action="/bought"><input name=q style="left:0;top:100px"><input type=password name=p style="left:300px;top:100px">
<button style="left:0;top:200px">Buy now</button></form>
<a href="http://evil.test/" style="left:0;top:300px">Elsewhere</a>
<button style="left:0;top:350px" onclick="this.remove()">Vanish</button>"""
SIZE = (500, 400)


def call(action: str, **arguments: Any) -> str:
    return json.dumps({"name": "computer_use", "arguments": {"action": action, **arguments}})


def native(action: str, **arguments: Any) -> str:
    return f'Thought: because.\nAction: "{action}"\n<tool_call>\n{call(action, **arguments)}\n</tool_call>'


def at(x: float, y: float) -> list[int]:
    """Pixels to the models' thousandths."""
    return [round(x * 1000 / SIZE[0]), round(y * 1000 / SIZE[1])]


DETAILS = native("left_click", coordinate=at(100, 20))
BUY = native("left_click", coordinate=at(100, 220))
DONE = native("terminate", status="success")


class Scripted:
    """A model that says what is written, with one probability for all its tokens, and remembers what it was asked."""

    thinks = False

    def __init__(self, *answers: str, probability: float = 0.9) -> None:
        self.answers, self.probability = list(answers), probability
        self.asked: list[tuple[Sequence[Mapping[str, Any]], dict[str, Any]]] = []
        self.gate: asyncio.Event | None = None

    async def agenerate(self, messages: Sequence[Mapping[str, Any]], **options: Any) -> Result:
        import math

        self.asked.append((messages, options))
        if self.gate is not None:
            await self.gate.wait()
        text = self.answers.pop(0)
        tokens = [TokenLogprob(0, character, math.log(self.probability)) for character in text]
        usage = Usage(10, len(text), 0, 4, 1, 0.0, 0.1, 0.2)
        return Result([Choice(0, text, [0] * len(text), "stop", tokens)], usage)

    @asynccontextmanager
    async def use(self, name: str | None = None) -> AsyncIterator[Scripted]:
        yield self

    def said(self, number: int) -> str:
        """The words of a question's last message."""
        return str(self.asked[number][0][-1]["content"][-1]["text"])


Api = httpx.AsyncClient


def with_api(model: Scripted, work: Callable[[Api, AgentSessions], Awaitable[None]], **limits: Any) -> None:
    async def go() -> None:
        agents = AgentSessions(model.use, AgentLimits(**limits))
        app = FastAPI()
        errors.install(app)
        app.include_router(agent_router(agents))
        try:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test/v1/agent", timeout=60) as api:
                await work(api, agents)
        finally:
            await agents.close()

    asyncio.run(go())


async def start(api: Api, **body: Any) -> dict[str, Any]:
    asked = {"html": PAGE, "goal": "Show the details.", "width": SIZE[0], "height": SIZE[1], **body}
    answer = await api.post("/sessions", json=asked)
    assert answer.status_code == 201, answer.text
    view: dict[str, Any] = answer.json()
    return view


async def post(api: Api, session: dict[str, Any], what: str, body: Any = None, status: int = 200) -> dict[str, Any]:
    answer = await api.post(f"/sessions/{session['id']}/{what}", json=body if body is not None else {})
    assert answer.status_code == status, answer.text
    view: dict[str, Any] = answer.json()
    return view


async def at_rest(api: Api, session: dict[str, Any]) -> dict[str, Any]:
    """The session once its run has ended, by its own events."""
    async with asyncio.timeout(60):
        while (view := (await api.get(f"/sessions/{session['id']}")).json())["busy"]:
            await asyncio.sleep(0.05)
    result: dict[str, Any] = view
    return result


def picture(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data)).convert("RGB")
    assert image.size == SIZE
    return image


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
        view = await post(api, session, "act")
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
        await post(api, session, "skip", status=409)
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


def test_stopping_ends_everything() -> None:
    model = Scripted(DETAILS)

    async def work(api: Api, agents: AgentSessions) -> None:
        model.gate = asyncio.Event()  # the model thinks for ever
        session = await start(api)
        waiting = asyncio.create_task(api.post(f"/sessions/{session['id']}/propose"))
        await asyncio.sleep(1.5)
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


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"goal": "x"},
        {"goal": "x", "url": "http://a.org", "html": "x"},
        {"goal": "x", "url": "file:///etc/passwd"},
        {"goal": "x", "url": "http://me:secret@a.org/"},
        {"goal": "x", "url": "https://a.org", "allow_hosts": ["*"]},
        {"goal": "x", "html": "x", "allow_hosts": ["http://a.org/"]},
        {"goal": "", "html": "x"},
        {"goal": "x", "html": "x", "width": 100000},
        {"goal": "x", "html": "x", "temperature": 7},
        {"goal": "x", "html": "x", "private": True},
        {"goal": "x", "url": "http://127.0.0.1:9/"},
        {"goal": "x", "url": "http://169.254.169.254/latest/meta-data"},
        {"goal": "x", "url": "http://2130706433/"},
    ],
)
def test_what_cannot_begin(body: dict[str, Any]) -> None:
    async def work(api: Api, agents: AgentSessions) -> None:
        answer = await api.post("/sessions", json=body)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"]
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


def step(action: str, text: str = "", label: str = "") -> Step:
    target = PointMark(label=label, pixels=(1, 1), relative=(1, 1)) if action == "click" else None
    return Step(action=action, target=target, text=text)


def thing(text: str = "", *traits: str, href: str = "", tag: str = "button") -> Element:
    return Element(tag, "", text, href, frozenset(traits))


@pytest.mark.parametrize(
    ("given", "element", "expected"),
    [
        (step("click"), thing("Details"), []),
        (step("click"), None, []),
        (step("click"), thing("Pay now"), ["payment"]),
        (step("click"), thing("立即支付"), ["payment"]),
        (step("click", label="Delete"), thing("x"), ["consequence"]),
        (step("click"), thing("删除账号"), ["consequence"]),
        (step("click"), thing("Postcards"), []),
        (step("click"), thing("Go", "sends"), ["submit"]),
        (step("click"), thing("Go", "sends", "form_password"), ["password", "submit"]),
        (step("click"), thing("user", "enter_sends", "form_password"), []),
        (step("type", "me"), thing("user", "enter_sends", "form_password"), []),
        (step("type", "me\n"), thing("user", "enter_sends", "form_password"), ["password", "submit"]),
        (step("key", "enter"), thing("q", "enter_sends"), ["submit"]),
        (step("key", "ctrl+a"), thing("q", "enter_sends"), []),
        (step("type", "x"), thing("", "password"), ["password"]),
        (step("type", "4111"), thing("card", "payment"), ["payment"]),
        (step("click"), thing("", "file"), ["file"]),
        (step("click"), thing("", "frame"), ["frame"]),
        (step("scroll"), thing("", "frame"), []),
        (step("click"), thing("a", href="https://evil.test/"), ["other_site"]),
        (step("click"), thing("a", href="https://a.org/x"), []),
    ],
)
def test_caution(given: Step, element: Element | None, expected: list[str]) -> None:
    from qwen3vl.browser.rules import HostRules

    assert cautions(given, element, HostRules(("a.org",))) == expected


def test_the_shipped_model_is_asked_in_a_whole_server() -> None:
    """It is too small to know a real page; but it looks at one, says something, and that is booked."""
    engine = Engine.load(MODELS / "moe", device="cpu", memory="1GiB")
    body = {"html": PAGE, "goal": "Click the Details button.", "width": 384, "height": 256, "max_tokens": 60}
    with Services.single(engine) as services, serving(create_app(services)) as url, httpx.Client(timeout=60) as api:
        session = api.post(f"{url}/v1/agent/sessions", json=body).json()
        view = api.post(f"{url}/v1/agent/sessions/{session['id']}/propose").json()
        assert view["state"] == "proposed"
        assert view["proposal"]["text"] or view["proposal"]["step"]
        assert view["proposal"]["usage"]["metrics"]["visual_tokens"] == 96  # 384 x 256 in blocks of 32 x 32
        wait_until(lambda: bool(services.store.ledger.rows()))
        [row] = services.store.ledger.rows()
        assert (row.task, row.status, row.visual_tokens) == ("gui_agent", "ok", 96)
        schema = api.get(f"{url}/openapi.json").json()
        assert "/v1/agent/sessions/{session_id}/act" in schema["paths"]


@pytest.fixture(scope="module", autouse=True)
def _no_browser_is_left() -> Iterator[None]:
    import psutil

    yield
    left = [child for child in psutil.Process().children(recursive=True) if "chrom" in child.name()]
    _, alive = psutil.wait_procs(left, timeout=5)
    assert [child for child in alive if child.status() != psutil.STATUS_ZOMBIE] == []
