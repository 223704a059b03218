"""Structured output: with a random model, which would write anything else, every answer is what its grammar says."""

from __future__ import annotations

import itertools
import json
import random
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers

from qwen3vl import Engine
from qwen3vl.engine.build import EngineConfig
from qwen3vl.engine.grammar import MAX_COUNT, MAX_SOURCE, Constraint, Grammar, GrammarCompiler, GrammarError
from qwen3vl.engine.options import GenerationOptions
from qwen3vl.engine.outputs import Result
from qwen3vl.engine.streams import collect
from qwen3vl.errors import InputError, ModelOutputError
from qwen3vl.prompt.tokenizer import Tokenizer
from qwen3vl.prompt.types import Prompt
from support.bpe import train_bpe
from support.engines import device, is_idle, together, wait_until
from support.inputs import picture, user
from support.tiny import SHIPPED, make_checkpoint

BOXES: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "maxItems": 3,
    "items": {
        "type": "object",
        "properties": {
            "bbox_2d": {
                "type": "array",
                "items": {"type": "integer", "minimum": 0, "maximum": 1000},
                "minItems": 4,
                "maxItems": 4,
            },
            "label": {"type": "string", "maxLength": 8},
        },
        "required": ["bbox_2d", "label"],
        "additionalProperties": False,
    },
}
LOOP = {"$defs": {"a": {"$ref": "#/$defs/a"}}}
SCHEMA = Grammar.json_schema(BOXES)
WORD = Grammar("regex", "(ab){3}c+d")
QUESTION = [user(picture(96, 64, 1), "Where?")]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Random weights: no answer is JSON by luck. Few blocks, so that sequences are preempted."""
    folder = tmp_path_factory.mktemp("random")
    make_checkpoint(folder)
    config = EngineConfig(num_blocks=40, step_tokens=64)
    with Engine.load(folder, device="cpu", speculation="off", config=config) as engine:
        yield engine


@pytest.fixture(autouse=True)
def clean_afterwards(engine: Engine) -> Iterator[None]:
    yield
    wait_until(lambda: is_idle(engine))
    engine.check_invariants()


def check_boxes(text: str) -> None:
    value = json.loads(text)
    assert not re.search(r"\n\s*\n", re.sub(r'"[^"]*"', "0", text)), "it fills its answer with blank lines"
    assert 1 <= len(value) <= 3
    for item in value:
        assert list(item) == ["bbox_2d", "label"]
        assert len(item["bbox_2d"]) == 4
        assert all(isinstance(v, int) and 0 <= v <= 1000 for v in item["bbox_2d"])
        assert len(item["label"]) <= 8


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.0},
        {"temperature": 1.0, "top_k": 3},
        {"temperature": 2.0, "top_p": 0.5, "min_p": 0.1},
        {"temperature": 1.0, "repetition_penalty": 1.3, "presence_penalty": 1.0, "logprobs": 3},
        {"temperature": 0.0, "ignore_eos": True},
    ],
)
def test_every_way_of_sampling_obeys(engine: Engine, options: dict[str, Any]) -> None:
    result = engine.generate(QUESTION, grammar=SCHEMA, max_tokens=600, seed=5, **options)
    assert result.finish_reason == "stop"
    check_boxes(result.text)


def test_an_answer_without_grammar_is_no_json(engine: Engine) -> None:
    """The oracle of this file: the random model knows nothing of boxes."""
    with pytest.raises(ValueError, match=r"Expecting|Extra|Invalid"):
        json.loads(engine.generate(QUESTION, max_tokens=100, temperature=0.0).text)


def test_it_ends_with_the_grammar_and_spends_no_token_on_saying_so(engine: Engine) -> None:
    fixed = engine.generate(QUESTION, grammar=Grammar("regex", "ok"), max_tokens=50)
    assert (fixed.text, fixed.finish_reason) == ("ok", "stop")
    assert engine.prompt_builder.tokenizer.decode(fixed.token_ids) == "ok"
    open_end = engine.generate(QUESTION, grammar=Grammar("regex", "(ab)+"), max_tokens=60, temperature=0.0)
    assert re.fullmatch(r"(ab)+a?", open_end.text)


def test_each_kind(engine: Engine) -> None:
    lark = Grammar("lark", 'start: "<" WORD ">"\nWORD: /[x-z]{2,4}/')
    for grammar, form in [(WORD, r"(ab){3}c+d"), (lark, r"<[x-z]{2,4}>")]:
        text = engine.generate(QUESTION, grammar=grammar, max_tokens=200, temperature=1.0, seed=1).text
        assert re.fullmatch(form, text), text


def test_choices_have_grammars_of_their_own(engine: Engine) -> None:
    result = engine.generate(QUESTION, grammar=SCHEMA, n=3, temperature=1.5, seed=2, max_tokens=600)
    assert len({choice.text for choice in result.choices}) == 3
    for choice in result.choices:
        check_boxes(choice.text)


def test_neighbours_in_the_batch_are_not_disturbed(engine: Engine) -> None:
    """Mixed with others, preempted and computed again: each answer is the one it has alone."""
    prompts = [engine.prepare([user(f"{i} " + "a b c " * 12)], GenerationOptions()) for i in range(9)]
    options = [
        GenerationOptions(
            max_tokens=80, temperature=1.0, seed=i, grammar=(None, SCHEMA, WORD)[i % 3], logprobs=1 if i % 2 else None
        )
        for i in range(9)
    ]
    alone = [collect(engine.stream_prompt(p, o), o) for p, o in zip(prompts, options, strict=True)]
    before = engine.stats().preemptions
    streams = together(engine, list(zip(prompts, options, strict=True)))
    mixed = [collect(stream, o) for stream, o in zip(streams, options, strict=True)]
    assert [r.token_ids for r in mixed] == [r.token_ids for r in alone]
    assert engine.stats().preemptions > before, "blocks did not run out, so that nothing was tried"


def test_a_row_that_is_not_a_number_stays_one_under_a_grammar(engine: Engine) -> None:
    with device(engine, lambda run: lambda chunks: run(chunks) * float("nan")), pytest.raises(ModelOutputError):
        engine.generate(QUESTION, grammar=SCHEMA, max_tokens=5)


def thinking_prompt(engine: Engine) -> Prompt:
    return engine.prompt_builder.build_text("<|im_start|>user\nWhere?<|im_end|>\n<|im_start|>assistant\n<think>\n")


@pytest.mark.parametrize("blanks", ["", "\n\n", "\n \n"])
def test_after_a_thought(engine: Engine, blanks: str) -> None:
    """The thought is free; what follows it obeys, with the blanks between that the models write."""
    tokenizer = engine.prompt_builder.tokenizer
    constraint = engine._grammars.constraint(WORD, thinking_prompt(engine).token_ids)
    for token in tokenizer.encode("Hm, { ab ]</thin</think>" + blanks):
        assert not constraint.finished
        constraint.take(token)
    assert constraint.active
    assert "\n" in names(tokenizer, constraint)
    assert names(tokenizer, constraint) - {" ", "\n", "\t", "\r"} <= {"a", "ab", "aba", "abab", "ababab"}
    for token in tokenizer.encode("abababcd"):
        constraint.take(token)
    assert constraint.finished


def test_a_thinking_prompt_in_the_engine(engine: Engine) -> None:
    """The model's own tokens are replaced until the thought is closed, as a Thinking model would close it."""
    tokenizer = engine.prompt_builder.tokenizer
    script = iter(tokenizer.encode("well</think>\n\n"))

    def scripted(run: Any) -> Any:
        def replaced(chunks: Any) -> Any:
            logits = run(chunks)
            if len(logits) and (token := next(script, None)) is not None:
                logits[:, token] = 1000.0
            return logits

        return replaced

    options = GenerationOptions(max_tokens=100, temperature=0.0, grammar=WORD)
    with device(engine, scripted):
        text = collect(engine.stream_prompt(thinking_prompt(engine), options), options).text
    assert re.fullmatch(r"well</think>\s+(ab){3}c+d?", text), text


