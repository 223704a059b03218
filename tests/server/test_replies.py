"""Reasoning, content and tool calls, told apart in any chunking."""

from __future__ import annotations

import json
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from qwen3vl.server.replies import Reply, ReplyReader

CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Köln", "days": 2}}\n</tool_call>'


def read(pieces: list[str], *, thinks: bool = False, tools: bool = False) -> tuple[str, str, list[tuple[str, object]]]:
    reader = ReplyReader(thinks=thinks, tools=tools)
    replies: list[Reply] = [*(reader.add(piece) for piece in pieces), reader.finish()]
    calls = [(call.name, json.loads(call.arguments)) for reply in replies for call in reply.calls]
    return "".join(r.reasoning for r in replies), "".join(r.content for r in replies), calls


WEATHER = ("get_weather", {"city": "Köln", "days": 2})


def test_plain_text_stays_as_it_is() -> None:
    assert read(["  two blanks, <b>tags</b> ", "\n"]) == ("", "  two blanks, <b>tags</b> \n", [])
    assert read(["<thin", "king> is hard"]) == ("", "<thinking> is hard", [])
    assert read(["<thi"]) == ("", "<thi", [])
    assert read([CALL]) == ("", CALL, [])  # nobody gave it tools


def test_reasoning() -> None:
    assert read(["one, ", "two\n</thi", "nk>\n\nThree."], thinks=True) == ("one, two", "Three.", [])
    assert read(["<think>\none\n</think>\n\nTwo"]) == ("one", "Two", [])
    assert read(["never ending"], thinks=True) == ("never ending", "", [])


def test_tool_calls() -> None:
    assert read([CALL], tools=True) == ("", "", [WEATHER])
    assert read([f"Let me look.\n{CALL}\n{CALL}"], tools=True) == ("", "Let me look.", [WEATHER, WEATHER])
    assert read([f"why\n</think>\n\n{CALL}"], thinks=True, tools=True) == ("why", "", [WEATHER])
    assert read([CALL.removesuffix("</tool_call>")], tools=True) == ("", "", [WEATHER])  # its end was cut off
    string = '<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>'
    assert read([string], tools=True) == ("", "", [("f", {"a": 1})])


def test_what_only_looks_like_a_call_stays_text() -> None:
    for text in ("<tool_call>{broken</tool_call>", '<tool_call>{"nome": 1}</tool_call>', "a <tool_call", "<tool_call>"):
        assert read([text], tools=True) == ("", text, [])


def test_each_call_has_an_id_of_its_own() -> None:
    reply = ReplyReader(thinks=False, tools=True).add(CALL + CALL)
    first, second = reply.calls
    assert first.id != second.id


TEXT = st.text(alphabet="<>/think tool_call{}\"':,\nab", max_size=40)
PARTS = st.lists(TEXT | st.sampled_from([CALL, "<think>", "</think>", "<tool_call>", "</tool_call>"]), max_size=6)


@settings(deadline=None, max_examples=300)
@given(parts=PARTS, cuts=st.lists(st.integers(0, 200)), thinks=st.booleans(), tools=st.booleans())
def test_the_chunking_changes_nothing(parts: list[str], cuts: list[int], thinks: bool, tools: bool) -> None:
    text = "".join(parts)
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[start:end] for start, end in pairwise(edges)]
    assert read(pieces, thinks=thinks, tools=tools) == read([text], thinks=thinks, tools=tools)
    assert read(list(text), thinks=thinks, tools=tools) == read([text], thinks=thinks, tools=tools)
