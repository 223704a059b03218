"""The page's words: the same in both languages, all of them used, and none anywhere else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import get_args

import pytest

import qwen3vl
from qwen3vl.browser.session import NoticeKind
from qwen3vl.server.agent.caution import Caution
from qwen3vl.server.agent.record import Outcome
from qwen3vl.server.agent.session import State
from qwen3vl.store.indexes import IndexState
from qwen3vl.tasks.actions import ActionKind, Direction
from qwen3vl.tasks.registry import TASKS
from qwen3vl.webui.panels import FOLDER, PANELS
from qwen3vl.webui.routes import HERE, read_texts

ENGLISH, CHINESE = read_texts("en"), read_texts("zh")
MODULES = sorted([*(HERE / "static").glob("*.js"), *FOLDER.glob("*.js")])
CODE = "\n".join(module.read_text(encoding="utf-8") for module in MODULES)
CALLED = set(re.findall(r"""\bt\("(\w+)\"""", CODE))
NAMED = CALLED | set(re.findall(r'"(\w+)"', CODE))
PATTERNS = {re.sub(r"\$\{[^}]*\}", r"\\w+", template) for template in re.findall(r"`([a-z]+_\$\{[^`]*\})`", CODE)}


def test_both_languages_have_the_same_keys_and_places() -> None:
    assert set(ENGLISH) == set(CHINESE)
    for key in set(ENGLISH) - {"said", "codes"}:
        fields = [{name for _, name, *_ in Formatter().parse(texts[key]) if name} for texts in (ENGLISH, CHINESE)]
        assert fields[0] == fields[1] or key in ("mode_cost", "mode_cost_measured"), key
        assert ENGLISH[key].strip(), key
        assert CHINESE[key].strip(), key


def test_every_text_that_is_used_is_there_and_every_text_is_used() -> None:
    assert set(ENGLISH) >= CALLED
    assert len(CALLED) > 80
    unused = {
        key for key in set(ENGLISH) - NAMED - {"said", "codes"} if not any(re.fullmatch(each, key) for each in PATTERNS)
    }
    assert unused == set()


def test_every_error_that_the_server_names_by_a_code_is_told_in_chinese() -> None:
    server = Path(qwen3vl.__file__).parent / "server"
    sources = [path.read_text(encoding="utf-8") for path in server.rglob("*.py")]
    codes = {code for source in sources for code in re.findall(r'code="(\w+)"', source)}
    assert len(codes) > 20
    assert codes <= set(CHINESE["codes"])


def sentences(source: str) -> Iterator[str]:
    """What a task's module says in small letters, alone or in a list: its warnings. 7 stands for what it fills in."""
    found: list[ast.expr] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.List):
            found += node.elts
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "append":
            found += node.args
        elif isinstance(node, ast.Assign):
            found += [value for value in getattr(node.value, "values", [node.value]) if value is not None]
    for each in found:
        parts = each.values if isinstance(each, ast.JoinedStr) else [each]
        text = "".join(str(part.value) if isinstance(part, ast.Constant) else "7" for part in parts)
        if isinstance(each, ast.JoinedStr | ast.Constant) and re.match(r"[a-z7][a-z]* \w+ \w+ \w+", text):
            yield text


def test_every_warning_of_a_task_is_told_in_chinese() -> None:
    tasks = Path(qwen3vl.__file__).parent / "tasks"
    warnings = {said for path in tasks.rglob("*.py") for said in sentences(path.read_text(encoding="utf-8"))}
    assert len(warnings) > 18
    assert {said for said in warnings if not any(re.fullmatch(each, said) for each in CHINESE["said"])} == set()


def test_every_reason_and_caution_of_an_agent_has_a_name() -> None:
    wanted = {f"caution_{name}" for name in get_args(Caution)}
    wanted |= {f"agent_{name}" for name in get_args(State)} | {f"outcome_{name}" for name in get_args(Outcome)}
    wanted |= {f"notice_{name}" for name in get_args(NoticeKind)} | {f"index_{name}" for name in get_args(IndexState)}
    assert wanted <= set(ENGLISH)
    listed = re.search(r"CAUTIONS = \[(.*?)\]", CODE)
    assert listed is not None
    assert set(get_args(Caution)) < set(re.findall(r"\w+", listed[1]))


def test_every_choice_of_every_task_has_a_name() -> None:
    wanted = {f"panel_{panel.name}" for panel in PANELS}
    wanted |= {f"action_{kind}" for kind in get_args(ActionKind)} | {
        f"direction_{each}" for each in get_args(Direction)
    }
    for task in TASKS.values():
        for schema in task.params.model_json_schema()["properties"].values():
            wanted |= {f"choice_{choice}" for choice in schema.get("enum", ())}
    assert wanted <= set(ENGLISH)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_no_text_stands_in_a_module(module: Path) -> None:
    """No literal that reads like words of a person: Chinese, or a capital and further words."""
    code = re.sub(r"(?m)(^|\s)//.*$|/\*.*?\*/", "", module.read_text(encoding="utf-8"))
    literals = [match[0] for match in re.finditer(r'"[^"\n]*"|`[^`]*`|\'[^\'\n]*\'', code)]
    assert not [text for text in literals if re.search("[\u4e00-\u9fff]", text)]
    assert not [text for text in literals if re.match(r"""["'`][A-Z][a-z]+ [a-z]+""", text)]


def test_known_sentences_of_the_server_are_told_in_chinese() -> None:
    patterns = CHINESE["said"]
    for sentence in (
        "nothing was found in the answer",
        "the answer repeated itself and was stopped",
        "no html was found in the answer",
        "3 events begin after the end of the video and were left out",
        "a web address begins with http:// or https:// and names a host, got 'ftp://a'",
        "'http://a.test/' cannot be opened: host_not_known",
        "the action 'drag' needs an end",
    ):
        assert any(re.fullmatch(pattern, sentence) for pattern in patterns), sentence
