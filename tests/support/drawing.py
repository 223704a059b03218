"""Pictures drawn in code, with the truth about what stands where. The samples of the web page are drawn here too.

They are 384x256 where nothing else is said, in Pillow's own font, so that no font of the machine is needed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 384, 256
INK, PAPER, ACCENT, LINE = (25, 25, 28), (250, 250, 252), (35, 105, 225), (165, 168, 175)

Rectangle = tuple[float, float, float, float]


@dataclass(frozen=True)
class Drawing:
    image: Image.Image
    boxes: dict[str, Rectangle] = field(default_factory=dict)  # in pixels, by the name that a question uses


def iou(a: Rectangle, b: Rectangle) -> float:
    """Intersection over union of two rectangles."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def _canvas(ground: tuple[int, int, int] = PAPER) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (WIDTH, HEIGHT), ground)
    return image, ImageDraw.Draw(image)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


def window() -> Drawing:
    """A settings window: title bar, two fields, a ticked and an empty checkbox, two buttons."""
    image, draw = _canvas((120, 150, 170))
    boxes: dict[str, Rectangle] = {}
    text, bold = _font(14), _font(15)
    draw.rectangle((10, 8, 373, 247), fill=PAPER)
    draw.rectangle((10, 8, 373, 32), fill=ACCENT)
    draw.text((18, 11), "Settings", font=bold, fill="white")
    draw.line((354, 15, 364, 25), fill="white", width=2)
    draw.line((354, 25, 364, 15), fill="white", width=2)
    for y, name, value in ((48, "Name", "Ada"), (80, "City", "London")):
        draw.text((24, y + 2), name, font=text, fill=INK)
        boxes[name] = (130, y, 358, y + 23)
        draw.rectangle(boxes[name], fill="white", outline=LINE)
        draw.text((136, y + 2), value, font=text, fill=INK)
    for y, name, ticked in ((118, "Dark mode", True), (146, "Auto save", False)):
        draw.rectangle((24, y, 38, y + 14), fill="white", outline=LINE)
        if ticked:
            draw.line((27, y + 7, 30, y + 12, 36, y + 3), fill=INK, width=2)
        draw.text((45, y - 2), name, font=text, fill=INK)
        boxes[name] = (24, y, 45 + draw.textlength(name, font=text), y + 15)
    for x, name, ground, ink in ((24, "Save", ACCENT, "white"), (96, "Cancel", (222, 224, 228), INK)):
        width = draw.textlength(name, font=text)
        boxes[name] = (x, 210, x + width + 24, 235)
        draw.rounded_rectangle(boxes[name], 3, fill=ground)
        draw.text((x + 12, 213), name, font=text, fill=ink)
    return Drawing(image, boxes)


def shapes() -> Drawing:
    """A red square, a blue circle, a green triangle and an orange diamond, from left to right."""
    image, draw = _canvas((238, 238, 244))
    boxes: dict[str, Rectangle] = {
        "red square": (34, 96, 98, 160),
        "blue circle": (130, 40, 194, 104),
        "green triangle": (222, 140, 292, 205),
        "orange diamond": (308, 56, 362, 128),
    }
    draw.rectangle(boxes["red square"], fill=(214, 40, 40))
    draw.ellipse(boxes["blue circle"], fill=(40, 80, 220))
    x1, y1, x2, y2 = boxes["green triangle"]
    draw.polygon(((x1 + x2) / 2, y1, x2, y2, x1, y2), fill=(40, 160, 60))
    x1, y1, x2, y2 = boxes["orange diamond"]
    draw.polygon(((x1 + x2) / 2, y1, x2, (y1 + y2) / 2, (x1 + x2) / 2, y2, x1, (y1 + y2) / 2), fill=(245, 135, 30))
    return Drawing(image, boxes)


def note() -> Drawing:
    """Three lines of text."""
    image, draw = _canvas((252, 248, 236))
    boxes: dict[str, Rectangle] = {}
    for y, line, size in ((30, "Team meeting", 28), (96, "Monday 14:30", 22), (150, "Bring the report", 22)):
        draw.text((28, y), line, font=_font(size), fill=(40, 40, 60))
        boxes[line] = draw.textbbox((28, y), line, font=_font(size))
    return Drawing(image, boxes)


def page() -> Drawing:
    """A web page: a heading, a paragraph, a link, a field and a button."""
    image, draw = _canvas((255, 255, 255))
    text = _font(18)
    draw.text((12, 8), "Welcome home", font=_font(30), fill=(15, 15, 15))
    draw.text((12, 56), "Please send us a message today.", font=text, fill=(15, 15, 15))
    draw.text((12, 92), "Learn more", font=text, fill=(30, 60, 230))
    draw.line((12, 114, 12 + draw.textlength("Learn more", font=text), 114), fill=(30, 60, 230))
    draw.rectangle((12, 128, 260, 156), fill="white", outline=(120, 120, 120))
    draw.text((18, 131), "Email", font=text, fill=(130, 130, 130))
    button: Rectangle = (12, 172, 34 + draw.textlength("Submit", font=text), 202)
    draw.rounded_rectangle(button, 4, fill=(40, 160, 60))
    draw.text((23, 176), "Submit", font=text, fill="white")
    return Drawing(image, {"Submit": button})


def receipt() -> Drawing:
    """A receipt of four things, 320x352."""
    image = Image.new("RGB", (320, 352), (236, 238, 242))
    draw = ImageDraw.Draw(image)
    rule = (120, 120, 125)

    def middle(y: float, words: str, size: int) -> None:
        draw.text((160, y), words, font=_font(size), fill=INK, anchor="ma")

    def row(y: float, name: str, price: str, size: int = 17) -> None:
        draw.text((58, y), name, font=_font(size), fill=INK)
        draw.text((262, y), price, font=_font(size), fill=INK, anchor="ra")

    draw.rectangle((40, 12, 280, 340), fill="white", outline=(214, 216, 222))
    middle(26, "Green Garden Cafe", 22)
    middle(58, "14.03.2024  09:42", 15)
    draw.line((56, 86, 264, 86), fill=rule)
    things = (("Coffee", "3.20"), ("Orange juice", "4.50"), ("Sandwich", "6.80"), ("Cake", "3.90"))
    for number, (name, price) in enumerate(things):
        row(98 + 30 * number, name, price)
    draw.line((56, 222, 264, 222), fill=rule)
    row(232, "VAT", "1.20")
    row(264, "Total", "18.40", 21)
    middle(300, "Thank you!", 16)
    return Drawing(image)


def noise() -> Image.Image:
    """Grains of grey, the same each time, in which there is nothing to be seen."""
    grains = random.Random(0).randbytes(WIDTH * HEIGHT)
    return Image.frombytes("L", (WIDTH, HEIGHT), grains).convert("RGB")
