"""Rendered prompts against those of the reference library, on templates of the released structure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from qwen3vl.errors import CheckpointError, InputError
from qwen3vl.prompt.template import ChatTemplate

MODEL = Path(__file__).parents[2] / "models" / "dense"
TEMPLATES = {
    "shipped": MODEL / "chat_template.jinja",
    "instruct": Path(__file__).parent / "templates" / "instruct.jinja",
    "thinking": Path(__file__).parent / "templates" / "thinking.jinja",
}
CALL = {"id": "1", "type": "function", "function": {"name": "click", "arguments": '{"x": 4, "label": "Größe <b>"}'}}
OBJECT_CALL = {"function": {"name": "type", "arguments": {"text": '日本 & "x" <i>\'', "deep": [1, None, True]}}}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "click",
            "description": "Clicks <here> & there: 'ü' \"q\"",
            "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}},
        },
    }
]
CONVERSATIONS: dict[str, list[dict[str, Any]]] = {
    "one turn": [{"role": "user", "content": "How many shapes?"}],
    "system": [{"role": "system", "content": "Be  brief.\n"}, {"role": "user", "content": " hi \n"}],
    "parts": [
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b\n"}]},
    ],
    "turns": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\nb"},
        {"role": "user", "content": "c {{ 1 + 1 }} {% if %}"},
        {"role": "assistant", "content": "d", "reasoning_content": "\nbecause\n"},
    ],
}
WITH_MEDIA: dict[str, list[dict[str, Any]]] = {
    "media": [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "and"}, {"type": "video"}]},
        {"role": "user", "content": [{"type": "image"}]},
    ],
    "tools": [
        {"role": "user", "content": "press it"},
        {"role": "assistant", "content": "", "tool_calls": [CALL, OBJECT_CALL]},
        {"role": "tool", "content": "done"},
        {"role": "tool", "content": [{"type": "text", "text": "see"}, {"type": "image"}]},
        {"role": "assistant", "content": "Pressed.", "tool_calls": [CALL]},
        {"role": "tool", "content": "ok"},
        {"role": "user", "content": "thanks"},
    ],
}


@pytest.mark.parametrize(
    ("name", "conversation"),
    [
        *((name, conversation) for name in TEMPLATES for conversation in CONVERSATIONS),
        *((name, conversation) for name in ("shipped", "instruct") for conversation in WITH_MEDIA),
    ],
)
@pytest.mark.parametrize("tools", [None, TOOLS], ids=["", "tools"])
@pytest.mark.parametrize("add_generation_prompt", [True, False])
def test_rendering_equals_the_oracle(
    name: str, conversation: str, tools: list[dict[str, Any]] | None, add_generation_prompt: bool
) -> None:
    messages = {**CONVERSATIONS, **WITH_MEDIA}[conversation]
    source = TEMPLATES[name].read_text(encoding="utf-8")
    oracle: Any = AutoTokenizer.from_pretrained(MODEL)
    expected = oracle.apply_chat_template(
        messages, tools=tools, chat_template=source, add_generation_prompt=add_generation_prompt, tokenize=False
    )
    template = ChatTemplate(source, {"eos_token": "<|im_end|>"})
    assert template.render(messages, tools=tools, add_generation_prompt=add_generation_prompt) == expected


def _folder(path: Path, **files: object) -> Path:
    path.mkdir()
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (path / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return path


def test_where_templates_are_found(tmp_path: Path) -> None:
    config = {"eos_token": {"content": "E", "special": True}, "chat_template": "config{{ eos_token }}"}
    several = {"chat_template": [{"name": "tool_use", "template": "x"}, {"name": "default", "template": "listed"}]}
    folders = {
        "jinja": _folder(
            tmp_path / "a",
            chat_template__jinja="{{ eos_token }}jinja",
            chat_template__json={"chat_template": "json"},
            tokenizer_config__json=config,
        ),
        "json": _folder(tmp_path / "b", chat_template__json={"chat_template": "json"}, tokenizer_config__json=config),
        "config": _folder(tmp_path / "c", tokenizer_config__json=config),
        "listed": _folder(tmp_path / "d", tokenizer_config__json=several),
    }
    rendered = {name: ChatTemplate.from_folder(folder).render([]) for name, folder in folders.items()}
    assert rendered == {"jinja": "Ejinja", "json": "json", "config": "configE", "listed": "listed"}


def test_what_is_wrong_with_a_template_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="has no chat template"):
        ChatTemplate.from_folder(tmp_path)
    with pytest.raises(CheckpointError, match="syntax error in line 2"):
        ChatTemplate("ok\n{% if %}")
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(CheckpointError, match="not valid JSON"):
        ChatTemplate.from_folder(tmp_path)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ raise_exception('no pictures here') }}", "no pictures here"),
        ("{{ messages[0].content + 1 }}", "cannot render"),
        ("{{ missing.field }}", "'missing' is undefined"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ messages.append(1) }}", "unsafe|not safely callable"),
    ],
)
def test_a_template_that_fails_is_an_input_error(source: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ChatTemplate(source).render([{"role": "user", "content": "x"}])
