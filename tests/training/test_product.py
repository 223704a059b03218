"""What training asks in the product's name is what the tasks ask, and their own readers read the answers."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from qwen3vl.drawn import Sample, Turn, draw
from qwen3vl.drawn.sample import Language
from qwen3vl.drawn.wording import is_held_out
from qwen3vl.engine.grammar import Grammar, GrammarCompiler
from qwen3vl.prompt.tokenizer import Tokenizer
from qwen3vl.tasks.base import TaskRequest
from qwen3vl.tasks.registry import TASKS
from qwen3vl.tasks.results import BoxMark, MediaInfo, PointMark, TaskResult
from support.tiny import SHIPPED
from training import mixture, product, product_prompts
from training.layout import lay_out
from training.train import LONGEST, SUPPLIES, TOKENIZER
from training.vocabulary import Vocabulary

LANGUAGES: tuple[Language, ...] = ("en", "zh")
COUNT = 24  # samples of each family


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    tokenizer = Tokenizer.from_folder(SHIPPED / "moe")
    return GrammarCompiler(tokenizer, tokenizer.vocab_size, [2])


def asked(family: str, count: int = COUNT) -> Iterator[tuple[Sample, Sample]]:
    """Samples as drawn, and as the product asks them."""
    rng = random.Random(family)
    for _ in range(count):
        sample = draw(rng, family, split="train", turns=8)
        became = product.asked_by_product(rng, sample)
        if became is not sample:
            yield sample, became


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nearly all samples are asked by the product."""
    monkeypatch.setattr(product, "AGENT", {"tool_call": 0.8, "json": 0.8})
    monkeypatch.setattr(product, "OTHERS", 1.0)
    monkeypatch.setattr(product, "WEAK", {})


def media(sample: Sample) -> list[MediaInfo]:
    height, width, _ = sample.frames[0].shape
    if sample.kind == "video":
        return [MediaInfo("video", width, height, len(sample.frames) / sample.fps)]
    return [MediaInfo("image", width, height) for _ in sample.frames]


def follows(compiler: GrammarCompiler, grammar: Grammar, text: str) -> bool:
    """Whether a model could write `text`, and stop there."""
    constraint = compiler.constraint(grammar, [0])
    for token in compiler._tokenizer.encode(text):
        if not np.unpackbits(constraint.allowed().view(np.uint8), bitorder="little")[token]:
            return False
        constraint.take(token)
    return constraint.finished or bool(np.unpackbits(constraint.allowed().view(np.uint8), bitorder="little")[2])


def test_the_file_is_what_the_tasks_say() -> None:
    """If not: `python -m training.product_prompts training/product_prompts.json`."""
    assert product.PROMPTS.read_text(encoding="utf-8") == product_prompts.text()


def test_no_prompt_is_a_held_out_wording() -> None:
    for language in LANGUAGES:
        for name, text in product_prompts.prompts(language)["asked"].items():
            assert not is_held_out(text, language), name
            assert name in ("when asked",) or not is_held_out(text.partition(" Only the JSON")[0], language), name


def _request(sample: Sample, turn: Turn, became: Turn) -> tuple[str, list[dict[str, Any]]]:
    """The task of a turn and the parameters that it may have been asked with."""
    slots = turn.slots
    match turn.key:
        case "boxes" | "points":
            return "grounding", [{"target": slots["what"], "ask": turn.key}]
        case "count":
            return "grounding", [{"target": slots["things"], "ask": "count"}]
        case "relation_where":
            pairs = [(f"{the}{slots['first']}", f"{the}{slots['second']}") for the in ("", "the ")]
            return "grounding", [{"target": a, "reference": b, "ask": "relation"} for a, b in pairs]
        case "ocr_page" | "ocr_only":
            return "ocr", [{}]
        case "ocr_boxes":
            return "ocr", [{"form": "lines"}]
        case "table_html":
            return "tables", [{}]
        case "key_values":
            names = list(json.loads(became.answer))
            schema: dict[str, Any] = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
            return "extract", [
                {},
                {"preset": "receipt"},
                {"preset": "schema", "schema": schema},
                {"preset": "schema", "schema": schema | {"required": names}},
            ]
        case "html":
            return "screenshot_to_code", [{}]
        case "chart_values":
            return "chart_to_code", [{"result": "data"}]
        case "drawio":
            return "diagram", [{}]
        case "video_events":
            return "video_events", [{}]
        case "video_chapters":
            return "video_summary", [{}, *({"most": len(turn.truth["events"]) + i} for i in range(4))]
        case "video_appear" | "video_disappear" | "video_chapter_when":
            named = product._fill(product._MOMENTS[turn.key][turn.language == "zh"], slots)
            return "video_when", [{"what": what} for what in (named, f"{turn.question[:-1]}?")]
        case "form_value" | "page_of_value" | "page_field" | "page_field_on":
            return "documents", [{"question": turn.question}]
    raise AssertionError(f"no task asks {turn.key!r}")


