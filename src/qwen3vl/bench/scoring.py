"""How good one answer is: both it and the reference are read by the parser of their task, and compared.

Every metric of an item is a `Part`; over many items it is the sum of values over the sum of weights. `METRICS` says
what each means; "the larger count" is that of answer or reference, so that too much costs what too little does.
`main_metric` names the one that counts as a task's accuracy. Knows neither engine nor files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from qwen3vl.bench.measures import box_iou, common, contains, edit_distance, match, tags_of
from qwen3vl.tasks.actions import Action, parse_actions
from qwen3vl.tasks.code import find_code
from qwen3vl.tasks.diagrams import Diagram, parse_diagram
from qwen3vl.tasks.events import Event, parse_events, parse_time
from qwen3vl.tasks.fields import parse_fields, parse_number, parse_values
from qwen3vl.tasks.grounding import SCALE, Box, Mark, Point, box_of, parse_marks
from qwen3vl.tasks.tables import parse_table
from qwen3vl.tasks.text_lines import parse_text_lines
from qwen3vl.tasks.thinking import split_thinking

METRICS: Mapping[str, str] = {
    "exact": "the answer is the reference, blanks aside",
    "cer": "characters to change, over characters of the reference",
    "lines": "lines that are exact, over the larger count",
    "number": "the number is right",
    "near": "numbers within 5 % of the reference, over the larger count",
    "iou50": "boxes with IoU above 0.5 and the right label, over the larger count",
    "iou": "mean IoU of the reference's boxes, 0 for one that was not found",
    "hit": "points inside the true box (where none is known: within 5 % of the picture), over the larger count",
    "right": "action, place, element and text are all right; for boxes of text: place and text",
    "action": "the kind of action is right",
    "place": "IoU above 0.5, or for a point: inside the true box, or within 5 % of the reference's point",
    "element": "the text of the element is right",
    "text": "what is typed or pressed, or which way is scrolled or swiped, is right",
    "cells": "cells with the right text, over the larger count",
    "pairs": "names with the right value, over the larger count",
    "tags": "the sequence of HTML tags is the reference's",
    "tag_similarity": "tags in common, over the tags of both",
    "render": "how alike the answer's page and the reference's look in a browser (`tasks/similarity.py`)",
    "nodes": "boxes of the diagram with the right text, over the larger count",
    "edges": "arrows between the right boxes, over the larger count",
    "within_1s": "times right within 1 s (of an event: start, end and description), over the larger count",
    "time_error": "seconds between answer and reference, where the answer has a time",
    "read": "the answer has a time",
    "nll": "negative log-likelihood of the reference answer, per token",
}  # fmt: skip

COSTS = ("cer", "time_error", "nll")  # where less is better

_NEAR = 0.05
_CLOSE = 0.05 * SCALE
_SECOND = 1.0


class Part(NamedTuple):
    """One item's share in a metric."""

    value: float
    weight: float = 1.0


Parts = dict[str, Part]
Scorer = Callable[[str, str, Mapping[str, Any]], Parts]  # answer, reference, truth


def score(task: str, answer: str, reference: str, truth: Mapping[str, Any]) -> Parts:
    """The metrics of one answer. `truth` may be empty; a thought before the answer does not count.

    A task that is not in `TASKS` is scored as plain text. Silence is never right, not even where there is nothing.
    """
    scorer, _ = TASKS.get(task, _PLAIN)
    answer, reference = split_thinking(answer).answer, split_thinking(reference).answer
    parts = scorer(answer, reference, truth)
    if answer or not reference:
        return parts
    return {name: part if name in COSTS else part._replace(value=0.0) for name, part in parts.items()}


def main_metric(task: str) -> str:
    """The metric that counts as the accuracy of a task."""
    return TASKS.get(task, _PLAIN)[1]


def _same(a: str, b: str) -> bool:
    return a.split() == b.split()


def _tidy(text: str) -> str:
    return "\n".join(" ".join(line.split()) for line in text.strip().splitlines())


def _share(hits: float, found: int, wanted: int) -> Part:
    """Hits over the larger of two numbers, so that neither what is missing nor what is too much goes unpunished."""
    return Part(hits, max(found, wanted)) if found or wanted else Part(1.0)


def _text(answer: str, reference: str, truth: Mapping[str, Any]) -> Parts:
    answer, reference = _tidy(answer), _tidy(reference)
    edits = edit_distance(answer, reference)
    return {"exact": Part(_same(answer, reference)), "cer": Part(edits, max(1, len(reference)))}


def _page(answer: str, reference: str, truth: Mapping[str, Any]) -> Parts:
    found, wanted = _tidy(answer).splitlines(), _tidy(reference).splitlines()
    return {**_text(answer, reference, truth), "lines": _share(common(found, wanted), len(found), len(wanted))}


def _count(answer: str, reference: str, truth: Mapping[str, Any]) -> Parts:
    return {"number": Part(parse_number(answer) == parse_number(reference)), "exact": Part(_same(answer, reference))}


