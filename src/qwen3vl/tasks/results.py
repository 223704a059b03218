"""Typed results of tasks: what an answer says, in places that a page can draw and a program can use.

Places are in pixels of the picture as it was sent, and in 0..1000 of its sides, as the models write them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from qwen3vl.tasks.exports import Export, exports_of
from qwen3vl.tasks.grounding import SCALE, Box, Mark, Point
from qwen3vl.tasks.quotes import QuotedPage

TextSource = Literal["layer", "model", "none"]


@dataclass(frozen=True)
class Sheet:
    """That the model is shown a page. `source`: where the text came from that went along: the document's own layer, a
    model that has read the page, or nowhere. `layer`: the layer's characters with their places.
    """

    source: TextSource = "none"
    layer: QuotedPage | None = None


@dataclass(frozen=True)
class MediaInfo:
    """A medium of the question, in its original size: a picture, a video, or one page of a document.

    Of a document that is too long to be shown whole, the pages that are shown have a `sheet`.
    """

    kind: Literal["image", "video", "document"]
    width: int  # pixels
    height: int
    duration: float | None = None  # seconds of a video
    page: int | None = None  # of a document, from 1
    name: str = ""
    file: int = 0  # of the question, from 0
    sheet: Sheet | None = None


class _Item(BaseModel):
    model_config = ConfigDict(frozen=True)


class BoxMark(_Item):
    """A rectangle x1, y1, x2, y2 in medium number `picture` (from 0)."""

    kind: Literal["box"] = "box"
    picture: int = 0
    label: str = ""
    pixels: tuple[float, float, float, float]
    relative: tuple[float, float, float, float]
    confidence: float | None = None


class PointMark(_Item):
    """A position x, y in medium number `picture`."""

    kind: Literal["point"] = "point"
    picture: int = 0
    label: str = ""
    pixels: tuple[float, float]
    relative: tuple[float, float]
    confidence: float | None = None


class SpaceMark(_Item):
    """A box in space: metres from the camera (x right, y down, z ahead), sizes, degrees about x, y and z; and where its
    eight corners are in the picture, None for one behind the camera.
    """

    kind: Literal["box_3d"] = "box_3d"
    picture: int = 0
    label: str = ""
    center: tuple[float, float, float]
    size: tuple[float, float, float]
    angles: tuple[float, float, float]
    corners: list[tuple[float, float] | None]
    confidence: float | None = None


AnyMark = Annotated[BoxMark | PointMark | SpaceMark, Field(discriminator="kind")]


class Step(_Item):
    """What an agent does next on the screen. `confidence` is the geometric mean of the probabilities that the model
    gave the tokens of the action, its text and its coordinates; None without log-probabilities.
    """

    kind: Literal["action"] = "action"
    action: str
    target: Annotated[BoxMark | PointMark, Field(discriminator="kind")] | None = None
    end: PointMark | None = None
    text: str = ""
    direction: str | None = None
    amount: float | None = None
    reason: str = ""
    confidence: float | None = None


class Table(_Item):
    kind: Literal["table"] = "table"
    rows: list[list[str]]


class TableRow(_Item):
    """A finished row of table number `table`, while that is being written."""

    kind: Literal["row"] = "row"
    table: int
    cells: list[str]


class NamedValue(_Item):
    """One field of a form, value of a chart or entry of JSON; names of nested objects are joined by dots."""

    kind: Literal["field"] = "field"
    name: str
    value: str


class CodeBlock(_Item):
    kind: Literal["code"] = "code"
    language: str
    source: str
    closed: bool  # false: it was cut off


class DiagramNode(_Item):
    id: str
    text: str
    box: tuple[float, float, float, float] | None  # in the diagram's own units


class DiagramEdge(_Item):
    source: str
    target: str
    text: str


class DiagramDocument(_Item):
    """A diagram that its program opens: `source` is repaired where the model's was not valid."""

    kind: Literal["diagram"] = "diagram"
    format: Literal["drawio", "mermaid", "svg"]
    source: str
    nodes: list[DiagramNode] = Field(default_factory=list)
    edges: list[DiagramEdge] = Field(default_factory=list)


class TimedEvent(_Item):
    """From `start` to `end` seconds, inside the clip; both are the same for a moment."""

    kind: Literal["event"] = "event"
    start: float
    end: float
    text: str
    title: str = ""


class Citation(_Item):
    """Where an answer about a document stands: the page (from 1, in file number `file` of the question), its words, and
    their place in the page, which is medium number `picture` of the question.

    `exact`: the words were found in the document's own text; `lines` are then where each of their lines stands, and
    `box` is around them. Else `box` is what the model says.
    """

    kind: Literal["citation"] = "citation"
    page: int
    file: int = 0
    picture: int = 0
    quote: str = ""
    box: BoxMark | None = None
    lines: list[BoxMark] = Field(default_factory=list)
    exact: bool = False


class SeenPage(_Item):
    """A page that the model was shown, numbered like a citation's; `text`: where the text came from that went along."""

    page: int
    file: int = 0
    picture: int = 0
    text: TextSource = "none"


Item = (
    BoxMark | PointMark | SpaceMark | Step | TableRow | NamedValue | CodeBlock | DiagramDocument | TimedEvent | Citation
)


class TaskResult(BaseModel):
    """What one answer says. Lists that the task does not fill are empty."""

    text: str  # the answer, without its thought
    thinking: str = ""
    marks: list[AnyMark] = Field(default_factory=list)
    actions: list[Step] = Field(default_factory=list)
    tables: list[Table] = Field(default_factory=list)
    fields: list[NamedValue] = Field(default_factory=list)
    data: Any = None  # the answer's JSON, where JSON is what was asked for
    code: list[CodeBlock] = Field(default_factory=list)
    diagrams: list[DiagramDocument] = Field(default_factory=list)
    events: list[TimedEvent] = Field(default_factory=list)
    pages: list[Citation] = Field(default_factory=list)
    seen: list[SeenPage] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)

    def items(self) -> Iterator[tuple[str, int, Item]]:
        """Everything found: the list it belongs to, its number there, and it."""
        for name in ("marks", "actions", "fields", "code", "diagrams", "events", "pages"):
            for number, item in enumerate(getattr(self, name)):
                yield name, number, item
        rows = (TableRow(table=i, cells=cells) for i, table in enumerate(self.tables) for cells in table.rows)
        for number, row in enumerate(rows):
            yield "rows", number, row

    def exports(self, name: str = "answer") -> dict[str, Export]:
        """Files to download, by what they are: markdown and json always, csv, html, drawio, srt ... where there is
        something to put into them. `name` is what the files are called.
        """
        return exports_of(self, name)


def placed(mark: Mark, picture: int, media: Sequence[MediaInfo]) -> BoxMark | PointMark:
    """A mark in 0..1000 as one of medium number `picture`, which counts as 1000 x 1000 pixels if it is not there."""
    width, height = (media[picture].width, media[picture].height) if 0 <= picture < len(media) else (SCALE, SCALE)
    x, y = width / SCALE, height / SCALE
    if isinstance(mark, Box):
        return BoxMark(
            picture=picture,
            label=mark.label,
            pixels=(mark.x1 * x, mark.y1 * y, mark.x2 * x, mark.y2 * y),
            relative=(mark.x1, mark.y1, mark.x2, mark.y2),
        )
    return placed_point(mark, picture, x, y)


def placed_point(point: Point, picture: int, x: float, y: float) -> PointMark:
    """`x`, `y`: pixels for one of the thousand parts."""
    return PointMark(picture=picture, label=point.label, pixels=(point.x * x, point.y * y), relative=(point.x, point.y))
