"""Every setting as a flag of a command, in the sections of config.yaml."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_args

import typer
from pydantic import ByteSize
from typer.core import TyperCommand

from qwen3vl.settings import KEYS

MODEL_NAME = ("model", "name")  # an argument, not a flag


class Grouped(TyperCommand):
    """A command whose help lists its options by section."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if (record := parameter.get_help_record(ctx)) is not None:
                title = getattr(parameter, "rich_help_panel", None) or "Options"
                sections.setdefault(title, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def with_settings(function: Callable[..., None]) -> Callable[..., None]:
    """Gives a command every setting as a flag: `server.max_body` is `--max-body`, and reaches `function` in `flags`."""

    def command(**given: Any) -> None:
        flags: dict[str, dict[str, Any]] = {}
        for section, key in KEYS:
            if (section, key) != MODEL_NAME:
                flags.setdefault(section, {})[key] = given.pop(f"{section}__{key}")
        function(**given, flags=flags)

    own = [each for each in inspect.signature(function, eval_str=True).parameters.values() if each.name != "flags"]
    kind = inspect.Parameter.KEYWORD_ONLY
    further = [
        inspect.Parameter(f"{section}__{key}", kind, default=None, annotation=_flag(section, key, field))
        for (section, key), field in KEYS.items()
        if (section, key) != MODEL_NAME
    ]
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # Typer reads the parameters here
        [each.replace(kind=kind) for each in own] + further
    )
    command.__annotations__, command.__doc__, command.__name__ = {}, function.__doc__, function.__name__
    return command


def _flag(section: str, key: str, field: Any) -> Any:
    """The type and option of one setting. Values stay text, for the settings to check; a switch has its own form."""
    name, default = key.replace("_", "-"), field.default
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
    if isinstance(default, bool):
        shown = "on" if default else "off"
    elif isinstance(default, ByteSize):
        shown = default.human_readable()
    text = field.description + ("" if shown in (None, "") else f" [default: {shown}]")
    panel = f"{section.capitalize()} ({section} in config.yaml)"
    if bool in (field.annotation, *get_args(field.annotation)):
        return Annotated[
            bool | None, typer.Option(f"--{name}/--no-{name}", help=text, rich_help_panel=panel, show_default=False)
        ]
    return Annotated[
        str | None, typer.Option(f"--{name}", help=text, rich_help_panel=panel, metavar=key.rpartition("_")[2].upper())
    ]
