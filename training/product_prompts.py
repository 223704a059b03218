"""Writes down what the product's own tasks ask, with open slots, for training to ask the same.

    python -m training.product_prompts training/product_prompts.json

The machine that trains lacks what the tasks need, so that it reads the file. Needed again when a task's prompt changes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from qwen3vl.drawn.sample import Language
from qwen3vl.drawn.wording import is_held_out
from qwen3vl.tasks.document_search import heading, page_text
from qwen3vl.tasks.kinds.gui_agent import Platform
from qwen3vl.tasks.registry import TASKS
from qwen3vl.tasks.results import MediaInfo

STEPS = 3  # of a history, at most
PICTURE, CLIP = MediaInfo("image", 448, 448), MediaInfo("video", 160, 128, 8.0)
SCHEMA, NUMBER = {"schema": "[schema]"}, 47  # stand for what fills the slot, where a text cannot

# By the name that `training.product` knows them by: the task and its parameters. The strict form is asked too.
ASKED: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "boxes": ("grounding", {"target": "[what]"}),
    "points": ("grounding", {"target": "[what]", "ask": "points"}),
    "count": ("grounding", {"target": "[things]", "ask": "count"}),
    "relation": ("grounding", {"target": "[first]", "ask": "relation", "reference": "[second]"}),
    "text": ("ocr", {}),
    "lines": ("ocr", {"form": "lines"}),
    "tables": ("tables", {}),
    "fields": ("extract", {}),
    "schema": ("extract", {"preset": "schema", "schema": SCHEMA}),
    "receipt": ("extract", {"preset": "receipt"}),
    "html": ("screenshot_to_code", {}),
    "chart": ("chart_to_code", {"result": "data"}),
    "drawio": ("diagram", {}),
    "events": ("video_events", {}),
    "when": ("video_when", {"what": "[what]"}),
    "when asked": ("video_when", {"what": "[question]?"}),
    "chapters": ("video_summary", {}),
    "chapters at most": ("video_summary", {"most": NUMBER}),
    "documents": ("documents", {"question": "[question]"}),
}


def prompts(language: Language) -> dict[str, Any]:
    """Of each name the instruction; system prompts of the agent by platform and form; what stands around pages.

    What is a held-out wording of the drawn samples is left out.
    """
    agent = TASKS["gui_agent"]
    asked = {name: text for name, text in _instructions(language) if text is not None}
    systems = {}
    for platform in get_args(Platform):
        for form in ("native", "json"):
            params = agent.params(goal="[goal]", platform=platform, form=form)
            systems[f"{platform} {form}"] = agent.prepare(params, [PICTURE], language).messages_system
    goals = []
    for count in range(STEPS + 1):
        params = agent.params(goal="[goal]", history=[f"[step{number}]" for number in range(count)])
        goals.append(agent.prepare(params, [PICTURE], language).instruction)
    page = {
        "heading": heading(NUMBER - 1, language).replace(str(NUMBER), "[number]"),
        "text": page_text("[text]", language),
    }
    return {"asked": asked, "agent": systems, "goals": goals, "page": page}


def _instructions(language: Language) -> Iterator[tuple[str, str | None]]:
    for name, (task, params) in ASKED.items():
        plain = _instruction(task, params, language)
        held_out = is_held_out(plain, language)
        yield name, None if held_out else plain
        if "strict" in TASKS[task].params.model_fields:
            strict = _instruction(task, {**params, "strict": True}, language)
            if strict != plain:
                yield f"{name}, strict", None if held_out else strict


def _instruction(name: str, params: Mapping[str, Any], language: Language) -> str:
    task = TASKS[name]
    media = [CLIP if "video" in task.needs else PICTURE]
    said = task.prepare(task.params(**params), media, language).instruction
    return said.replace(json.dumps(SCHEMA), "[schema]").replace(str(NUMBER), "[most]")


def text() -> str:
    """The content of the file."""
    made = {language: prompts(language) for language in get_args(Language)}
    return json.dumps(made, ensure_ascii=False, indent=1) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.parse_args().out.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
