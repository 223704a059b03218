"""Family `screens`: programs, phone apps and web sites, put together of parts.

A screen is a frame (window, browser, phone or nothing), a way to get about, a body and a place for buttons. Which of
each is one choice of `Scene.combine`: both splits draw every part, and some ways to put them together are held out.
The parts stand in `frames` and `bodies`, their colours and habits in `themes`; what is asked stands in `actions`.
"""

from __future__ import annotations

from qwen3vl.drawn.actions import ask_about
from qwen3vl.drawn.bodies import BODIES, BOXED
from qwen3vl.drawn.buttons import BUTTON_PLACES, buttons_below, place_buttons
from qwen3vl.drawn.fonts import Style, font
from qwen3vl.drawn.frames import CHROMES, NAVIGATIONS
from qwen3vl.drawn.scene import Scene
from qwen3vl.drawn.themes import new_look, new_theme
from qwen3vl.drawn.widgets import NoRoom, Screen

CHINESE_SCREENS = 0.35
SIZES = (12, 12, 13, 13, 14, 14, 15, 15, 16, 16, 17, 18, 20)
CHINESE_SIZES = (14, 15, 15, 16, 16, 17, 18, 20)
NARROW = 256  # pixels of width below which text is never large


def screens(scene: Scene) -> None:
    while True:
        try:
            screen = new_screen(scene)
        except NoRoom:
            continue
        scene.keep(screen.canvas)
        ask_about(screen)
        return


def new_screen(scene: Scene) -> Screen:
    """A screen that is drawn but not yet kept. Raises `NoRoom`."""
    plan = scene.combine(
        "screens",
        chrome=tuple(CHROMES),
        navigation=tuple(NAVIGATIONS),
        body=(*BODIES, "form", "form", "login"),  # forms are commoner than the rest
        buttons=BUTTON_PLACES,
    )
    screen = _blank(scene, phone=plan["chrome"] == "phone")
    area = CHROMES[plan["chrome"]](screen)
    area = NAVIGATIONS[plan["navigation"]](screen, area)
    if plan["body"] in BOXED:
        area = BOXED[plan["body"]](screen, area)
    area = place_buttons(screen, area, plan["buttons"])
    y = BODIES[plan["body"]](screen, area)
    if plan["buttons"] == "below":
        buttons_below(screen, (area[0], y + screen.look.gap, area[2], area[3]))
    return screen


def _blank(scene: Scene, *, phone: bool) -> Screen:
    rng = scene.rng
    chinese = rng.random() < CHINESE_SCREENS
    size = rng.choice(CHINESE_SIZES if chinese else SIZES)
    size = min(size, 15) if scene.size[0] < NARROW else size
    style: Style | None = "sans" if rng.random() < 0.75 else None
    regular = scene.font(size, chinese=chinese, style=style, bold=False)
    small = font(regular.face, max(11, size - rng.randint(1, 3)))
    bold = scene.font(_stepped(size + rng.choice((0, 1, 2, 3, 5, 8, 12))), chinese=chinese, style=style, bold=True)
    theme, look = new_theme(rng), new_look(scene)
    tool = "mobile_use" if phone else "computer_use"
    return Screen(scene, scene.canvas(theme.panel), theme, look, chinese, tool, regular, small, bold)


def _stepped(size: int) -> int:
    """Large sizes in steps of 4: glyphs are kept once made, and there are not so many of them."""
    return size if size < 20 else size // 4 * 4
