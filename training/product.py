"""A share of the drawn conversations as the product's tasks would hold them: asked in their words, answered in the form
that their readers read.

What the tasks say stands in `product_prompts.json`. Knows nothing of pixels.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from qwen3vl.drawn import wording
from qwen3vl.drawn.sample import Language, Sample, Turn
from qwen3vl.drawn.scene import fenced_json

PROMPTS = Path(__file__).with_name("product_prompts.json")

# How many samples with an action are asked as the agent asks. Its tool call was the form that got worst answers.
AGENT: Mapping[str, float] = {"tool_call": 0.24, "json": 0.1}
OTHERS = 0.1  # of all other samples
WEAK: Mapping[str, float] = {"pages": 0.3, "video": 0.15}  # of these kinds instead
STRICT = 0.5  # how many of those that can be are asked for the JSON alone
HISTORY = 0.4  # how many goals come with steps that are done
PAGES = 0.4  # how many forms are asked as pages of a document
AS_RECEIPT = 0.5  # how many receipts are asked by the schema for them
BY_SCHEMA = 0.6  # how many other documents are asked by a schema
AT_MOST = 0.4  # how many chapters come with a bound
WITH_TEXT = 0.3  # how many documents bring their text along, as files with a text of their own do
MOST_PROPERTIES = 5

_SLOT = re.compile(r"\[([a-z]+\d?)\]")
_SAID: Mapping[str, tuple[str, str]] = {
    "click": ("click", "点击"),
    "type": ("type", "输入"),
    "scroll": ("scroll", "滚动"),
    "key": ("press", "按键"),
    "done": ("done", "完成"),
}
_MOMENTS: Mapping[str, tuple[str, str]] = {
    "video_appear": ("the [thing] appears", "[thing]出现"),
    "video_disappear": ("the [thing] disappears", "[thing]消失"),
    "video_chapter_when": ('the text "[caption]" appears', "文字“[caption]”出现"),
}


def asked_by_product(rng: random.Random, sample: Sample) -> Sample:
    """The sample, most often as it is, else with its first turns as a task's."""
    if sample.thinking or sample.kind == "none":
        return sample
    actions = tuple(turn for turn in sample.turns if "form" in turn.truth)
    if actions and rng.random() < AGENT[actions[0].truth["form"]]:
        return _as_agent(rng, sample, actions)
    if rng.random() >= WEAK.get(sample.kind, OTHERS):
        return sample
    about_pages = bool(sample.texts) and (sample.kind == "pages" or rng.random() < PAGES)
    table = _VIDEO_TASKS if sample.kind == "video" else _PAGE_TASKS if about_pages else _TASKS
    asked = [(turn, _as_task(rng, turn, table)) for turn in sample.turns if turn not in actions]
    tasks = [turn for _, turn in asked if turn is not None]
    if not tasks:
        return sample
    others = [turn for turn, task in asked if task is None]
    around = _around_pages(rng, sample, tasks[0].language) if about_pages else ()
    return replace(sample, turns=(*tasks, *others), system=None, around=around)


@cache
def _prompts(language: Language) -> Mapping[str, Any]:
    content: Mapping[str, Any] = json.loads(PROMPTS.read_text(encoding="utf-8"))[language]
    return content


def _fill(text: str, slots: Mapping[str, str]) -> str:
    return _SLOT.sub(lambda match: slots[match[1]], text)


def _as_agent(rng: random.Random, sample: Sample, actions: tuple[Turn, ...]) -> Sample:
    """The actions alone, as the task's goals, some with steps that are done: what other goals asked for."""
    language, native = actions[0].language, actions[0].truth["form"] == "tool_call"
    prompts, form = _prompts(language), "native" if native else "json"
    platform = "phone" if actions[0].truth["tool"] == "mobile_use" else rng.choice(("desktop", "web"))
    asked = []
    for turn in actions:
        goal = wording.phrase(rng, turn.key, language, "train", {**turn.slots, "after": ""})
        why = turn.slots["why"]
        done = sorted({other.slots["why"] for other in actions} - {why})
        done = rng.sample(done, min(len(done), rng.randint(1, 3))) if rng.random() < HISTORY else []
        steps = {f"step{number}": step for number, step in enumerate(done)}
        answer = turn.answer
        if native:
            said = _SAID[turn.truth["action"]][language == "zh"]
            answer = f'Thought: {why}\nAction: "{said}"\n{answer}'
        question = _fill(prompts["goals"][len(done)], {"goal": goal, **steps})
        asked.append(replace(turn, question=question, answer=answer))
    return replace(sample, turns=tuple(asked), system=prompts["agent"][f"{platform} {form}"])


