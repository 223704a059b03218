"""Where things are: boxes, points, numbers, relations, and boxes in space."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from qwen3vl.engine.grammar import Grammar
from qwen3vl.tasks.base import Language, StrictParams, Task, TaskRequest, Words, param, words
from qwen3vl.tasks.kinds.shared import (
    BOX,
    LABEL,
    POINT,
    list_of,
    marks_in,
    numbered,
    object_of,
    which_picture,
    without_fence,
)
from qwen3vl.tasks.results import MediaInfo, SpaceMark, TaskResult
from qwen3vl.tasks.space import Camera, SpaceBox, parse_space_boxes, project

Ask = Literal["boxes", "points", "count", "relation", "boxes_3d"]

_ASK: Mapping[Ask, Words] = {
    "boxes": words(
        "Locate {what} in the picture and give the bounding boxes in JSON, as bbox_2d and label.{more}",
        "找出图中的{what}，用 JSON 给出边界框，每项包含 bbox_2d 和 label。{more}",
    ),
    "points": words(
        "Point to {what} in the picture. Give the points in JSON, as point_2d and label.{more}",
        "指出图中的{what}，用 JSON 给出点坐标，每项包含 point_2d 和 label。{more}",
    ),
    "count": words("How many {what} are there? Answer with the number.", "图中有多少个{what}？只回答数字。"),
    "relation": words("Where is {what} relative to {other}?", "{what}在{other}的什么位置？"),
    "boxes_3d": words(
        "Find {what} in this image. For each, provide its 3D bounding box. The output format required is JSON: "
        '`[{{"bbox_3d":[x_center, y_center, z_center, x_size, y_size, z_size, roll, pitch, yaw],'
        '"label":"category"}}]`.',
        "找出图中的{what}，给出每一个的三维边界框，输出 JSON："
        '`[{{"bbox_3d":[x_center, y_center, z_center, x_size, y_size, z_size, roll, pitch, yaw],"label":"类别"}}]`。',
    ),
}
_COUNT = re.compile(r"(?<![\d.,])\d{1,6}(?![\d]|[.,]\d)")
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_WORDS = {w: n for n, w in enumerate(_NUMBERS)}
_WORDS |= {w: n for n, w in enumerate("零一二三四五六七八九十")} | {"两": 2}


class GroundingParams(StrictParams):
    target: str = param(
        ...,
        ("What to find", "Things or one thing, in your words."),
        ("找什么", "想要找的东西，用自己的话说。"),
        min_length=1,
    )
    ask: Ask = param(
        "boxes",
        ("Answer", "Boxes, points, how many, where relative to something else, or boxes in space."),
        ("结果", "框、点、数量、相对另一物体的位置，或三维框。"),
    )
    reference: str = param(
        "",
        ("Relative to", "For a relation: the other thing."),
        ("参照物", "询问相对位置时的另一个物体。"),
    )
    fx: float | None = param(
        None, ("Focal length x", "For 3-D: of the camera, in pixels."), ("焦距 x", "三维框：相机焦距，单位像素。"), gt=0
    )
    fy: float | None = param(
        None, ("Focal length y", "For 3-D; the same as x if left out."), ("焦距 y", "三维框；不填则与 x 相同。"), gt=0
    )
    cx: float | None = param(
        None, ("Centre x", "For 3-D; the middle if left out."), ("主点 x", "三维框；不填则为图片中心。")
    )
    cy: float | None = param(
        None, ("Centre y", "For 3-D; the middle if left out."), ("主点 y", "三维框；不填则为图片中心。")
    )


class GroundingTask(Task[GroundingParams]):
    name = "grounding"
    titles = words("Find things", "定位")
    summaries = words(
        "Boxes or points on the picture, counts, relative positions, and boxes in space.",
        "在图上标出框或点，计数，判断相对位置，给出三维框。",
    )
    accepts = frozenset({"text", "image"})
    needs = frozenset({"image"})
    text_param = "target"
    params = GroundingParams

    def _ask(self, params: GroundingParams, media: Sequence[MediaInfo], language: Language) -> TaskRequest:
        other = params.reference or words("the picture", "整张图片")[language]
        more = which_picture(media, language)
        instruction = _ASK[params.ask][language].format(what=params.target, other=other, more=more)
        grammar = _grammar(params.ask, media) if params.strict else None
        instruction += without_fence(grammar is not None and params.ask != "count", language)
        options: dict[str, Any] = {"logprobs": 0, "stop_loops": True}
        if params.ask != "relation":
            options |= {"temperature": 0.0, "presence_penalty": 0.0}
        return TaskRequest(None, instruction, grammar, options)

    def _read(self, answer: str, whole: bool, params: GroundingParams, media: Sequence[MediaInfo]) -> TaskResult:
        if params.ask == "boxes_3d":
            info = media[0] if media else MediaInfo("image", 1000, 1000)
            camera = _camera(params, info)
            return TaskResult(text=answer, marks=[_in_space(box, camera) for box in parse_space_boxes(answer)])
        marks = marks_in(answer, media)
        count = _count(answer, len(marks)) if whole and params.ask == "count" else None
        found = marks or count is not None or params.ask == "relation"
        warnings = [] if found or not whole else ["nothing was found in the answer"]
        return TaskResult(
            text=answer, marks=list(marks), data=None if count is None else {"count": count}, warnings=warnings
        )


def _grammar(ask: Ask, media: Sequence[MediaInfo]) -> Grammar | None:
    if ask == "relation":
        return None  # an answer in words
    if ask == "count":
        return Grammar("regex", r"\d{1,4}")
    if ask == "boxes_3d":
        size = {"type": "number", "exclusiveMinimum": 0, "maximum": 1000}
        place, turn = ({"type": "number", "minimum": -m, "maximum": m} for m in (1000, 2))
        nine = {"type": "array", "prefixItems": [place] * 3 + [size] * 3 + [turn] * 3, "items": False, "minItems": 9}
        return Grammar.json_schema(list_of(object_of({"bbox_3d": nine, "label": LABEL})))
    where = {"bbox_2d": BOX} if ask == "boxes" else {"point_2d": POINT}
    return Grammar.json_schema(list_of(object_of(numbered({**where, "label": LABEL}, media))))


def _count(answer: str, marks: int) -> int | None:
    """The first number of the answer, in digits or as a word; else as many as it has marked."""
    if marks:
        return marks
    if digits := _COUNT.search(answer):
        return int(digits[0])
    spoken = re.findall(r"[a-z]+|[零一二两三四五六七八九十]", re.sub("一共|一些|一起", "", answer.lower()))
    return next((_WORDS[word] for word in spoken if word in _WORDS), None)


def _camera(params: GroundingParams, info: MediaInfo) -> Camera:
    guess = Camera.guess(info.width, info.height)
    fx = params.fx or params.fy or guess.fx
    cx, cy = params.cx, params.cy
    return Camera(fx, params.fy or fx, guess.cx if cx is None else cx, guess.cy if cy is None else cy)


def _in_space(box: SpaceBox, camera: Camera) -> SpaceMark:
    return SpaceMark(label=box.label, center=box.center, size=box.size, angles=box.angles, corners=project(box, camera))
