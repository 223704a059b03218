"""The shapes of a video: when each is on screen, where it stands, how it moves or grows. No two ever overlap."""

from __future__ import annotations

from dataclasses import dataclass

from qwen3vl.drawn.canvas import Canvas, Color
from qwen3vl.drawn.sample import Language
from qwen3vl.drawn.scene import Scene
from qwen3vl.drawn.things import COLORS, LEAST_RADIUS, SHAPES, seen_on, shade, thing_name

SMALLEST, LARGEST = 12, 24  # pixels of radius
SHORTEST_WAY = 0.4  # of the room that there is
MARGIN = 2
TRIES = 60


@dataclass(frozen=True)
class Actor:
    """A shape that is on screen in the frames [first, last), and does one thing throughout: `act` is a direction of its
    movement, "grows", "shrinks" or "stands". It goes from one place to another; a place is x, y and radius."""

    shape: str
    color: str
    fill: Color
    first: int
    last: int
    act: str
    start: tuple[int, int, int]
    end: tuple[int, int, int]

    def name(self, language: Language) -> str:
        return thing_name(self.color, self.shape, language)

    def place(self, frame: int) -> tuple[int, int, int]:
        share = (frame - self.first) / max(1, self.last - self.first - 1)
        x, y, radius = (round(a + share * (b - a)) for a, b in zip(self.start, self.end, strict=True))
        return x, y, radius


def cast(scene: Scene, canvas: Canvas, frames: int, acts: str, count: int) -> list[Actor]:
    """One to `count` actors in the order of their first frames, no two of one kind and colour."""
    rng, (width, height) = scene.rng, canvas.size
    across = rng.random() < 0.5  # which way all lanes run
    lanes = count if "move" in acts else 1
    actors: list[Actor] = []
    for _ in range(TRIES):
        if len(actors) == count:
            break
        shape, color = rng.choice(list(SHAPES)), rng.choice(seen_on(canvas.background))
        if any((shape, color) == (actor.shape, actor.color) for actor in actors):
            continue
        lane = len(actors) if lanes > 1 else 0
        room = (height if across else width) // lanes
        least = LEAST_RADIUS.get(shape, SMALLEST)
        largest = min(LARGEST, room // 2 - MARGIN - 1)
        if least > largest:
            continue
        radius = rng.randint(least, largest)
        moves = acts == "move" or (acts == "move and stand" and (not actors or rng.random() < 0.4))
        act, start, end = _way(scene, canvas, radius, least, across, (room * lane, room), acts == "grow", moves)
        if all(lanes > 1 or _apart(start, end, actor) for actor in actors):
            first = rng.randint(2, frames - 4) if rng.random() < 0.7 else 0
            last = rng.randint(first + 3, frames - 1) if rng.random() < 0.5 else frames
            actors.append(Actor(shape, color, shade(scene, COLORS[color][0]), first, last, act, start, end))
    return sorted(actors, key=lambda actor: (actor.first, actor.last, actor.start))


def _way(
    scene: Scene,
    canvas: Canvas,
    radius: int,
    least: int,
    across: bool,
    lane: tuple[int, int],
    grows: bool,
    moves: bool,
) -> tuple[str, tuple[int, int, int], tuple[int, int, int]]:
    """What an actor does, and the places where it starts and ends. `lane` is the lane's first pixel and its width."""
    rng, edge = scene.rng, radius + MARGIN
    length = (canvas.width if across else canvas.height) - 2 * edge - 1
    aside = rng.randint(lane[0] + edge, max(lane[0] + edge, lane[0] + lane[1] - edge - 1))
    from_, to = sorted((rng.random(), rng.random()))
    if to - from_ < SHORTEST_WAY:
        from_, to = 0.0, 1.0
    if not moves:
        to = from_
    backwards = rng.random() < 0.5
    a, b = (edge + round(share * length) for share in ((to, from_) if backwards else (from_, to)))
    start, end = ((a, aside, radius), (b, aside, radius)) if across else ((aside, a, radius), (aside, b, radius))
    if moves:
        return (("left" if backwards else "right") if across else ("up" if backwards else "down")), start, end
    if grows and radius >= 1.5 * least:
        small = (*start[:2], least)
        return ("grows", small, start) if rng.random() < 0.5 else ("shrinks", start, small)
    return "stands", start, end


def _apart(start: tuple[int, int, int], end: tuple[int, int, int], other: Actor) -> bool:
    """Whether two that stay in their places never touch."""
    radius, reach = max(start[2], end[2]), max(other.start[2], other.end[2])
    return max(abs(start[0] - other.start[0]), abs(start[1] - other.start[1])) > radius + reach + 4