def names(tokenizer: Tokenizer, constraint: Constraint) -> set[str]:
    bits = np.unpackbits(constraint.allowed().view(np.uint8), bitorder="little")
    return {tokenizer.token_text(int(i)) for i in np.flatnonzero(bits)}


@pytest.mark.parametrize(
    ("grammar", "message"),
    [
        (Grammar("regex", "a(b"), "unclosed|regular expression"),
        (Grammar("lark", "start: nothing_such"), "nothing_such"),
        (Grammar.json_schema({"type": "objekt"}), "objekt"),
        (Grammar.json_schema({"not": {"type": "string"}}), "not"),
        (Grammar.json_schema({"type": "string", "minLength": 3, "maxLength": 1}), "minLength"),
        (Grammar.json_schema({"$ref": "http://127.0.0.1:9/schema"}), "http://127.0.0.1:9/schema"),
        (Grammar.json_schema({"type": "integer", "maximum": 10**200}), "1000000"),
        (Grammar.json_schema({"$ref": "#/$defs/a"} | LOOP), "no text can fulfil"),
        (Grammar("json_schema", "{"), "not JSON"),
        (Grammar("json_schema", "[1]"), "object"),
        (Grammar("json_schema", '{"items":' * 5000 + "{}" + "}" * 5000), "recursion"),
        (Grammar("regex", f"a{{{MAX_COUNT + 1}}}"), "10,000"),
        (Grammar.json_schema({"properties": {"a": {"type": "string", "pattern": "^x{2,900000}$"}}}), "10,000"),
    ],
)
def test_what_cannot_be_compiled_is_refused_by_name(engine: Engine, grammar: Grammar, message: str) -> None:
    with pytest.raises(InputError, match=message):
        engine.generate(QUESTION, grammar=grammar, max_tokens=5)


