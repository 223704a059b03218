"""All tasks, by name, in the order in which a page offers them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from qwen3vl.tasks.base import Task
from qwen3vl.tasks.kinds.chat import Chat
from qwen3vl.tasks.kinds.code import ChartToCode, ScreenshotToCode
from qwen3vl.tasks.kinds.diagram import DiagramTask
from qwen3vl.tasks.kinds.documents import Documents
from qwen3vl.tasks.kinds.extract import Extract
from qwen3vl.tasks.kinds.grounding import GroundingTask
from qwen3vl.tasks.kinds.gui_agent import GuiAgent
from qwen3vl.tasks.kinds.ocr import Ocr
from qwen3vl.tasks.kinds.tables import Tables
from qwen3vl.tasks.kinds.video import VideoEvents, VideoSummary, VideoWhen

_ALL: tuple[Task[Any], ...] = (
    *(
        Chat(),
        GuiAgent(),
        GroundingTask(),
        Ocr(),
        Tables(),
        Extract(),
        ScreenshotToCode(),
        ChartToCode(),
        DiagramTask(),
    ),
    *(VideoEvents(), VideoWhen(), VideoSummary(), Documents()),
)
TASKS: Mapping[str, Task[Any]] = MappingProxyType({task.name: task for task in _ALL})