def _chart_value(answer: str, reference: str, truth: Mapping[str, Any]) -> Parts:
    found, wanted = parse_number(answer), parse_number(reference)
    return {"near": Part(_is_near(found, wanted)), "number": Part(found == wanted)}


def _chart_values(answer: str, reference: str, truth: Mapping[str, Any]) -> Parts:
    found, wanted = parse_values(answer), parse_values(reference)
    near = sum(_is_near(found.get(name), value) for name, value in wanted.items())
    return {"near": _share(near, len(found), len(wanted)), "exact": Part(found == wanted)}


def _is_near(found: float | None, wanted: float | None) -> bool:
    if found is None or wanted is None:
        return found == wanted
    return abs(found - wanted) <= _NEAR * abs(wanted)


def _boxes(answer: str, reference: str, truth: Mapping[str, Any]) -> Parts:
    found, wanted = (
        [mark for mark in parse_marks(text, SCALE, SCALE) if isinstance(mark, Box)] for text in (answer, reference)
    )
    pairs = match(found, wanted, lambda a, b: box_iou(a, b) * _alike(a, b))
    hits = sum(iou > 0.5 for _, _, iou in pairs)
    parts = {"iou50": _share(hits, len(found), len(wanted))}
    return {**parts, "iou": Part(sum(iou for _, _, iou in pairs), len(wanted))} if wanted else parts


def _points(answer: str, reference: str, truth: Mapping[str, Any]) -> Parts:
    found, wanted = (
        [mark for mark in parse_marks(text, SCALE, SCALE) if isinstance(mark, Point)] for text in (answer, reference)
    )
    boxes = [box_of(point.get("box"), SCALE, SCALE) for point in truth.get("points", ())]
    if len(boxes) != len(wanted):
        boxes = [None] * len(wanted)
    goals = [(point, box) for point, box in zip(wanted, boxes, strict=True)]
    pairs = match(
        [(point, None) for point in found],
        goals,
        lambda a, b: _reaches(a[0], b[0], b[1]) * _alike(a[0], b[0]),
    )
    return {"hit": _share(len(pairs), len(found), len(wanted))}


def _reaches(found: Mark | None, wanted: Mark, box: Box | None) -> bool:
    """Whether a click, or a box, is where it should be."""
    if found is None:
        return False
    if isinstance(wanted, Box):
        if isinstance(found, Box):
            return box_iou(found, wanted) > 0.5
        return contains(wanted, found)
    middle = found if isinstance(found, Point) else Point((found.x1 + found.x2) / 2, (found.y1 + found.y2) / 2)
    if box is not None:
        return contains(box, middle)
    return abs(middle.x - wanted.x) <= _CLOSE and abs(middle.y - wanted.y) <= _CLOSE


def _alike(a: Mark, b: Mark) -> bool:
    return _same(a.label.casefold(), b.label.casefold())


def _action(answer: str, reference: str, truth: Mapping[str, Any]) -> Parts:
    """The first action of each. What the reference's action does not have is not asked for."""
    found = next(iter(parse_actions(answer, SCALE, SCALE)), None)
    wanted = next(iter(parse_actions(reference, SCALE, SCALE)), None)
    if wanted is None:
        return _text(answer, reference, truth)
    parts = {"action": Part(found is not None and found.kind == wanted.kind)}
    if wanted.end is not None:  # of a swipe it matters where to, not where from
        parts["text"] = Part(found is not None and _heading(found) == _heading(wanted))
    elif wanted.target is not None:
        target = found.target if found else None
        parts["place"] = Part(_reaches(target, wanted.target, box_of(truth.get("box"), SCALE, SCALE)))
        if wanted.target.label:
            parts["element"] = Part(target is not None and _same(target.label, wanted.target.label))
    if wanted.text or wanted.direction:
        parts["text"] = Part(found is not None and _said(found) == _said(wanted))
    return {**parts, "right": Part(all(part.value for part in parts.values()))}


def _heading(action: Action) -> str | None:
    """Which way a drag goes, by its longer side."""
    if action.end is None or not isinstance(action.target, Point):
        return None
    across, along = action.end.x - action.target.x, action.end.y - action.target.y
    return ("right" if across > 0 else "left") if abs(across) > abs(along) else ("down" if along > 0 else "up")


def _said(action: Action) -> tuple[list[str], str | None]:
    return action.text.split(), action.direction


def _text_boxes(answer: str, reference: str, truth: Mapping[str, Any]) -> Parts:
    found, wanted = (parse_text_lines(text, SCALE, SCALE) for text in (answer, reference))
    pairs = [(a, b) for a, b, iou in match(found, wanted, box_iou) if iou > 0.5]
    text, reference_text = ("\n".join(box.label for box in boxes) for boxes in (found, wanted))
    return {
        "right": _share(sum(_same(a.label, b.label) for a, b in pairs), len(found), len(wanted)),
        "iou50": _share(len(pairs), len(found), len(wanted)),
        "cer": _text(text, reference_text, truth)["cer"],
    }