@pytest.mark.parametrize("kind_source", [("xml", "a"), ("regex", ""), ("lark", " "), ("regex", "a" * (MAX_SOURCE + 1))])
def test_what_is_no_grammar(kind_source: tuple[Any, str]) -> None:
    with pytest.raises(InputError, match="grammar"):
        Grammar(*kind_source)


def test_long_chains_of_rules_do_not_end_the_process(engine: Engine) -> None:
    """Each overflows a thread's usual stack inside llguidance, which nothing could catch."""
    chain = "start: a0\n" + "\n".join(f"a{i}: a{i + 1}" for i in range(4000)) + '\na4000: "x"'
    assert engine.generate(QUESTION, grammar=Grammar("lark", chain), max_tokens=3, temperature=0.0).text == "x"
    tree = "start: a0\n" + "\n".join(f"a{i}: a{i + 1} a{i + 1}" for i in range(2500)) + '\na2500: "x"'
    with pytest.raises(GrammarError, match="Too many items"):
        engine.generate(QUESTION, grammar=Grammar("lark", tree), max_tokens=3, temperature=0.0)


def test_a_dead_end_is_that_requests_own_error(engine: Engine) -> None:
    """A schema that only an endless answer would fulfil: found out in the middle, and its neighbours go on."""
    endless = [
        Grammar("lark", 'start: "a" b\nb: "x" b'),
        Grammar.json_schema({"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "required": ["a"]} | LOOP),
    ]
    for grammar in endless:
        prompt = engine.prepare(QUESTION, GenerationOptions(grammar=grammar))
        good = GenerationOptions(max_tokens=20, temperature=0.0, ignore_eos=True)
        streams = together(engine, [(prompt, GenerationOptions(grammar=grammar)), (prompt, good)])
        with pytest.raises(GrammarError, match=r"no text can fulfil|Too many items"):
            list(streams[0])
        assert len(collect(streams[1], good).token_ids) == 20


def test_tokens_mean_what_the_engine_writes_for_them() -> None:
    """Any byte-level tokenizer, pads past its end included: what is allowed is decided by the engine's own bytes."""
    for backend in (train_bpe(), tokenizers.Tokenizer.from_file(str(SHIPPED / "moe" / "tokenizer.json"))):
        tokenizer = Tokenizer(backend)
        rows = tokenizer.vocab_size + 45
        eos = backend.token_to_id("<|im_end|>")
        compiler = GrammarCompiler(tokenizer, rows, [eos])
        constraint = compiler.constraint(Grammar("regex", r"(\w| |\{|é){2}"), [eos])
        bits = np.unpackbits(constraint.allowed().view(np.uint8), bitorder="little")
        form = re.compile(r"[\w {]{1,2}")
        for token_id in range(rows):
            spelled = tokenizer.token_bytes(token_id)
            try:
                fits = bool(form.fullmatch(spelled.decode())) and token_id not in tokenizer.control_ids
            except UnicodeDecodeError:
                continue  # part of a character: allowed where the whole may follow
            assert bool(bits[token_id]) == fits, (token_id, spelled)
        assert not bits[tokenizer.vocab_size :].any()


def test_many_threads_compile_at_once(engine: Engine) -> None:
    grammars = [Grammar("regex", f"x{{{i}}}") for i in range(2, 42)]
    texts: list[tuple[int, str]] = []

    def work(part: list[Grammar]) -> None:
        for grammar in part:
            result: Result = engine.generate([user("Hi")], grammar=grammar, max_tokens=100, temperature=0.0)
            texts.append((int(grammar.source[2:-1]), result.text))

    threads = [threading.Thread(target=work, args=(grammars[i::4],)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(texts) == [(i, "x" * i) for i in range(2, 42)]


def test_random_schemas_give_what_they_ask(engine: Engine) -> None:
    rng = random.Random(7)

    def schema(depth: int) -> dict[str, Any]:
        kind = rng.choice(
            ["integer", "boolean", "enum", "object", "array"] if depth else ["integer", "boolean", "enum"]
        )
        if kind == "enum":
            return {"enum": rng.sample(["a", "bb", "ccc", 1, None], 2)}
        if kind == "object":
            inner = {name: schema(depth - 1) for name in rng.sample(["x", "y", "z"], 2)}
            return {"type": kind, "properties": inner, "required": list(inner), "additionalProperties": False}
        if kind == "array":
            return {"type": kind, "items": schema(depth - 1), "minItems": 1, "maxItems": 2}
        return {"type": kind, **({"minimum": 0, "maximum": 99} if kind == "integer" else {})}

    def fits(value: Any, rule: dict[str, Any]) -> bool:
        if "enum" in rule:
            return value in rule["enum"]
        if rule["type"] == "object":
            return list(value) == rule["required"] and all(fits(value[k], v) for k, v in rule["properties"].items())
        if rule["type"] == "array":
            return 1 <= len(value) <= 2 and all(fits(item, rule["items"]) for item in value)
        return isinstance(value, bool) if rule["type"] == "boolean" else 0 <= value <= 99

    for number in range(12):
        rule = schema(3)
        grammar = Grammar.json_schema(rule)
        result = engine.generate([user("Hi")], grammar=grammar, max_tokens=600, temperature=1.5, seed=number)
        assert fits(json.loads(result.text), rule), (rule, result.text)


def test_a_step_without_grammars_waits_for_nothing(engine: Engine) -> None:
    def submit(*_: object) -> None:
        raise AssertionError("work was handed out for rows without a grammar")

    pool = engine._core.masks._pool
    pool.submit = submit  # type: ignore[method-assign, assignment]
    try:
        assert engine.generate(QUESTION, max_tokens=5, ignore_eos=True).finish_reason == "length"
    finally:
        del pool.submit  # the class's own again


def test_the_checkpoint_of_the_tests_has_other_rows_than_tokens(engine: Engine, tmp_path: Path) -> None:
    """So that the padding of the mask to whole words, and rows without a token, are among what is tried above."""
    assert engine._config.text.vocab_size != engine.prompt_builder.tokenizer.vocab_size
    assert list(itertools.islice(engine._grammars._blanks.shape, 1)) == [engine._grammars.words]
