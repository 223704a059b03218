"""Which field an error is about, by the name that the client used."""

from __future__ import annotations

import pytest

from qwen3vl.engine.grammar import GrammarError
from qwen3vl.errors import ContextLengthError, InputError, MediaError
from qwen3vl.server.faults import describe_fault, unknown_field
from qwen3vl.server.places import place_in, question_places, renamed
from qwen3vl.server.schema import ChatRequest

NAMES = {"messages[1].content[0].image": "input[2].image_url", "messages": "input", "grammar": "params.schema"}


@pytest.mark.parametrize(
    ("error", "param", "sentence"),
    [
        (
            MediaError("messages[1].content[0].image: it is empty"),
            "input[2].image_url",
            "input[2].image_url: it is empty",
        ),
        (InputError("unknown mode 'x'", param="mode"), "mode", "unknown mode 'x'"),
        (InputError("max_pixels may be 9 at most here"), "max_pixels", "max_pixels may be 9 at most here"),
        (GrammarError("the JSON schema cannot be used"), "params.schema", "the JSON schema cannot be used"),
        (ContextLengthError("the prompt is too long"), "input", "the prompt is too long"),
        (InputError("messages[0].content[5]: it is empty"), None, "messages[0].content[5]: it is empty"),
        (InputError("something else"), None, "something else"),
    ],
)
def test_an_error_of_the_engine_under_the_clients_names(error: InputError, param: str | None, sentence: str) -> None:
    said = renamed(error, ("input", "params", "mode", "max_pixels"), NAMES)
    assert (type(said), said.param, str(said)) == (type(error), param, sentence)


def test_a_question_of_a_conversation() -> None:
    places = question_places(3, {"content[1].image": "content[0].media"})
    for sent, param in (
        ("messages[3].content[1].image: bad", "content[0].media"),
        ("messages[3].content: bad", "content"),
        ("temperature must be a number", "options.temperature"),
        ("messages[0].content[1].image: bad", None),
    ):
        assert renamed(InputError(sent), ("content", "options"), places).param == param


def test_only_places_of_requests_are_places() -> None:
    assert (
        place_in("messages[0].content[1].image_url.detail must be 'auto'") == "messages[0].content[1].image_url.detail"
    )
    assert place_in("the file is empty") is None


@pytest.mark.parametrize(
    ("loc", "type_", "ctx", "sentence", "place"),
    [
        (("n",), "int_type", {}, "'n' must be a whole number, got 'x'", "n"),
        (
            ("tools", 0, "function", "name"),
            "missing",
            {},
            "'tools[0].function.name' is required",
            "tools[0].function.name",
        ),
        (("stop", "list[str]", 0), "string_type", {}, "'stop[0]' must be text, got 'x'", "stop[0]"),
        (("response_format", "typ"), "extra_forbidden", {}, "did you mean 'type'?", "response_format.typ"),
        (("n",), "greater_than_equal", {"ge": 1}, "'n' must be at least 1, got 'x'", "n"),
        (("n",), "value_error", {"error": ValueError("seven is too many")}, "'n': seven is too many", "n"),
    ],
)
def test_faults_that_pydantic_finds(
    loc: tuple[str | int, ...], type_: str, ctx: dict[str, object], sentence: str, place: str
) -> None:
    sent = {"n": "x", "tools": [{"function": {}}], "stop": ["x"], "response_format": {"typ": "x"}}
    fault = {"loc": loc, "type": type_, "ctx": ctx, "input": "x", "msg": "Value error, it leaks"}
    said, where = describe_fault([fault], sent, ChatRequest)
    assert sentence in said
    assert where == place


def test_an_unknown_field_without_a_near_one_names_them_all() -> None:
    assert unknown_field("xyzzy", ["b", "a"], "options") == "unknown field 'xyzzy' in 'options'; there are a, b"
