"""The documentation against the code: routes, fields, parameters of tasks, settings, and links between the files."""

from __future__ import annotations

import builtins
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import typer
from pydantic import BaseModel, ByteSize

from qwen3vl import cli
from qwen3vl.server import Services, create_app
from qwen3vl.server.agent.start import Start
from qwen3vl.server.indexes import IndexRequest
from qwen3vl.server.schema import ChatRequest, CompletionRequest
from qwen3vl.server.tasks import TaskRequestBody
from qwen3vl.settings import KEYS, PREFIX, ServerSettings, Settings
from qwen3vl.tasks.registry import TASKS
from qwen3vl.tasks.results import TaskResult

ROOT = Path(__file__).parents[1]
API, SETTINGS = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("api.md", "settings.md"))
PAGES = [*sorted(ROOT.glob("README*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def section(text: str, title: str) -> str:
    """What stands under a heading, up to the next one of its level or above."""
    found = re.search(rf"^(#+) {re.escape(title)}$(.*?)(?=^#{{1,6}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"there is no section {title!r}"
    level = len(found[1])
    end = re.search(rf"^#{{1,{level}}} ", text[found.end(1) :], re.MULTILINE)
    return text[found.start() : found.end(1) + end.start() if end else len(text)]


def named(text: str) -> set[str]:
    """The words that stand in back quotes by themselves."""
    return set(re.findall(r"`([A-Za-z_][\w.-]*)`", text))


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[set[tuple[str, str]]]:
    """Methods and paths of the application, parameters without their names."""
    settings = Settings(server=ServerSettings(data_dir=tmp_path_factory.mktemp("docs")))
    with Services.open(settings) as services:
        paths = create_app(services).openapi()["paths"]
        yield {(method.upper(), unnamed(path)) for path, methods in paths.items() for method in methods}


def unnamed(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path)


def test_every_route_is_documented_and_every_documented_route_exists(routes: set[tuple[str, str]]) -> None:
    told = re.findall(r"`(GET|HEAD|POST|PUT|PATCH|DELETE) (/[^\s`?]*)[^`]*`", API)
    assert {(method, unnamed(path)) for method, path in told} == routes


@pytest.mark.parametrize(
    ("title", "model"),
    [
        ("Chat completions", ChatRequest),
        ("Completions", CompletionRequest),
        ("Tasks", TaskRequestBody),
        ("Video indexes", IndexRequest),
        ("Agent sessions", Start),
    ],
)
def test_every_field_of_a_request_is_documented(title: str, model: type[BaseModel]) -> None:
    text = section(API, title)
    if issubclass(model, CompletionRequest | TaskRequestBody):  # these have the sampling fields of chat completions
        text += section(API, "Chat completions")
    refused = getattr(model, "unsupported", {})
    assert {*model.model_fields, *refused} - named(text) == set()


def test_the_task_sections_are_the_tasks_and_name_their_parameters() -> None:
    tasks = section(API, "Tasks")
    sections = re.findall(r"^### `(\w+)`", tasks, re.MULTILINE)
    assert sections == list(TASKS)
    for name, task in TASKS.items():
        text = section(tasks, f"`{name}`")
        rows = set(re.findall(r"^\| `(\w+)`", text, re.MULTILINE))
        assert rows == {field.alias or key for key, field in task.params.model_fields.items()}, name


def test_every_part_of_a_result_is_documented() -> None:
    assert set(TaskResult.model_fields) - named(section(API, "Results")) == set()


def test_the_tables_of_settings_are_those_of_the_code() -> None:
    for name in Settings.model_fields:
        rows = [line for line in section(SETTINGS, f"`{name}`").splitlines() if line.startswith("| `")]
        assert rows == [row(part, key, field) for (part, key), field in KEYS.items() if part == name]


def test_the_example_configuration_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QWEN3VL_" + f"{part}_{key}".upper() for part, key in KEYS):
        monkeypatch.delenv(name, raising=False)
    [example] = re.findall(r"^```yaml\n(.*?)^```", SETTINGS, re.MULTILINE | re.DOTALL)
    file = tmp_path / "config.yaml"
    file.write_text(example, encoding="utf-8")
    assert Settings.load(config=file) != Settings()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), f"{page.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {_anchor(heading) for heading in headings}, f"{page.name} links to {target}"


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def row(part: str, key: str, field: Any) -> str:
    """The line that tells of one setting."""
    cells = (f"`{key}`", kind(field.annotation), default(field.default), flag(part, key))
    return f"| {' | '.join(cells)} | `{PREFIX}{part.upper()}_{key.upper()}` | {field.description} |"


def kind(annotation: Any) -> str:
    """A type in words."""
    parts = [part for part in get_args(annotation) if part is not type(None)]
    match get_origin(annotation):
        case typing.Literal:
            return ", ".join(f"`{part}`" for part in parts)
        case typing.Annotated:
            return kind(parts[0])
        case builtins.tuple:
            return f"list: {kind(parts[0])}"
    if parts:
        return " or ".join(map(kind, parts))
    return {str: "text", Path: "path", int: "whole number", float: "number", bool: "switch", ByteSize: "size"}[
        annotation
    ]


def default(value: Any) -> str:
    match value:
        case None | ():
            return ""
        case bool():
            return "on" if value else "off"
        case ByteSize():
            return value.human_readable()
        case tuple():
            return ", ".join(map(str, value))
    return str(value)


def flag(part: str, key: str) -> str:
    """As the command takes it; the model is the one that has no dashes."""
    command = typer.main.get_command(cli.app)
    serve = command.commands["serve"]  # type: ignore[attr-defined]  # a group
    [parameter] = [each for each in serve.params if each.name == ("model" if key == "name" else f"{part}__{key}")]
    names = [*parameter.opts, *parameter.secondary_opts]
    return "the argument" if names == ["model"] else ", ".join(f"`{name}`" for name in names)
