"""GUI agents on the page: begun, watched and answered step by step in a real Chromium, on real pages in another."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from qwen3vl.engine.outputs import Delta, TokenLogprob
from support.browser import Watched
from support.pages import Site, no_sideways, open_page, shoot
from support.scripted import USAGE, Script

WIDTH, HEIGHT = 640, 400
SHOP = """<!doctype html><meta charset=utf-8><title>Shop</title><style>*{margin:0;font:16px sans-serif}
button,input,a{position:absolute;width:200px;height:40px}</style>
<button style="left:0;top:0" onclick="document.title='Shop, opened'">Details</button>
<form action="/bought"><input name=q style="left:0;top:100px"><input type=password name=p style="left:300px;top:100px">
<button style="left:0;top:200px">Buy now</button></form><img src="http://outside.test/pixel.png">"""


def call(action: str, **arguments: Any) -> str:
    tool = json.dumps({"name": "computer_use", "arguments": {"action": action, **arguments}})
    return f'Thought: It seems to be the way to the goal.\nAction: "go on"\n<tool_call>\n{tool}\n</tool_call>'


def at(x: float, y: float) -> list[int]:
    """Pixels of the window to the models' thousandths."""
    return [round(x * 1000 / WIDTH), round(y * 1000 / HEIGHT)]


DETAILS = call("left_click", coordinate=at(100, 20))
BUY = call("left_click", coordinate=at(100, 220))
DONE = call("terminate", status="success")


class Agent(Script):
    """Says one answer after the other, all as sure as `probability`."""

    def __init__(self, *answers: str, probability: float = 0.93, seconds: float = 0.0) -> None:
        super().__init__([], seconds=seconds)
        self.answers, self.probability = list(answers), probability

    def astream(self, messages: Any, **options: Any) -> Any:
        self.pieces = [self.answers.pop(0)]
        return _Sure(super().astream(messages, **options), self.probability)


class _Sure:
    def __init__(self, stream: Any, probability: float) -> None:
        self._stream, self._logprob = stream, math.log(probability)

    def __aiter__(self) -> _Sure:
        return self

    async def __anext__(self) -> Delta:
        delta = await anext(self._stream)
        tokens = [TokenLogprob(0, letter, self._logprob) for letter in delta.text]
        return Delta(delta.text, [0] * len(tokens), logprobs=tokens, finish_reason=delta.finish_reason, usage=USAGE)

    async def aclose(self) -> None:
        await self._stream.aclose()


@pytest.fixture
def agents(site: Site) -> Iterator[Site]:
    yield site
    with httpx.Client(base_url=f"{site.url}/v1/agent") as api:
        for session in api.get("/sessions").json()["data"]:
            api.delete(f"/sessions/{session['id']}")


def plays(site: Site, *answers: str, **options: Any) -> Agent:
    agent = Agent(*answers, **options)
    site.engine.astream = agent.astream  # type: ignore[method-assign]
    return agent


def fill_in(page: Page, goal: str, html: str = SHOP) -> None:
    page.get_by_label("Goal", exact=True).fill(goal)
    page.get_by_text("HTML", exact=True).click()
    page.get_by_label("HTML", exact=True).last.fill(html)
    page.get_by_label("Width in pixels").fill(str(WIDTH))
    page.get_by_label("Height in pixels").fill(str(HEIGHT))


def begin(page: Page, site: Site, goal: str = "Show the details.") -> None:
    open_page(page, f"{site.url}/#agent")
    fill_in(page, goal)
    page.get_by_role("button", name="Open the page").click()
    expect(page.locator(".proposal .what")).to_be_visible(timeout=20_000)


