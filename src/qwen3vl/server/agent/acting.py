"""From a step that a model proposed, or a person wrote, to hands in the browser, and to words."""

from __future__ import annotations

from qwen3vl.browser.hands import Hands, Place, key_chord
from qwen3vl.browser.session import BrowserSession, Element
from qwen3vl.errors import InputError
from qwen3vl.tasks.results import BoxMark, PointMark, Step

ENDINGS = frozenset(("done", "answer"))
_CLICKS = {"click": 1, "double_click": 2, "triple_click": 3}
_AT_A_PLACE = frozenset(("right_click", "middle_click", "long_press", "move", "drag", *_CLICKS))
_HELD_SECONDS = 1.0
_WAITED_SECONDS = 1.0
_SYSTEM_BUTTONS = ("back", "home", "enter", "menu")


def place_of(mark: BoxMark | PointMark | None) -> Place | None:
    """Where to press, in pixels: a point, or the middle of a box."""
    if mark is None:
        return None
    if isinstance(mark, PointMark):
        return mark.pixels
    x1, y1, x2, y2 = mark.pixels
    return (x1 + x2) / 2, (y1 + y2) / 2


def check(step: Step, size: tuple[int, int]) -> None:
    """Raises `InputError` for a step that cannot be taken in a window of `size`."""
    place = place_of(step.target)
    if place is None and step.action in _AT_A_PLACE:
        raise InputError(f"the action {step.action!r} needs a target")
    for x, y in filter(None, (place, place_of(step.end))):
        if not (0 <= x <= size[0] and 0 <= y <= size[1]):
            raise InputError(f"({x:g}, {y:g}) is outside of the window of {size[0]}x{size[1]} pixels")
    if step.action == "drag" and step.end is None:
        raise InputError("the action 'drag' needs an end")
    if step.action == "scroll" and step.direction is None:
        raise InputError("the action 'scroll' needs a direction")
    if step.action == "key":
        key_chord(step.text)
    if step.action == "button" and step.text.lower() not in _SYSTEM_BUTTONS:
        raise InputError(f"there is no button {step.text!r}; there are {', '.join(_SYSTEM_BUTTONS)}")


async def element_for(session: BrowserSession, step: Step) -> Element | None:
    """What the step would touch: at its target, or for keys what has the focus."""
    place = place_of(step.target)
    if place is not None:
        return await session.element(*place)
    return await session.element() if step.action in ("type", "key") else None


async def act(session: BrowserSession, step: Step) -> None:
    """Takes the step, which `check` has let through. Raises `BrowserError` and `InputError`."""
    hands, place = Hands(session), place_of(step.target)
    if place is not None and step.action in _AT_A_PLACE:
        await _act_at(hands, step, place)
        return
    match step.action:
        case "type":
            if place is not None:  # the plain form names the field; the tool call types where the focus is
                await hands.click(place)
            await hands.type(step.text)
        case "key":
            await hands.press(step.text)
        case "scroll":
            await hands.scroll(step.direction, step.amount, place)  # type: ignore[arg-type]  # checked
        case "wait":
            await hands.wait(_WAITED_SECONDS if step.amount is None else step.amount)
        case "button":
            await _press_button(session, hands, step.text.lower())
        case _:
            raise InputError(f"the action {step.action!r} cannot be carried out in a browser")


async def _act_at(hands: Hands, step: Step, place: Place) -> None:
    match step.action:
        case "right_click":
            await hands.click(place, button="right")
        case "middle_click":
            await hands.click(place, button="middle")
        case "long_press":
            await hands.hold(place, step.amount or _HELD_SECONDS)
        case "move":
            await hands.move(place)
        case "drag":
            await hands.drag(place, place_of(step.end) or place)
        case _:
            await hands.click(place, count=_CLICKS[step.action])


def in_words(step: Step) -> str:
    """One line that says what the step is, for a record and for the model."""
    name = step.action.replace("_", " ")
    parts = [name]
    if step.target is not None and step.target.label:
        parts.append(f'"{step.target.label}"')
    if step.target is not None and step.action not in ENDINGS:
        parts.append("at ({}, {})".format(*(round(v) for v in _relative(step.target))))
    if step.action == "drag" and step.end is not None:
        parts.append("to ({}, {})".format(*(round(v) for v in step.end.relative)))
    if step.direction is not None:
        parts.append(step.direction)
    if step.text:
        parts.append(step.text if step.action in ("key", "button", "done") else f'"{step.text}"')
    return " ".join(parts)


def _relative(mark: BoxMark | PointMark) -> Place:
    if isinstance(mark, PointMark):
        return mark.relative
    x1, y1, x2, y2 = mark.relative
    return (x1 + x2) / 2, (y1 + y2) / 2


async def _press_button(session: BrowserSession, hands: Hands, button: str) -> None:
    if button == "back":
        await session.back()
    elif button == "home":
        await session.goto(session.home)
    elif button == "enter":
        await hands.press("enter")
    # a web page knows no menu button: on a phone that shows only a page, it does nothing
