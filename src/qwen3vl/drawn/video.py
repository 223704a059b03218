"""Family `video`: shapes that come, go, move and grow, or captioned chapters, at two frames a second. Times are exact.

What is shown from the start has no time at which it appears, and what stays to the end none at which it disappears.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from qwen3vl.drawn.actors import Actor, cast
from qwen3vl.drawn.canvas import Canvas
from qwen3vl.drawn.chapters import make_chapters
from qwen3vl.drawn.scene import Scene, listing
from qwen3vl.drawn.shapes import ground
from qwen3vl.drawn.things import LINES, draw_shape

FPS = 2.0
SHORTEST, LONGEST = 4, 12  # seconds
SIZES = ((128, 128), (160, 128), (128, 160), (192, 128), (160, 160), (256, 160))
HELD_OUT_SIZES = ((192, 160), (224, 128), (160, 192))
CHAPTERS = 0.3
DIRECTIONS = {"left": ("left", "左"), "right": ("right", "右"), "up": ("up", "上"), "down": ("down", "下")}

Span = tuple[float, float, str]  # seconds, seconds, what


def stamp(seconds: float) -> str:
    """`mm:ss.ff`, as the released models write times."""
    return f"{int(seconds) // 60:02d}:{seconds % 60:05.2f}"


def video(scene: Scene) -> None:
    scene.kind, scene.fps = "video", FPS
    frames = 2 * scene.rng.randint(SHORTEST, LONGEST)
    if scene.rng.random() >= CHAPTERS:
        _shapes(scene, frames)
        return
    chapters = make_chapters(scene, frames)
    for chapter in chapters:
        for frame in range(chapter.first, chapter.last):
            _keep(scene, chapter.canvas, frame)
    _ask_chapters(scene, [(c.first / FPS, c.last / FPS, c.caption) for c in chapters])


def _keep(scene: Scene, canvas: Canvas, frame: int) -> None:
    scene.images.append(canvas.image)
    scene.marks.extend(mark._replace(frame=frame) for mark in canvas.marks)


def _shapes(scene: Scene, frames: int) -> None:
    chosen = scene.combine(
        "video",
        acts=("stand", "stand", "move", "move and stand", "grow"),
        cast=("one", "two", "three"),
        ground=("plain", "plain", "lines", "dots", "gradient"),
        lines=LINES,
    )
    stage = ground(scene, chosen["ground"])
    actors = cast(scene, stage, frames, chosen["acts"], ("one", "two", "three").index(chosen["cast"]) + 1)
    before: list[tuple[Actor, tuple[int, int, int]]] | None = None
    canvas = stage
    for frame in range(frames):
        shown = [(actor, actor.place(frame)) for actor in actors if actor.first <= frame < actor.last]
        if shown != before:
            canvas = scene.canvas(stage.background)
            canvas.image.paste(stage.image)
            for actor, (x, y, radius) in shown:
                draw_shape(canvas, actor.shape, x, y, radius, actor.color, actor.fill, chosen["lines"])
            before = shown
        _keep(scene, canvas, frame)
    _ask_shapes(scene, actors, frames / FPS)


def _events(scene: Scene, spans: Sequence[Span], task: str, key: str, weight: float) -> None:
    events = [{"start": start, "end": end, "description": text} for start, end, text in spans]
    lines = [
        json.dumps({"start": stamp(s), "end": stamp(e), "description": t}, ensure_ascii=False) for s, e, t in spans
    ]
    answer = "```json\n[\n" + ",\n".join("\t" + line for line in lines) + "\n]\n```"
    scene.ask(task, key, answer, {"events": events}, weight)


def _told(scene: Scene, actor: Actor) -> str:
    name = actor.name(scene.language)
    if actor.act in DIRECTIONS:
        return scene.say(f"{name} moves {actor.act}", f"{name}向{DIRECTIONS[actor.act][1]}移动")
    if actor.act == "grows":
        return scene.say(f"{name} grows", f"{name}变大")
    if actor.act == "shrinks":
        return scene.say(f"{name} shrinks", f"{name}变小")
    return scene.say(f"{name} is shown", f"出现{name}")


def _ask_shapes(scene: Scene, actors: list[Actor], length: float) -> None:
    spans = [(actor.first / FPS, actor.last / FPS, _told(scene, actor)) for actor in actors]
    _events(scene, spans, "video_events", "video_events", 2.0)
    for actor in actors:
        name = actor.name(scene.language)
        if actor.first:
            _ask_when(scene, "video_appear", actor.first / FPS, thing=name)
            alone = sum(other.first == actor.first for other in actors) == 1
            if alone:
                time = stamp(actor.first / FPS)
                scene.ask("video_what", "video_what_appears", name, {"value": name}, 1.0, time=time)
        if actor.last / FPS < length:
            _ask_when(scene, "video_disappear", actor.last / FPS, thing=name)
        if actor.act in DIRECTIONS:
            way = scene.say(*DIRECTIONS[actor.act])
            scene.ask("video_what", "video_direction", way, {"value": way}, 1.5, thing=name)
    things = scene.say("different shapes", "不同的图形")
    scene.ask("count", "count", str(len(actors)), {"count": len(actors)}, 0.4, things=things)
    names = listing([text for *_, text in spans], scene.language)
    text = scene.say(f"A video of {length:.0f} seconds: {names}.", f"一段{length:.0f}秒的视频：{names}。")
    scene.ask("describe", "video_describe", text, {"text": text}, 0.7)


def _ask_when(scene: Scene, key: str, seconds: float, **slots: str) -> None:
    scene.ask("video_when", key, stamp(seconds), {"seconds": seconds}, 1.3, **slots)


def _ask_chapters(scene: Scene, spans: list[Span]) -> None:
    _events(scene, spans, "video_chapters", "video_chapters", 2.5)
    for start, end, caption in spans:
        if start:
            _ask_when(scene, "video_chapter_when", start, caption=caption)
        middle = stamp((int((start + end) * FPS) // 2) / FPS)
        scene.ask("video_what", "video_what_caption", caption, {"value": caption}, 0.7, time=middle)
    names = listing([caption for *_, caption in spans], scene.language)
    text = scene.say(f"A video with {len(spans)} chapters: {names}.", f"一段有{len(spans)}个章节的视频：{names}。")
    scene.ask("describe", "video_describe", text, {"text": text}, 0.5)
