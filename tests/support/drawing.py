"""Pictures drawn in code, with the truth about what stands where. The samples of the web page are drawn here too.

All are 384x256, a size that the small checkpoints were trained on, in Pillow's own font, so that no font of the machine
is needed.
"""

from __future__ import annotations

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
    draw.text((10, 8), "Welcome home", font=_font(25), fill=(15, 15, 15))
    draw.text((10, 52), "Send us a message", font=_font(15), fill=(15, 15, 15))
    draw.text((10, 80), "Learn more", font=_font(15), fill=(30, 60, 230))
    draw.line((10, 98, 10 + draw.textlength("Learn more", font=_font(15)), 98), fill=(30, 60, 230))
    draw.rectangle((10, 112, 280, 136), fill="white", outline=(120, 120, 120))
    draw.text((16, 114), "Email", font=_font(15), fill=(130, 130, 130))
    button: Rectangle = (10, 148, 32 + draw.textlength("Submit", font=_font(15)), 174)
    draw.rounded_rectangle(button, 4, fill=(40, 160, 60))
    draw.text((21, 151), "Submit", font=_font(15), fill="white")
    return Drawing(image, {"Submit": button})
