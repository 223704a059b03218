"""Diagrams to edit: Draw.io, Mermaid or SVG from a picture of one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from qwen3vl.tasks.base import Language, Task, TaskParams, TaskRequest, Words, param, words
from qwen3vl.tasks.code import find_code
from qwen3vl.tasks.diagrams import parse_diagram
from qwen3vl.tasks.drawio import repair_drawio
from qwen3vl.tasks.results import DiagramDocument, DiagramEdge, DiagramNode, MediaInfo, TaskResult

Form = Literal["drawio", "mermaid", "svg"]

_ASK: Mapping[Form, Words] = {
    "drawio": words("Convert this diagram to Draw.io XML.", "把这个图转成 Draw.io XML。"),
    "mermaid": words("Convert this diagram to Mermaid code.", "把这个图转成 Mermaid 代码。"),
    "svg": words("Convert this picture to SVG code.", "把这张图转成 SVG 代码。"),
}
_SVG = re.compile(r"<svg\b.*</svg\s*>", re.IGNORECASE | re.DOTALL)
_MERMAID = re.compile(
    r"^\s*(?:%%.*\n\s*)*(?:graph|flowchart|sequenceDiagram|classDiagram|stateDiagram(?:-v2)?|erDiagram|gantt|pie|mindmap"
    r"|journey|timeline|gitGraph|quadrantChart|C4Context)\b",
)
_NAMESPACE = ' xmlns="http://www.w3.org/2000/svg"'


class DiagramParams(TaskParams):
    form: Form = param("drawio", ("Format", "Draw.io, Mermaid or SVG."), ("格式", "Draw.io、Mermaid 或 SVG。"))


class DiagramTask(Task[DiagramParams]):
    name = "diagram"
    titles = words("Diagram", "图表转换")
    summaries = words(
        "Turns a picture of a diagram into a Draw.io, Mermaid or SVG file to edit.",
        "把图示转成可编辑的 Draw.io、Mermaid 或 SVG 文件。",
    )
    accepts = frozenset({"text", "image", "document"})
    needs = frozenset({"image", "document"})
    params = DiagramParams

    def _ask(self, params: DiagramParams, media: Sequence[MediaInfo], language: Language) -> TaskRequest:
        options = {"temperature": 0.0, "presence_penalty": 0.0, "stop_loops": True}
        return TaskRequest(None, _ASK[params.form][language], options=options)

    def _read(self, answer: str, whole: bool, params: DiagramParams, media: Sequence[MediaInfo]) -> TaskResult:
        if not whole:
            return TaskResult(text=answer)  # a document is one thing, finished with its last tag
        found, warnings = {"drawio": _drawio, "mermaid": _mermaid, "svg": _svg}[params.form](answer)
        if found is None:
            warnings = [*warnings, f"no {params.form} diagram was found in the answer"]
        return TaskResult(text=answer, diagrams=[found] if found else [], warnings=warnings)


def _drawio(answer: str) -> tuple[DiagramDocument | None, list[str]]:
    code = find_code(answer, "xml")
    source, warnings = repair_drawio(code.source if code else answer)
    if not source:
        return None, []
    diagram = parse_diagram(source)
    nodes = [DiagramNode(id=node.id, text=node.text, box=node.box) for node in diagram.nodes]
    edges = [DiagramEdge(source=edge.source, target=edge.target, text=edge.text) for edge in diagram.edges]
    if code is not None and not code.closed:
        warnings = [*warnings, "the diagram is cut off; what was finished is kept"]
    return DiagramDocument(format="drawio", source=source, nodes=nodes, edges=edges), warnings


def _mermaid(answer: str) -> tuple[DiagramDocument | None, list[str]]:
    code = find_code(answer, "mermaid")
    source = code.source if code else answer
    if not _MERMAID.match(source):
        return None, []
    return DiagramDocument(format="mermaid", source=source.strip() + "\n"), []


def _svg(answer: str) -> tuple[DiagramDocument | None, list[str]]:
    """The markup as it is: whoever shows it must treat it as a page of a stranger."""
    found = _SVG.search(answer)
    if found is None:
        return None, []
    source = found[0]
    if "xmlns=" not in source.partition(">")[0]:
        source = source[:4] + _NAMESPACE + source[4:]
    return DiagramDocument(format="svg", source=source + "\n"), []
