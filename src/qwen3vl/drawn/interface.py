"""What stands on screens: the everyday words of interfaces in English and Chinese, and the themes they are drawn in."""

from __future__ import annotations

from dataclasses import dataclass

from qwen3vl.drawn.canvas import Color
from qwen3vl.drawn.words import pairs

BUTTONS = pairs("buttons")
FIELDS = pairs("fields")
CHECKS = pairs("checks")
PLACES = pairs("places")
MENUS = pairs("menus")


@dataclass(frozen=True)
class Theme:
    """Colours and habits of one look."""

    ground: Color  # behind the window
    panel: Color
    bar: Color
    ink: Color
    bar_ink: Color
    faint: Color  # placeholders, lines
    accent: Color
    accent_ink: Color
    radius: int
    round_close: bool = False  # close, at the left, as a red dot


WHITE: Color = (255, 255, 255)
THEMES = (
    Theme(
        (0, 110, 130),
        (240, 240, 240),
        (0, 60, 150),
        (10, 10, 10),
        WHITE,
        (130, 130, 130),
        (210, 210, 210),
        (10, 10, 10),
        0,
    ),
    Theme((70, 110, 160), WHITE, (243, 243, 243), (25, 25, 25), (25, 25, 25), (150, 150, 150), (0, 95, 185), WHITE, 4),
    Theme(
        (190, 160, 190),
        (246, 246, 246),
        (222, 222, 222),
        (40, 40, 40),
        (60, 60, 60),
        (160, 160, 160),
        (0, 122, 255),
        WHITE,
        6,
        True,
    ),
    Theme(
        (40, 40, 60),
        (34, 36, 42),
        (24, 25, 30),
        (230, 230, 230),
        (230, 230, 230),
        (120, 124, 134),
        (80, 130, 240),
        WHITE,
        5,
    ),
    Theme(
        (225, 228, 232),
        (250, 250, 250),
        (46, 52, 64),
        (46, 52, 64),
        (236, 239, 244),
        (150, 155, 165),
        (53, 132, 228),
        WHITE,
        7,
    ),
    Theme((235, 240, 235), WHITE, (33, 115, 70), (30, 40, 30), WHITE, (140, 150, 140), (33, 115, 70), WHITE, 2),
    Theme(
        (20, 20, 24),
        (18, 18, 18),
        (32, 32, 36),
        (240, 240, 240),
        (240, 240, 240),
        (130, 130, 130),
        (187, 134, 252),
        (20, 10, 30),
        8,
    ),
    Theme(
        (250, 240, 225), (255, 252, 246), (214, 96, 50), (60, 40, 30), WHITE, (170, 150, 130), (214, 96, 50), WHITE, 10
    ),
)
HELD_OUT_THEMES = (
    Theme(
        (205, 215, 245), (249, 249, 255), (76, 60, 140), (30, 25, 60), WHITE, (150, 145, 175), (110, 80, 200), WHITE, 3
    ),
    Theme(
        (12, 30, 36),
        (16, 42, 50),
        (8, 24, 30),
        (220, 240, 240),
        (220, 240, 240),
        (110, 145, 150),
        (0, 160, 150),
        WHITE,
        6,
    ),
    Theme(
        (245, 228, 232),
        (255, 250, 251),
        (178, 38, 82),
        (60, 20, 35),
        WHITE,
        (175, 140, 150),
        (178, 38, 82),
        WHITE,
        12,
        True,
    ),
)