def _table(answer: str, reference: str, truth: Mapping[str, Any]) -> Parts:
    found, wanted = (
        {(i, j): cell.split() for i, row in enumerate(parse_table(text)) for j, cell in enumerate(row)}
        for text in (answer, reference)
    )
    equal = sum(found.get(place) == cell for place, cell in wanted.items())
    return {"exact": Part(found == wanted), "cells": _share(equal, len(found), len(wanted))}


def _key_values(answer: str, reference: str, truth: Mapping[str, Any]) -> Parts:
    found, wanted = (
        {name.strip(): value.split() for name, value in parse_fields(text).items()} for text in (answer, reference)
    )
    equal = sum(found.get(name) == value for name, value in wanted.items())
    return {"exact": Part(found == wanted), "pairs": _share(equal, len(found), len(wanted))}


def _html(answer: str, reference: str, truth: Mapping[str, Any]) -> Parts:
    blocks = [(find_code(text, "html"), text) for text in (answer, reference)]
    found, wanted = (block.source if block else text for block, text in blocks)
    tags, reference_tags = tags_of(found), tags_of(wanted)
    return {
        **_text(found, wanted, truth),
        "tags": Part(tags == reference_tags),
        "tag_similarity": Part(2 * common(tags, reference_tags), len(tags) + len(reference_tags)),
    }


def _drawio(answer: str, reference: str, truth: Mapping[str, Any]) -> Parts:
    found, wanted = parse_diagram(answer), parse_diagram(reference)
    nodes, reference_nodes = _node_texts(found), _node_texts(wanted)
    edges, reference_edges = _edge_texts(found), _edge_texts(wanted)
    return {
        "exact": Part(nodes == reference_nodes and edges == reference_edges),
        "nodes": _share((nodes & reference_nodes).total(), nodes.total(), reference_nodes.total()),
        "edges": _share((edges & reference_edges).total(), edges.total(), reference_edges.total()),
    }


def _node_texts(diagram: Diagram) -> Counter[str]:
    return Counter(node.text for node in diagram.nodes)


def _edge_texts(diagram: Diagram) -> Counter[tuple[str, str, str]]:
    names = {node.id: node.text for node in diagram.nodes}
    return Counter((names.get(edge.source, ""), names.get(edge.target, ""), edge.text) for edge in diagram.edges)


def _moment(answer: str, reference: str, truth: Mapping[str, Any]) -> Parts:
    found, wanted = parse_time(answer), parse_time(reference)
    if found is None or wanted is None:
        return {"within_1s": Part(found == wanted), "read": Part(found is not None)}
    error = abs(found - wanted)
    return {"within_1s": Part(error <= _SECOND), "read": Part(1.0), "time_error": Part(error)}


def _events(answer: str, reference: str, truth: Mapping[str, Any]) -> Parts:
    found, wanted = parse_events(answer), parse_events(reference)
    pairs = match(found, wanted, _event_likeness)
    hits = sum(_apart(a, b) <= _SECOND for a, b, _ in pairs)
    parts = {"within_1s": _share(hits, len(found), len(wanted))}
    if pairs:
        errors = sum((abs(a.start - b.start) + abs(a.end - b.end)) / 2 for a, b, _ in pairs)
        parts["time_error"] = Part(errors, len(pairs))
    return parts


def _event_likeness(a: Event, b: Event) -> float:
    return 1 / (1 + _apart(a, b)) if _same(a.text.casefold(), b.text.casefold()) else 0.0


def _apart(a: Event, b: Event) -> float:
    return max(abs(a.start - b.start), abs(a.end - b.end))


_PLAIN: tuple[Scorer, str] = (_text, "exact")

TASKS: Mapping[str, tuple[Scorer, str]] = {
    "count": (_count, "number"),
    "boxes": (_boxes, "iou50"),
    "points": (_points, "hit"),
    **dict.fromkeys(("gui_click", "gui_type", "gui_scroll", "gui_key", "gui_done"), (_action, "right")),
    "ocr_page": (_page, "lines"),
    "ocr_boxes": (_text_boxes, "right"),
    "table_html": (_table, "exact"),
    "key_values": (_key_values, "pairs"),
    "html": (_html, "tags"),
    "drawio": (_drawio, "exact"),
    "chart_values": (_chart_values, "near"),
    "chart_value": (_chart_value, "near"),
    "video_events": (_events, "within_1s"),
    "video_chapters": (_events, "within_1s"),
    "video_when": (_moment, "within_1s"),
    **dict.fromkeys(
        (
            "describe", "color", "relation", "ocr_line", "table_cell", "table_lookup", "form_value", "receipt_total",
            "chart_which", "diagram_next", "video_what", "pages_question", "greet", "out_of_scope", "no_picture",
            "chat", "text",
        ),
        _PLAIN,
    ),
}  # fmt: skip
