"""The floors of the house: a room imports only from rooms below it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "qwen3vl"

FLOORS = {
    "errors": 0,
    "settings": 0,
    "kernels": 1,
    "media": 1,
    "checkpoints": 1,
    "drawn": 1,
    "telemetry": 1,
    "planner": 2,
    "experts": 2,
    "model": 2,
    "prompt": 2,
    "browser": 3,
    "engine": 3,
    "tasks": 4,
    "store": 4,
    "bench": 5,
    "server": 5,
    "webui": 6,
    "flags": 6,
    "cli": 7,
}

# The oracle of the tests and the trainer of the small checkpoints; the program itself runs without them.
NEVER_AT_RUN_TIME = {"transformers", "accelerate", "torchvision", "pytest"}

FILES = sorted(ROOT.rglob("*.py"))


def imported_modules(path: Path) -> set[str]:
    """Absolute dotted names of everything that the file imports, wherever in it, `TYPE_CHECKING` blocks included."""
    package = ["qwen3vl", *path.relative_to(ROOT).parent.parts]
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names.update(f"{module}.{alias.name}" for alias in node.names)
    return names


def room_of(path: Path) -> str:
    """`server` for server/app.py, `cli` for cli.py, an empty string for the package's own `__init__.py`."""
    first = path.relative_to(ROOT).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imported_rooms(path: Path) -> set[str]:
    """`from qwen3vl import Engine` counts as the engine; the version is nobody's."""
    parts = (name.split(".") for name in imported_modules(path))
    names = {part[1] for part in parts if part[0] == "qwen3vl" and len(part) > 1}
    return {"engine" if name == "Engine" else name for name in names - {"__version__"}}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_only_from_lower_floors(path: Path) -> None:
    room = room_of(path)
    if not room:
        return  # the package's face re-exports the public names
    assert room in FLOORS, f"{room} has no floor; give it one in DESIGN.md and here"
    for other in imported_rooms(path) - {room}:
        assert other in FLOORS, f"{path.name} imports {other}, which is no known room"
        assert FLOORS[other] < FLOORS[room], (
            f"{room} (floor {FLOORS[room]}) must not import {other} (floor {FLOORS[other]})"
        )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_of_the_oracle_at_run_time(path: Path) -> None:
    assert not {name.split(".")[0] for name in imported_modules(path)} & NEVER_AT_RUN_TIME


def test_the_web_ui_stays_out_of_the_engine_internals() -> None:
    """The page uses the `Engine` facade and its plain data, nothing of how the engine works."""
    allowed = {"qwen3vl.engine.outputs", "qwen3vl.engine.options", "qwen3vl.engine.engine"}
    for path in (ROOT / "webui").rglob("*.py"):
        used = {name.rsplit(".", 1)[0] for name in imported_modules(path) if name.startswith("qwen3vl.engine.")}
        assert used <= allowed, f"{path.name} reaches into {sorted(used - allowed)}"