def test_step_by_step_to_the_end(page: Page, agents: Site) -> None:
    agent = plays(agents, DETAILS, call("type", text="blue socks"), DONE)
    begin(page, agents)
    card = page.locator(".proposal")
    expect(card.locator(".what")).to_have_text("Click on “Details”")
    expect(card.locator(".sure b")).to_have_text("93 %")
    expect(card.locator(".reason")).to_have_text("It seems to be the way to the goal.")
    expect(card.locator(".touches")).to_contain_text("Details")
    cross = page.locator(".aim.cross").bounding_box()
    seen = page.locator(".screen .canvas img").bounding_box()
    assert cross is not None
    assert seen is not None
    middle = (cross["x"] + cross["width"] / 2 - seen["x"], cross["y"] + cross["height"] / 2 - seen["y"])
    assert middle == pytest.approx((seen["width"] * 100 / WIDTH, seen["height"] * 20 / HEIGHT), abs=1.5)
    assert page.evaluate("document.querySelector('.screen img').naturalWidth") == WIDTH
    expect(page.locator(".blocked")).to_contain_text("outside.test/pixel.png")
    expect(page.locator(".blocked")).to_contain_text("host not allowed")

    page.get_by_role("button", name="Do it").click()
    expect(page.locator(".where b")).to_have_text("Shop, opened")
    expect(card.locator(".what")).to_contain_text("blue socks")
    expect(page.locator(".aim.words")).to_contain_text("blue socks")
    page.get_by_role("button", name="Skip", exact=True).click()
    page.get_by_label("Why not?").fill("not now")
    page.keyboard.press("Enter")
    expect(card.locator(".what")).to_contain_text("The goal was reached.")
    assert "refused by the user" in str(agent.asked[-1]["messages"])
    page.get_by_role("button", name="Do it").click()
    expect(page.locator(".status-line")).to_have_text("Says it is done")

    page.locator(".steps button").first.click()  # looking back
    expect(card.locator(".state")).to_have_text("Done")
    expect(page.locator(".aim.cross")).to_have_count(1)
    expect(page.locator(".where b")).to_have_text("Shop")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(card.locator(".state")).to_have_text("Skipped")
    expect(card).to_contain_text("not now")
    page.get_by_role("button", name="Back to now").click()

    with page.expect_download() as download:
        page.get_by_role("link", name="MD with pictures").click()
    record = Path(download.value.path()).read_text(encoding="utf-8")
    assert "Show the details" in record
    assert "data:image/png" in record
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".status-line")).to_have_text("Stopped")
    page.get_by_role("button", name="Begin anew").click()
    expect(page.get_by_label("Goal", exact=True)).to_have_value("Show the details.")
    expect(page.locator(".entries li")).to_contain_text("Show the details.")


def test_a_step_is_changed_on_the_picture(page: Page, agents: Site) -> None:
    plays(agents, BUY, DONE)
    begin(page, agents)
    expect(page.locator(".cautions")).to_contain_text("It sends a form.")
    expect(page.locator(".cautions")).to_contain_text("It has to do with money.")
    page.get_by_role("button", name="Change").click()
    for action, lack in (("type", "Say what to type or press."), ("drag", "Set where the drag ends.")):
        page.get_by_label("Action").select_option(action)
        page.get_by_role("button", name="Do this").click()
        expect(page.locator(".step-form [role=alert]")).to_have_text(lack)
    page.get_by_label("End x").fill("300")
    page.get_by_label("End y").fill("120")
    expect(page.locator(".aim.arrow")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator(".proposal .what")).to_have_text("Click on “Buy now”")
    page.get_by_role("button", name="Change").click()
    box = page.locator(".screen .canvas img").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * 100 / WIDTH, box["y"] + box["height"] * 20 / HEIGHT)
    x, y = (float(page.get_by_label(f"Place {axis}").input_value()) for axis in "xy")
    assert (x, y) == pytest.approx((100, 20), abs=2)
    page.get_by_role("button", name="Do this").click()
    expect(page.locator(".where b")).to_have_text("Shop, opened")
    page.locator(".steps button").first.click()
    expect(page.locator(".proposal")).to_contain_text("Your own step")


def test_a_password_is_not_shown(page: Page, agents: Site) -> None:
    box = call("left_click", coordinate=at(400, 120))
    plays(agents, box, call("type", text="hunter2"), DONE)
    begin(page, agents, "Sign in.")
    page.get_by_role("button", name="Do it").click()
    expect(page.locator(".proposal .what")).to_contain_text("Type")
    expect(page.locator(".cautions")).to_contain_text("password")
    assert "hunter2" not in page.locator("#app").inner_text()
    page.get_by_role("button", name="Change").click()
    assert "hunter2" not in page.locator("#app").inner_text()
    expect(page.get_by_label("Text", exact=True)).to_have_attribute("type", "password")
    page.get_by_role("button", name="Do this").click()
    expect(page.locator(".steps li")).to_have_count(3)
    page.locator(".steps button").nth(1).click()
    expect(page.locator(".proposal .what")).to_contain_text("••••••••")


def test_a_run_pauses_where_a_person_is_wanted(page: Page, agents: Site) -> None:
    waits = [call("wait", time=0.2)] * 9
    plays(agents, DETAILS, call("left_click", coordinate=at(100, 120)), BUY, *waits, seconds=0.1)
    begin(page, agents)
    page.get_by_label("steps at most").fill("5")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator(".paused")).to_have_text("It stopped to ask you:", timeout=15_000)
    expect(page.locator(".cautions")).to_contain_text("It sends a form.")
    expect(page.locator(".steps li")).to_have_count(3)
    expect(page.get_by_role("button", name="Do it")).to_be_enabled()
    page.get_by_role("button", name="Skip", exact=True).click()
    page.keyboard.press("Enter")
    expect(page.locator(".proposal .what")).to_contain_text("Wait")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator(".status-line")).to_contain_text("Runs by itself")
    page.keyboard.press("Escape")  # as the button Pause does
    expect(page.locator(".paused")).to_contain_text("You asked it to pause.", timeout=15_000)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".status-line")).to_have_text("Stopped")


