"""All tasks alike: both languages, forms for a page, media that fit, and grammars that say what the readers read."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any, get_args

import numpy as np
import pytest

from qwen3vl.engine.grammar import Constraint, Grammar, GrammarCompiler
from qwen3vl.engine.options import GenerationOptions
from qwen3vl.errors import InputError
from qwen3vl.prompt.tokenizer import Tokenizer
from qwen3vl.tasks.base import Language
from qwen3vl.tasks.kinds.extract import RECEIPT
from qwen3vl.tasks.kinds.gui_agent import Platform
from qwen3vl.tasks.registry import TASKS
from qwen3vl.tasks.results import MediaInfo
from support.tiny import SHIPPED

PICTURE = MediaInfo("image", 100, 50)
CLIP = MediaInfo("video", 64, 64, 10.0)
REQUIRED: dict[str, dict[str, Any]] = {
    "chat": {"question": "Why?"},
    "gui_agent": {"goal": "Save"},
    "grounding": {"target": "cats"},
    "video_when": {"what": "a goal"},
    "documents": {"question": "Total?"},
}
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def media_for(name: str) -> list[MediaInfo]:
    return [CLIP] if "video" in TASKS[name].needs else [PICTURE]


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    tokenizer = Tokenizer.from_folder(SHIPPED / "moe")
    return GrammarCompiler(tokenizer, tokenizer.vocab_size, [2])


def test_names() -> None:
    assert all(task.name == name for name, task in TASKS.items())


@pytest.mark.parametrize("name", TASKS)
def test_both_languages(name: str) -> None:
    task = TASKS[name]
    for words in (task.titles, task.summaries):
        assert set(words) == set(get_args(Language))
        assert CHINESE.search(words["zh"])
        assert not CHINESE.search(words["en"])
    for field in task.params.model_json_schema()["properties"].values():
        assert field["title"]
        assert field["description"]
        assert CHINESE.search(field["zh"]["title"] + field["zh"]["description"]) or field["title"] == "JSON schema"


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("language", get_args(Language))
def test_what_is_asked(name: str, language: Language) -> None:
    task = TASKS[name]
    request = task.prepare(task.params(**REQUIRED.get(name, {})), media_for(name), language)
    assert request.instruction
    assert "{" not in re.sub(r"\{\"[^{}]*|\{[^}]*\}", "", request.instruction), "a placeholder was left over"
    assert request.grammar is None, "nobody has asked for it"
    GenerationOptions.from_mapping(request.options)
    if language == "zh" and name != "chat":
        assert CHINESE.search(request.instruction + (request.messages_system or ""))


@pytest.mark.parametrize("name", TASKS)
def test_media_that_do_not_fit(name: str) -> None:
    task = TASKS[name]
    params = task.params(**REQUIRED.get(name, {}))
    if task.needs:
        with pytest.raises(InputError, match="needs"):
            task.prepare(params, [], "en")
    wrong = {"image": PICTURE, "video": CLIP, "document": MediaInfo("document", 10, 10, page=1)}
    for kind in {"image", "video", "document"} - task.accepts:
        with pytest.raises(InputError, match=f"takes no {kind}"):
            task.prepare(params, [*media_for(name), wrong[kind]], "en")


STRICT: list[tuple[str, dict[str, Any], list[str]]] = [
    ("grounding", {"ask": "boxes"}, ["[]", '[{"bbox_2d": [1, 20, 300, 1000], "label": "a"}]']),
    ("grounding", {"ask": "points"}, ['[{"point_2d": [1, 2], "label": "b"},\n\t{"point_2d": [3, 4], "label": "中"}]']),
    ("grounding", {"ask": "count"}, ["0", "127"]),
    ("grounding", {"ask": "boxes_3d"}, ['[{"bbox_3d": [-1.5, 0, 12.25, 4, 2, 1.5, 0.0, -0.51, 1], "label": "car"}]']),
    (
        "gui_agent",
        {"platform": "phone"},
        [
            '<tool_call>\n{"name": "mobile_use", "arguments": {"action": "click", "coordinate": '
            "[447, 81]}}\n</tool_call>",
            'Thought: It is up.\nAction: "Tap"\n<tool_call>\n{"name": "mobile_use", "arguments": '
            '{"action": "system_button", '
            '"button": "Back"}}\n</tool_call>',
        ],
    ),
    (
        "gui_agent",
        {"platform": "desktop"},
        [
            '<tool_call>\n{"name": "computer_use", "arguments": {"action": "key", "keys": ["ctrl", '
            '"s"]}}\n</tool_call>',
            '<tool_call>\n{"name": "computer_use", "arguments": {"action": "scroll", "pixels": -500}}\n</tool_call>',
        ],
    ),
    (
        "gui_agent",
        {"form": "json"},
        [
            '{"action": "click", "element": {"text": "OK", "bbox": [1, 2, 3, 4]}, "reasoning": "Click OK."}',
            '{"action": "type", "text": "Ann", "element": {"text": "Name", "bbox": [1, 2, 3, 4]}, "reasoning": ""}',
            '{"action": "scroll", "direction": "down", "reasoning": "Scroll down."}',
            '{"action": "done"}',
        ],
    ),
    ("ocr", {"form": "lines"}, ['[{"bbox_2d": [1, 2, 3, 4], "text": "Straße \\"x\\""}]']),
    ("extract", {}, ['{"Name": "Ann", "Age": 12, "ok": true, "none": null}']),
    (
        "extract",
        {"preset": "schema", "schema": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}},
        ['{"a": 1}'],
    ),
    ("chart_to_code", {"result": "data"}, ['{"A": 1, "B": -2.5}', '{"2020": {"A": 1}, "2021": {"A": 2}}']),
    ("video_events", {}, ['[{"start": "00:01.50", "end": "100:02.00", "description": "x"}]']),
    ("video_when", {}, ['[{"start": "00:01.50", "end": "00:02.00", "description": "x"}]']),
    ("video_summary", {"most": 2}, ['[{"start": "00:00.00", "end": "00:02.00", "title": "t", "summary": "s"}]']),
    ("documents", {}, ['{"answer": "4", "citations": [{"page": 1, "quote": "four", "bbox_2d": [1, 2, 3, 4]}]}']),
]


def follows(compiler: GrammarCompiler, grammar: Grammar, text: str) -> bool:
    """Whether a model could write `text`, and stop there."""
    constraint: Constraint = compiler.constraint(grammar, [0])
    tokenizer = compiler._tokenizer
    for token in tokenizer.encode(text):
        bits = np.unpackbits(constraint.allowed().view(np.uint8), bitorder="little")
        if not bits[token]:
            return False
        constraint.take(token)
    return constraint.finished or bool(np.unpackbits(constraint.allowed().view(np.uint8), bitorder="little")[2])


@pytest.mark.parametrize(("name", "params", "answers"), STRICT)
def test_enforced_forms_are_those_that_the_readers_read(
    compiler: GrammarCompiler, name: str, params: dict[str, Any], answers: list[str]
) -> None:
    task = TASKS[name]
    parsed = task.params(**REQUIRED.get(name, {}), **params, strict=True)
    grammar = task.prepare(parsed, media_for(name), "en").grammar
    assert grammar is not None
    for answer in answers:
        assert follows(compiler, grammar, answer), answer
        result = task.reader(parsed, media_for(name)).finish(answer)
        assert answer == "[]" or any(True for _ in result.items()) or result.data is not None
    assert not follows(compiler, grammar, "Sure! Here is")
    assert not follows(compiler, grammar, "{}")


@pytest.mark.parametrize(("name", "params", "_"), [case for case in STRICT if case[0] != "gui_agent"])
def test_an_enforced_form_is_said(name: str, params: dict[str, Any], _: list[str]) -> None:
    """A model that is not told wants to begin with a code fence, which a grammar of JSON does not let it."""
    task = TASKS[name]
    for language, said in (("en", " Only the JSON, without a code fence."), ("zh", "只输出 JSON，不要代码块标记。")):
        required = REQUIRED.get(name, {})
        free = task.prepare(task.params(**required, **params), media_for(name), language)
        strict = task.prepare(task.params(**required, **params, strict=True), media_for(name), language)
        assert said not in free.instruction
        assert strict.instruction.endswith(said) == (params.get("ask") != "count")


def test_a_receipt_in_its_form(compiler: GrammarCompiler) -> None:
    receipt = {"merchant": "A", "address": "", "date": "1 May", "currency": "EUR"}
    receipt |= {"items": [{"name": "Tea", "quantity": 1, "price": 2.5}], "tax": None, "total": 2.5}  # type: ignore[dict-item]
    assert follows(compiler, Grammar.json_schema(RECEIPT), json.dumps(receipt))


def test_several_pictures_are_told_apart(compiler: GrammarCompiler) -> None:
    task = TASKS["grounding"]
    request = task.prepare(task.params(target="x", strict=True), [PICTURE, PICTURE], "en")
    assert "picture" in request.instruction
    assert request.grammar is not None
    box = '[{"bbox_2d": [1, 2, 3, 4], "label": "a", "picture": %d}]'
    assert follows(compiler, request.grammar, box % 2)
    assert not follows(compiler, request.grammar, box % 3)


def test_history_and_tools_are_in_the_agents_question() -> None:
    task = TASKS["gui_agent"]
    for platform, form in itertools.product(get_args(Platform), ("native", "json")):
        params = task.params(goal="Save it", platform=platform, form=form, history=["opened the menu"])
        request = task.prepare(params, [PICTURE], "en")
        assert request.instruction.splitlines() == ["Save it", "Done so far:", "1. opened the menu"]
        assert request.messages_system is not None
        tool = "mobile_use" if platform == "phone" else "computer_use"
        assert (tool in request.messages_system) == (form == "native")
        assert request.options["logprobs"] == 0, "its confidence needs them"
        if form == "native":
            tools = re.search(r"<tools>\n(.*)\n</tools>", request.messages_system)
            assert tools is not None
            assert json.loads(tools[1])["function"]["name"] == tool


def test_a_schema_belongs_to_its_preset() -> None:
    params = TASKS["extract"].params
    for wrong in ({"preset": "schema"}, {"preset": "all", "schema": {"type": "object"}}):
        with pytest.raises(ValueError, match="preset"):
            params.model_validate(wrong)
