"""Mouse, finger and keyboard in a browser session. Places are pixels of the window. Knows nothing of why."""

from __future__ import annotations

import asyncio
from typing import Any, Literal, get_args

from qwen3vl.browser.session import BrowserSession
from qwen3vl.errors import InputError

Button = Literal["left", "right", "middle"]
Direction = Literal["up", "down", "left", "right"]
Place = tuple[float, float]

MOST_TEXT = 5000  # characters that are typed at once
LONGEST_WAIT = 10.0  # seconds

_TYPING_SECONDS = 30.0
_WAYS = {"up": (0, -1), "down": (0, 1), "left": (-1, 0), "right": (1, 0)}
_STEPS = 12  # of a drag, so that a page sees it move
_STILL = 0.1  # seconds before a finger leaves: one that still moves throws the page on, as far as the machine was slow
_NAMES = {
    **{name: name.capitalize() for name in ("enter", "tab", "delete", "backspace", "home", "end", "insert", "escape")},
    **{f"arrow{way}": f"Arrow{way.capitalize()}" for way in _WAYS},
    **{way: f"Arrow{way.capitalize()}" for way in _WAYS},
    **{f"f{number}": f"F{number}" for number in range(1, 13)},
    **{"ctrl": "Control", "control": "Control", "alt": "Alt", "option": "Alt", "shift": "Shift"},
    **{"meta": "Meta", "cmd": "Meta", "command": "Meta", "win": "Meta", "super": "Meta"},
    **{"return": "Enter", "esc": "Escape", "del": "Delete", "space": "Space", "plus": "+"},
    **{"pageup": "PageUp", "pagedown": "PageDown", "pgup": "PageUp", "pgdn": "PageDown"},
}


class Hands:
    def __init__(self, session: BrowserSession) -> None:
        self._session, self._page = session, session.page

    async def click(self, place: Place, *, button: Button = "left", count: int = 1) -> None:
        async with self._session.answering():
            if self._session.phone and button == "left":
                for _ in range(count):
                    await self._page.touchscreen.tap(*place)
            else:
                await self._page.mouse.click(*place, button=button, click_count=count, delay=30)

    async def hold(self, place: Place, seconds: float) -> None:
        """Presses long."""
        async with self._session.answering(2 * LONGEST_WAIT):
            await self._press_at("touchStart", "mousePressed", place)
            await asyncio.sleep(min(seconds, LONGEST_WAIT))
            await self._press_at("touchEnd", "mouseReleased", place)

    async def move(self, place: Place) -> None:
        async with self._session.answering():
            await self._page.mouse.move(*place, steps=_STEPS)

    async def drag(self, start: Place, end: Place) -> None:
        """With the mouse, or on a phone with a finger, which scrolls what can be scrolled."""
        async with self._session.answering():
            await self._press_at("touchStart", "mousePressed", start)
            for step in range(1, _STEPS + 1):
                part = step / _STEPS
                place = (start[0] + (end[0] - start[0]) * part, start[1] + (end[1] - start[1]) * part)
                await self._press_at("touchMove", "mouseMoved", place)
                await asyncio.sleep(0.015)
            await asyncio.sleep(_STILL)
            await self._press_at("touchEnd", "mouseReleased", end)

    async def type(self, text: str) -> None:
        """Types into what has the focus; a line break is the Enter key. Raises `InputError` for a text too long."""
        if len(text) > MOST_TEXT:
            raise InputError(f"at most {MOST_TEXT} characters are typed at once, got {len(text)}")
        async with self._session.answering(_TYPING_SECONDS):
            await self._page.keyboard.type(text)

    async def press(self, keys: str) -> None:
        """A key or a chord, such as `enter` or `ctrl+a`. Raises `InputError` for a name that no key has."""
        chord = key_chord(keys)
        if chord == "Alt+ArrowLeft":
            await self._session.back()
            return
        async with self._session.answering():
            if chord == "Alt+ArrowRight":
                await self._page.go_forward(wait_until="commit")
            elif chord in ("F5", "Control+r"):
                await self._page.reload(wait_until="commit")
            else:
                await self._page.keyboard.press(chord)

    async def scroll(self, direction: Direction, pixels: float | None = None, place: Place | None = None) -> None:
        """Moves the view at `place` (without one, in the middle) by so many pixels, or by most of a window."""
        if direction not in get_args(Direction):
            raise InputError(f"a view moves {', '.join(get_args(Direction))}, got {direction!r}")
        width, height = self._session.size
        right, down = _WAYS[direction]
        pixels = 0.7 * (width if right else height) if pixels is None else pixels
        x, y = place or (width / 2, height / 2)
        async with self._session.answering():
            await self._session.cdp.send(
                "Input.dispatchMouseEvent",
                {"type": "mouseWheel", "x": x, "y": y, "deltaX": right * pixels, "deltaY": down * pixels},
            )

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(min(max(seconds, 0.0), LONGEST_WAIT))

    async def _press_at(self, touch: str, mouse: str, place: Place) -> None:
        x, y = place
        if self._session.phone:
            points: list[dict[str, Any]] = [] if touch == "touchEnd" else [{"x": x, "y": y}]
            await self._session.cdp.send("Input.dispatchTouchEvent", {"type": touch, "touchPoints": points})
            return
        await self._page.mouse.move(x, y)
        if mouse == "mousePressed":
            await self._page.mouse.down()
        elif mouse == "mouseReleased":
            await self._page.mouse.up()


def key_chord(keys: str) -> str:
    """Keys as people and models write them, joined by plus signs, as Playwright names them. Raises `InputError`."""
    text = keys.strip()
    names = [*filter(None, text[:-1].split("+")), "+"] if text.endswith("+") else text.split("+")
    return "+".join(_key(name.strip()) for name in names)


def _key(name: str) -> str:
    plain = name.lower().replace(" ", "").replace("_", "").replace("-", "") or name
    if plain in _NAMES:
        return _NAMES[plain]
    if len(name) == 1 and name.isprintable():
        return name
    raise InputError(f"there is no key {name!r}; keys are letters, signs, {', '.join(sorted(_NAMES))}")
