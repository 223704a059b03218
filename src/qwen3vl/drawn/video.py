"""Family `video`: shapes that come, go and move, or captioned chapters, at two frames a second. Times are exact."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from qwen3vl.drawn.canvas import Canvas, Color
from qwen3vl.drawn.sample import Language
from qwen3vl.drawn.scene import Scene, listing
from qwen3vl.drawn.shapes import COLORS, GROUNDS, HELD_OUT_GROUNDS, SHAPES, draw_shape, shade, thing_name

FPS = 2.0
SHORTEST, LONGEST = 4, 12  # seconds
SIZES = ((128, 128), (160, 128), (128, 160), (192, 128), (160, 160), (256, 160))
HELD_OUT_SIZES = ((192, 160), (224, 128), (160, 192))
DIRECTIONS = {"left": ("left", "左"), "right": ("right", "右"), "up": ("up", "上"), "down": ("down", "下")}
CHAPTER_GROUNDS: tuple[Color, ...] = (
    (30, 60, 110),
    (120, 40, 50),
    (30, 100, 60),
    (245, 240, 225),
    (225, 230, 240),
    (60, 60, 66),
    (250, 215, 90),
)


@dataclass(frozen=True)
class Actor:
    """A shape that is on screen in the frames [first, last), and moves through the whole of them or stands."""

    shape: str
    color: str
    fill: Color
    radius: int
    x: int
    y: int
    first: int
    last: int
    direction: str | None

    def name(self, language: Language) -> str:
        return thing_name(self.color, self.shape, language)

    def position(self, frame: int, canvas: Canvas) -> tuple[int, int]:
        if self.direction is None:
            return self.x, self.y
        share = (frame - self.first) / max(1, self.last - self.first - 1)
        share = share if self.direction in ("right", "down") else 1 - share
        room = self.radius + 2
        if self.direction in ("left", "right"):
            return round(room + share * (canvas.width - 2 * room - 1)), self.y
        return self.x, round(room + share * (canvas.height - 2 * room - 1))


def stamp(seconds: float) -> str:
    """`mm:ss.ff`, as the released models write times."""
    return f"{int(seconds) // 60:02d}:{seconds % 60:05.2f}"


def video(scene: Scene) -> None:
    scene.kind, scene.fps = "video", FPS
    frames = 2 * scene.rng.randint(SHORTEST, LONGEST)
    (_chapters if scene.rng.random() < 0.3 else _shapes)(scene, frames)


def _shapes(scene: Scene, frames: int) -> None:
    actors = _cast(scene, frames)
    ground = shade(scene, scene.pick(GROUNDS, HELD_OUT_GROUNDS), 5)
    before: list[tuple[Actor, tuple[int, int]]] | None = None
    canvas = scene.canvas(ground)
    for frame in range(frames):
        shown = [(actor, actor.position(frame, canvas)) for actor in actors if actor.first <= frame < actor.last]
        if shown != before:
            canvas = scene.canvas(ground)
            for actor, (x, y) in shown:
                draw_shape(canvas, actor.shape, x, y, actor.radius, actor.color, actor.fill)
            before = shown
        _keep(scene, canvas, frame)
    _ask_shapes(scene, actors, frames / FPS)


def _keep(scene: Scene, canvas: Canvas, frame: int) -> None:
    scene.images.append(canvas.image)
    scene.marks.extend(mark._replace(frame=frame) for mark in canvas.marks)


def _cast(scene: Scene, frames: int) -> list[Actor]:
    """One to three different shapes that never overlap: one moves in its own lane, or all stand."""
    rng, (width, height) = scene.rng, scene.size
    actors: list[Actor] = []
    moving = rng.random() < 0.35
    for _ in range(1 if moving else rng.choice((1, 2, 2, 3))):
        for _attempt in range(20):
            radius = rng.randint(12, 22)
            x, y = rng.randint(radius + 2, width - radius - 3), rng.randint(radius + 2, height - radius - 3)
            shape, color = rng.choice(list(SHAPES)), rng.choice(list(COLORS))
            apart = all(math.hypot(x - a.x, y - a.y) > radius + a.radius + 4 for a in actors)
            if apart and all((shape, color) != (a.shape, a.color) for a in actors):
                first = rng.randint(2, frames - 4) if rng.random() < 0.7 else 0
                last = rng.randint(first + 3, frames - 1) if rng.random() < 0.5 else frames
                direction = rng.choice(list(DIRECTIONS)) if moving else None
                fill = shade(scene, COLORS[color][0])
                actors.append(Actor(shape, color, fill, radius, x, y, first, last, direction))
                break
    return sorted(actors, key=lambda actor: (actor.first, actor.last, actor.x))


def _events(scene: Scene, spans: list[tuple[float, float, str]], task: str, key: str, weight: float) -> None:
    events = [{"start": start, "end": end, "description": text} for start, end, text in spans]
    lines = [
        json.dumps({"start": stamp(s), "end": stamp(e), "description": t}, ensure_ascii=False) for s, e, t in spans
    ]
    answer = "```json\n[\n" + ",\n".join("\t" + line for line in lines) + "\n]\n```"
    scene.ask(task, key, answer, {"events": events}, weight)


def _ask_shapes(scene: Scene, actors: list[Actor], length: float) -> None:
    language = scene.language

    def told(actor: Actor) -> str:
        name = actor.name(language)
        if actor.direction is None:
            return scene.say(f"{name} is shown", f"出现{name}")
        return scene.say(f"{name} moves {actor.direction}", f"{name}向{DIRECTIONS[actor.direction][1]}移动")

    spans = [(actor.first / FPS, actor.last / FPS, told(actor)) for actor in actors]
    _events(scene, spans, "video_events", "video_events", 2.0)
    for actor in actors:
        name = actor.name(language)
        if actor.first:
            _ask_when(scene, "video_appear", actor.first / FPS, thing=name)
            alone = sum(other.first == actor.first for other in actors) == 1
            if alone:
                time = stamp(actor.first / FPS)
                scene.ask("video_what", "video_what_appears", name, {"value": name}, 1.0, time=time)
        if actor.last / FPS < length:
            _ask_when(scene, "video_disappear", actor.last / FPS, thing=name)
        if actor.direction:
            way = scene.say(*DIRECTIONS[actor.direction])
            scene.ask("video_what", "video_direction", way, {"value": way}, 1.5, thing=name)
    things = scene.say("different shapes", "不同的图形")
    scene.ask("count", "count", str(len(actors)), {"count": len(actors)}, 0.4, things=things)
    names = listing([told(actor) for actor in actors], language)
    text = scene.say(f"A video of {length:.0f} seconds: {names}.", f"一段{length:.0f}秒的视频：{names}。")
    scene.ask("describe", "video_describe", text, {"text": text}, 0.7)


def _ask_when(scene: Scene, key: str, seconds: float, **slots: str) -> None:
    scene.ask("video_when", key, stamp(seconds), {"seconds": seconds}, 1.3, **slots)


def _chapters(scene: Scene, frames: int) -> None:
    """Two to four chapters, each with a caption on its own ground, perhaps with a shape."""
    rng, words, (width, height) = scene.rng, scene.words, scene.size
    count = rng.randint(2, 4 if frames >= 16 else 3)
    cuts = sorted(rng.sample(range(2, frames - 1, 2) if rng.random() < 0.3 else range(3, frames - 2), count - 1))
    while min(b - a for a, b in zip([0, *cuts], [*cuts, frames], strict=True)) < 2:
        cuts = sorted(rng.sample(range(3, frames - 2), count - 1))
    grounds = rng.sample(CHAPTER_GROUNDS, count)
    chinese = rng.random() < 0.35
    spans: list[tuple[float, float, str]] = []
    for start, end, ground in zip([0, *cuts], [*cuts, frames], grounds, strict=True):
        canvas = scene.canvas(shade(scene, ground, 8))
        font = scene.font(rng.randint(15, 20), chinese=chinese)
        caption = words.zh(2, 5) if chinese else words.short(9).capitalize()
        while font.width(caption) > width - 10 or caption in {text for _, _, text in spans}:
            caption = words.zh(2, 4) if chinese else words.short(6).capitalize()
        dark = sum(ground) < 380
        x = scene.pick(((width - font.width(caption)) // 2, 6), (width - 6 - font.width(caption),))
        y = rng.randint(4, height - font.height - 4)
        canvas.text(x, y, caption, font, (245, 245, 245) if dark else (20, 20, 20))
        for frame in range(start, end):
            _keep(scene, canvas, frame)
        spans.append((start / FPS, end / FPS, caption))
    _ask_chapters(scene, spans)


def _ask_chapters(scene: Scene, spans: list[tuple[float, float, str]]) -> None:
    _events(scene, spans, "video_chapters", "video_chapters", 2.5)
    for start, end, caption in spans:
        if start:
            _ask_when(scene, "video_chapter_when", start, caption=caption)
        middle = stamp((int((start + end) * FPS) // 2) / FPS)
        scene.ask("video_what", "video_what_caption", caption, {"value": caption}, 0.7, time=middle)
    text = scene.say(
        f"A video with {len(spans)} chapters: {listing([text for *_, text in spans], 'en')}.",
        f"一段有{len(spans)}个章节的视频：{listing([text for *_, text in spans], 'zh')}。",
    )
    scene.ask("describe", "video_describe", text, {"text": text}, 0.5)