def test_errors_are_in_the_pages_language(page: Page, browser: Watched, agents: Site) -> None:
    plays(agents, *[DETAILS] * 3)
    open_page(page, agents.url)
    page.get_by_role("button", name="中文").click()
    page.get_by_role("button", name="界面代理").click()
    alert = page.locator(".sheet [role=alert]")
    go = page.get_by_role("button", name="打开网页")
    go.click()
    expect(alert).to_have_text("请先写明目标。")
    page.get_by_label("目标", exact=True).fill("看看")
    page.get_by_label("网址").last.fill("ftp://example.org")
    go.click()
    expect(alert).to_contain_text("网址应以 http:// 或 https:// 开头")
    page.get_by_label("网址").last.fill("127.0.0.1:9/")
    go.click()
    expect(alert).to_contain_text("无法打开")
    with httpx.Client(base_url=f"{agents.url}/v1/agent", timeout=30) as api:
        made = api.post("/sessions", json={"goal": "x", "html": SHOP}).json()["id"]
        go.click()
        expect(alert).to_have_text("同时运行的代理已达上限，请先停止一个")  # known by its code alone
        api.delete(f"/sessions/{made}")
    page.goto(f"{agents.url}/#agent={made}")
    expect(page.get_by_role("alert")).to_have_text("这个代理已不存在（服务器可能重启过）")
    browser.complaints.clear()  # the browser's own notes of statuses


@pytest.mark.parametrize(("language", "colours", "width"), [("zh", "dark", 390)])
def test_looks(page: Page, agents: Site, language: str, colours: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 860})
    open_page(page, f"{agents.url}/#agent", language=language, colours=colours)
    name = f"{language}-{colours}-{width}-agent"

    def look(state: str) -> None:
        shoot(page, f"{name}-{state}")
        assert no_sideways(page), state
        if language == "zh":
            assert english(page) == [], state

    look("begin")
    plays(agents, DETAILS, call("type", text="blue socks"), BUY, call("left_click", coordinate=at(100, 220)), DONE)
    page.get_by_role("button", name=re.compile("Try an example|试试示例")).click()
    page.locator(".sheet textarea").first.fill({"en": "Find blue socks.", "zh": "找蓝色的袜子。"}[language])
    page.locator(".sheet textarea").nth(1).fill(SHOP)
    page.locator(".pair input").first.fill(str(WIDTH))
    page.locator(".pair input").last.fill(str(HEIGHT))
    page.locator(".sheet .primary").click()
    expect(page.locator(".proposal .what")).to_be_visible(timeout=20_000)
    page.wait_for_function("document.querySelector('.screen img').naturalWidth > 0")
    look("proposed")
    page.locator(".words-bar .primary").click()
    expect(page.locator(".aim.words")).to_contain_text("blue socks")
    page.locator(".words-bar .primary").click()
    expect(page.locator(".steps li")).to_have_count(3)
    expect(page.locator(".cautions")).to_be_visible()
    look("caution")
    page.locator('[data-key="edit"]').click()
    look("edit")
    page.keyboard.press("Escape")
    page.locator(".steps button").nth(1).click()
    look("back")
    page.locator('[data-key="now"]').click()
    page.locator('[data-key="stop"]').click()
    expect(page.locator('[data-key="again"]')).to_be_visible()
    look("stopped")


# What is said by the page that the agent works on, by the model, or by a person.
_OWN = ".where, .entries b, code, pre, textarea, .reason, .touches b, .goal, .result, q, .on"


def english(page: Page) -> list[str]:
    """Words of the place itself that hold Latin letters and no Chinese ones."""
    texts = page.evaluate(
        """(own) => [...document.querySelectorAll('.place *')].filter((e) => !e.closest(own) && e.checkVisibility())
            .flatMap((e) => [...e.childNodes]).filter((n) => n.nodeType === 3).map((n) => n.textContent.trim())""",
        _OWN,
    )
    alike = re.compile(r"(HTML|JSON|MD|token|m?s|\W|\d|_)*")
    return [text for text in texts if not re.search("[\u4e00-\u9fff]", text) and not alike.fullmatch(text)]