def _is_right(task: str, turn: Turn, result: TaskResult) -> bool:
    truth = turn.truth
    match task:
        case "grounding" if turn.key == "count":
            return bool(result.data == {"count": truth["count"]})
        case "grounding" if turn.key == "relation_where":
            return result.text == turn.answer
        case "grounding":
            places = [m.relative for m in result.marks if isinstance(m, BoxMark | PointMark)]
            wanted = [tuple(item["box" if turn.key == "boxes" else "point"]) for item in truth[turn.key]]
            return [tuple(map(round, place)) for place in places] == wanted
        case "ocr" if turn.key == "ocr_boxes":
            labels = [mark.label for mark in result.marks if isinstance(mark, BoxMark)]
            return labels == [item["text"] for item in truth["boxes"]]
        case "ocr":
            return result.text == truth.get("text", "\n".join(truth.get("lines", ())))
        case "tables":
            return [table.rows for table in result.tables] == [truth["rows"]]
        case "extract":
            if "merchant" in result.data:
                return _is_the_receipt(result.data, list(truth["fields"].values()))
            return bool(result.data) and all(truth["fields"][name] == value for name, value in result.data.items())
        case "screenshot_to_code":
            return [block.source.strip() for block in result.code] == [truth["html"]]
        case "chart_to_code":
            return bool(result.data == truth["values"])
        case "diagram":
            (diagram,) = result.diagrams
            return [node.text for node in diagram.nodes] == [node["text"] for node in truth["nodes"]]
        case "video_when":
            return [event.start for event in result.events] == [truth["seconds"]]
        case "video_events":
            found = [(event.start, event.end, event.text) for event in result.events]
            return found == [(event["start"], event["end"], event["description"]) for event in truth["events"]]
        case "video_summary":
            titles = [(event.start, event.end, event.title) for event in result.events]
            assert all(event.text and event.text != event.title for event in result.events)
            return titles == [(event["start"], event["end"], event["description"]) for event in truth["events"]]
    (citation,) = result.pages
    assert citation.box is not None
    assert tuple(map(round, citation.box.relative)) == turn.place
    in_text = truth["value"] if turn.key != "page_of_value" else turn.answer
    return (result.text, citation.page, citation.quote) == (in_text, truth.get("page", 1), truth["value"])


