"""What two answers differ by: edits between texts, overlap of boxes, a matching of lists, tags of two documents.

Plain numbers in, plain numbers out; knows no tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from html.parser import HTMLParser
from typing import TypeVar

from qwen3vl.tasks.grounding import Box, Point

_A = TypeVar("_A")


def edit_distance(a: str, b: str) -> int:
    """The fewest insertions, deletions and replacements of one character that make `a` into `b` (Levenshtein).

    A column of the usual table is two big integers of vertical differences (Myers 1999, in Hyyrö's form).
    """
    if not a:
        return len(b)
    places: dict[str, int] = {}
    for i, character in enumerate(a):
        places[character] = places.get(character, 0) | 1 << i
    every, last = (1 << len(a)) - 1, 1 << (len(a) - 1)
    up, down, distance = every, 0, len(a)  # where the table rises and falls by one from row to row
    for character in b:
        equal = places.get(character, 0)
        diagonal = (((equal & up) + up) ^ up) | equal | down
        rises, falls = (down | ~(diagonal | up)) & every, up & diagonal
        distance += bool(rises & last) - bool(falls & last)
        rises, falls = (rises << 1 | 1) & every, (falls << 1) & every
        up, down = (falls | ~(diagonal | rises)) & every, rises & diagonal
    return distance


def box_iou(a: Box, b: Box) -> float:
    """Intersection over union; 0 for boxes without area."""
    width = max(0.0, min(a.x2, b.x2) - max(a.x1, b.x1))
    height = max(0.0, min(a.y2, b.y2) - max(a.y1, b.y1))
    union = (a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1) - width * height
    return width * height / union if union > 0 else 0.0


def contains(box: Box, point: Point) -> bool:
    return box.x1 <= point.x <= box.x2 and box.y1 <= point.y <= box.y2


def match(found: Sequence[_A], wanted: Sequence[_A], likeness: Callable[[_A, _A], float]) -> list[tuple[_A, _A, float]]:
    """Pairs one to one, the most alike first; those with a likeness of 0 are no pair."""
    pairs = [(likeness(f, w), i, j) for i, f in enumerate(found) for j, w in enumerate(wanted)]
    matched: list[tuple[_A, _A, float]] = []
    used_found: set[int] = set()
    used_wanted: set[int] = set()
    for alike, i, j in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        if alike > 0 and i not in used_found and j not in used_wanted:
            used_found.add(i)
            used_wanted.add(j)
            matched.append((found[i], wanted[j], alike))
    return matched


def tags_of(document: str) -> list[str]:
    """The tags of an HTML document in order, as `p` and `/p`; a void element gives one."""
    lister = _TagLister()
    lister.feed(document)
    lister.close()
    return lister.tags


def common(a: Sequence[str], b: Sequence[str]) -> int:
    """How many items two sequences share in the same order, longest runs first."""
    blocks = SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks)


class _TagLister(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(f"/{tag}")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