def _as_task(rng: random.Random, turn: Turn, table: Mapping[str, Make]) -> Turn | None:
    """The turn as a task of `table` asks it; None if none does, or only in words that are held out."""
    make = table.get(turn.key)
    made = make(rng, turn) if make else None
    if made is None:
        return None
    name, answer, asked = made.name, made.answer, _prompts(turn.language)["asked"]
    if f"{name}, strict" in asked and rng.random() < STRICT:
        name, answer = f"{name}, strict", _bare(made.strict or answer)
    if name not in asked:
        return None
    return replace(turn, question=_fill(asked[name], made.slots), answer=answer)


def _bare(answer: str) -> str:
    """JSON without its fence."""
    return answer.removeprefix("```json\n").removesuffix("\n```")


class Made(NamedTuple):
    """The name of a prompt, what fills its slots, the answer, and the one to the strict form if that is another."""

    name: str
    slots: Mapping[str, str]
    answer: str
    strict: str | None = None


Make = Callable[[random.Random, Turn], Made | None]


def _same(name: str) -> Make:
    """A task that is answered as the drawn question is."""
    return lambda rng, turn: Made(name, turn.slots, turn.answer)


def _relation(rng: random.Random, turn: Turn) -> Made:
    the = "the " if turn.language == "en" and rng.random() < 0.7 else ""
    slots = {name: the + turn.slots[name] for name in ("first", "second")}
    return Made("relation", slots, turn.answer)


def _fields(rng: random.Random, turn: Turn) -> Made:
    if "record" in turn.slots and rng.random() < AS_RECEIPT:
        return Made("receipt", {}, turn.slots["record"])
    if rng.random() >= BY_SCHEMA:
        return Made("fields", {}, turn.answer)
    fields: Mapping[str, str] = turn.truth["fields"]
    names = rng.sample(list(fields), rng.randint(1, min(MOST_PROPERTIES, len(fields))))
    schema: dict[str, Any] = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
    if rng.random() < 0.5:
        schema["required"] = names
    answer = json.dumps({name: fields[name] for name in names}, ensure_ascii=False)
    return Made("schema", {"schema": json.dumps(schema, ensure_ascii=False)}, answer)


def _when(rng: random.Random, turn: Turn) -> Made:
    """A moment; the strict form has it as an event, whether it is asked or named."""
    what = _fill(_MOMENTS[turn.key][turn.language == "zh"], turn.slots)
    event = fenced_json([{"start": turn.answer, "end": turn.answer, "description": what}])
    if turn.question[-1] in "?？" and rng.random() < 0.5:
        return Made("when asked", {"question": turn.question[:-1]}, turn.answer, event)
    return Made("when", {"what": what}, turn.answer, event)


def _chapters(rng: random.Random, turn: Turn) -> Made:
    events = json.loads(_bare(turn.answer))
    for event in events:
        caption = event.pop("description")
        summary = f"画面上写着“{caption}”。" if turn.language == "zh" else f'The text "{caption}" is shown.'
        event |= {"title": caption, "summary": summary}
    if rng.random() >= AT_MOST:
        return Made("chapters", {}, fenced_json(events))
    most = len(events) + rng.randint(0, 3)
    return Made("chapters at most", {"most": str(most)}, fenced_json(events))


def _document(rng: random.Random, turn: Turn) -> Made | None:
    if turn.place is None:
        return None
    said = turn.answer if turn.key == "page_of_value" else turn.truth["value"]
    source = {"page": turn.truth.get("page", 1), "quote": turn.truth["value"], "bbox_2d": turn.place}
    answer = json.dumps({"answer": said, "citations": [source]}, ensure_ascii=False)
    return Made("documents", {"question": turn.question}, answer)


def _around_pages(rng: random.Random, sample: Sample, language: Language) -> tuple[tuple[str, str], ...]:
    """What the product says before and after the picture of each page."""
    said, with_text = _prompts(language)["page"], rng.random() < WITH_TEXT
    return tuple(
        (_fill(said["heading"], {"number": str(number)}), _fill(said["text"], {"text": text}) if with_text else "")
        for number, text in enumerate(sample.texts, start=1)
    )


# By the key of the drawn question.
_TASKS: Mapping[str, Make] = {
    **{key: _same(key) for key in ("boxes", "points", "count", "html", "drawio")},
    "relation_where": _relation,
    "ocr_page": _same("text"),
    "ocr_only": _same("text"),
    "ocr_boxes": _same("lines"),
    "table_html": _same("tables"),
    "key_values": _fields,
    "chart_values": _same("chart"),
}
_VIDEO_TASKS: Mapping[str, Make] = {
    "video_events": _same("events"),
    "video_chapters": _chapters,
    **dict.fromkeys(_MOMENTS, _when),
}
_PAGE_TASKS: Mapping[str, Make] = dict.fromkeys(
    ("form_value", "page_of_value", "page_field", "page_field_on"), _document
)