def _is_the_receipt(record: dict[str, Any], values: list[str]) -> bool:
    """Whether what is in the record is also among the fields, which have currencies beside their numbers."""
    numbers = [
        *(item["price"] for item in record["items"]),
        record["total"],
        *([record["tax"]] if record["tax"] else []),
    ]
    printed = "\n".join(values)
    assert all(item["quantity"] == 1 for item in record["items"])
    return all(f"{number:.2f}" in printed for number in numbers) and record["date"] in printed


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(
    "family", ["shapes", "text", "screens", "documents", "web", "charts", "diagrams", "pages", "video"]
)
def test_tasks_ask_it_so_and_read_the_answer(family: str, compiler: GrammarCompiler) -> None:
    checked = 0
    for before, sample in asked(family):
        given = media(sample)
        for became in sample.turns:
            (turn,) = [t for t in before.turns if t.key == became.key and t.truth is became.truth]
            if became is turn or "form" in turn.truth:
                continue
            task, variants = _request(sample, turn, became)
            found: list[tuple[Any, TaskRequest]] = []
            for variant in variants:
                for strict in (False, True) if "strict" in TASKS[task].params.model_fields else (False,):
                    params = TASKS[task].params(**variant, **({"strict": True} if strict else {}))
                    found.append((params, TASKS[task].prepare(params, given, turn.language)))
            matching = [(params, request) for params, request in found if request.instruction == became.question]
            assert matching, became.question
            params, request = matching[0]
            assert sample.system == request.messages_system
            result = TASKS[task].reader(params, given).finish(became.answer)
            assert not result.warnings or turn.truth == {turn.key: []}, became.answer  # there may be no such thing
            assert _is_right(task, turn, result), (became.question, became.answer)
            if request.grammar is not None:
                assert follows(compiler, request.grammar, became.answer), became.answer
            checked += 1
    assert checked >= COUNT / 8  # of screens, the product asks the fewest


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_agent_asks_it_so_and_reads_the_answer(language: Language, compiler: GrammarCompiler) -> None:
    forms = set()
    task, vocabulary = TASKS["gui_agent"], Vocabulary.load(TOKENIZER)
    for _, sample in asked("screens", 2 * COUNT):
        if "form" not in sample.turns[0].truth or sample.turns[0].language != language:
            continue
        for turn in sample.turns:
            form = "native" if turn.truth["form"] == "tool_call" else "json"
            goal, *history = turn.question.splitlines()
            platforms = ("phone",) if turn.truth["tool"] == "mobile_use" else ("desktop", "web")
            history = [line.partition(". ")[2] for line in history[1:]]
            requests = []
            for platform in platforms:
                params = task.params(goal=goal, platform=platform, form=form, history=history, strict=True)
                requests.append(task.prepare(params, media(sample), language))
            assert (sample.system, turn.question) in [(r.messages_system, r.instruction) for r in requests]
            result = task.reader(params, media(sample)).finish(turn.answer)
            (step,) = result.actions
            assert step.reason == turn.slots["why"]
            if turn.task == "gui_click" and step.target is not None:
                x1, y1, x2, y2 = turn.truth["box"]
                place = step.target.relative
                assert x1 <= place[0] <= x2
                assert y1 <= place[1] <= y2
            assert requests[0].grammar is not None
            assert follows(compiler, requests[0].grammar, turn.answer), turn.answer
            forms.add((form, bool(history)))
        assert lay_out(sample, vocabulary, max_tokens=LONGEST, max_targets=SUPPLIES[0].budget.targets) is not None
    assert forms == {(form, history) for form in ("native", "json") for history in (False, True)}


@pytest.mark.usefixtures("always")
def test_pages_come_as_the_product_shows_them() -> None:
    seen = set()
    for _, sample in asked("pages"):
        assert len(sample.around) == len(sample.frames)
        for number, ((before, after), text) in enumerate(zip(sample.around, sample.texts, strict=True), start=1):
            language = sample.turns[0].language
            assert before == product_prompts.heading(number - 1, language)
            assert after in ("", product_prompts.page_text(text, language))
            seen.add(bool(after))
    assert seen == {False, True}


def test_held_out_samples_are_as_they_were() -> None:
    for seed in range(12):
        sample, _ = mixture.draw_sample(random.Random(seed), "held_out", "picture")
        rng = random.Random(seed)
        family = rng.choices(list(mixture.SHARES), list(mixture.SHARES.values()))[0]
        drawn = draw(rng, family, split="held_out")
        assert (sample.turns, sample.system, sample.around) == (drawn.turns, drawn.system, ())


def test_is_asked_as_often_as_it_says() -> None:
    rng = random.Random(5)
    became = [
        product.asked_by_product(rng, sample) is not sample
        for sample in (draw(rng, "shapes", split="train", task="boxes", size=(256, 256)) for _ in range(400))
    ]
    assert 0.05 < sum(became) / len(became) < 0.16
