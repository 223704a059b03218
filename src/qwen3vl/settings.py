"""Every setting of the program, typed, in one tree, and the four places a value may come from.

A flag of the command line goes before an environment variable (`QWEN3VL_SERVER_PORT` is `server.port`), that before the
configuration file, and that before the default below. The file is YAML with the sections of this tree: the one that is
named, else `QWEN3VL_CONFIG`, `./config.yaml`, or `config.yaml` in the user's configuration folder. A key that nobody
knows is an error wherever it stands. Knows nothing of what the settings are used for.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, ValidationError

PREFIX = "QWEN3VL_"
CONFIG_VARIABLE = "QWEN3VL_CONFIG"
_NO_SETTINGS = {CONFIG_VARIABLE, "QWEN3VL_FONTS"}  # the latter: of the generator of drawn pictures
_FILE_NAME = "config.yaml"


def _split(value: object) -> object:
    """A flag or a variable is one string; commas stand between the entries of a list."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Strings = Annotated[tuple[str, ...], BeforeValidator(_split)]
Paths = Annotated[tuple[Path, ...], BeforeValidator(_split)]
Ports = Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], BeforeValidator(_split)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSettings(_Section):
    """Which model runs, and on what."""

    name: str = Field("tiny-moe", description="a folder, catalogue name or hub id")
    source: Literal["huggingface", "modelscope"] = Field(
        "huggingface", description="where models are downloaded from: huggingface or modelscope"
    )
    folders: Paths = Field((), description="folders whose sub-folders are models too")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="of the weights: auto, float32, bfloat16 or float16"
    )
    quantization: Literal["none", "int8", "int4"] = Field(
        "none", description="of the decoder's weights while they are loaded: none, int8 or int4 (for a CPU)"
    )
    kv_cache: Literal["auto", "float32", "bfloat16", "float16", "int8"] = Field(
        "auto", description="of keys and values: auto, float32, bfloat16, float16 or int8"
    )
    memory: ByteSize | None = Field(None, gt=0, description="the most to take, such as 12GiB; without: as fits")
    max_context: int | None = Field(None, ge=1, description="tokens of prompt and answer; without: as fits")
    speculation: Literal["auto", "off"] = Field(
        "auto", description="draft tokens and check several at a time where that is faster: auto or off"
    )
    idle_unload: float | None = Field(
        None, gt=0, description="minutes without a request after which the model leaves memory; without: never"
    )
    switch: bool = Field(False, description="load another model that is on this machine when a request names it")


class GenerationSettings(_Section):
    """What a request gets that does not say; without a value here it is what the checkpoint recommends."""

    mode: int | str | None = Field(None, description="fast, balanced, full or a number of active experts")
    max_tokens: int | None = Field(None, description="of an answer; without: until the context is full")
    temperature: float | None = Field(None, description="0 is greedy")
    top_k: int | None = Field(None, description="0 is off")
    top_p: float | None = Field(None, description="1 is off")
    min_p: float | None = Field(None, description="0 is off")
    presence_penalty: float | None = Field(None, description="0 is off")
    frequency_penalty: float | None = Field(None, description="0 is off")
    repetition_penalty: float | None = Field(None, description="1 is off")
    stop_loops: bool | None = Field(None, description="end an answer that repeats itself without end")
    min_pixels: int | None = Field(None, description="of a picture after resizing")
    max_pixels: int | None = Field(None, description="of a picture after resizing")
    fps: float | None = Field(None, description="frames a second that are looked at in a video")

    def given(self) -> dict[str, Any]:
        """The values that are set, by the names of the engine's options."""
        values = self.model_dump(exclude_none=True)
        if str(values.get("mode", "")).isdigit():  # a flag or a variable is a string
            values["mode"] = int(values["mode"])
        return values


class InterfaceSettings(_Section):
    """How the web page behaves."""

    language: Literal["auto", "en", "zh"] = Field("auto", description="auto (the browser's), en or zh")
    streaming: bool = Field(True, description="show answers while they are written")
    token_counts: bool = Field(True, description="show tokens and speed under each answer")
    autosave: bool = Field(True, description="keep conversations")


class ServerSettings(_Section):
    """Where the server listens, what it accepts, and from whom."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(7860, ge=0, le=65535, description="0: any free port")
    insecure: bool = Field(False, description="serve other machines although no key was made")
    require_keys: bool = Field(False, description="ask for a key even while none was made")
    rate: str | None = Field(None, description="requests of one address without a key, such as 60/min; without: any")
    allowed_hosts: Strings = Field((), description="names under which the server is reached, beside its addresses")
    cors_origins: Strings = Field((), description="other origins whose pages may call the API, such as https://a.org")
    max_body: ByteSize = Field(ByteSize(128 * 2**20), gt=0, description="bytes of one request, base64 media included")
    max_queue: int = Field(128, ge=1, description="requests that may wait for their first token; more get 429")
    queue_timeout: float = Field(300.0, gt=0, description="seconds a request may wait for its first token")
    request_timeout: float = Field(3600.0, gt=0, description="seconds a whole answer may take")
    url_media: bool = Field(False, description="fetch pictures and videos that a request names by URL")
    url_hosts: Strings = Field((), description="hosts to fetch from, such as *.example.org; without: any public one")
    url_ports: Ports = Field((80, 443), description="ports to fetch from")
    url_bytes: ByteSize = Field(ByteSize(64 * 2**20), gt=0, description="of one fetched file")
    url_timeout: float = Field(30.0, gt=0, description="seconds that fetching one file may take")
    data_dir: Path | None = Field(None, description="conversations, files and keys; without: the user's data folder")
    database: str | None = Field(None, description="a database URL; without: SQLite in the data folder")
    max_file: ByteSize = Field(ByteSize(128 * 2**20), gt=0, description="bytes of one uploaded file")
    max_files: ByteSize = Field(
        ByteSize(8 * 2**30), gt=0, description="bytes of all uploaded files of one key together"
    )
    agent_sessions: int = Field(4, ge=0, description="GUI agents with a browser at the same time; 0: none")
    agent_idle: float = Field(10.0, gt=0, description="minutes after which an agent that nobody asks is stopped")
    agent_private_hosts: Strings = Field(
        (), description="hosts that agents may visit although their addresses are not public, such as localhost:3000"
    )

    @property
    def data_folder(self) -> Path:
        home = Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share") / "qwen3vl"
        return (self.data_dir or home).expanduser()


class Settings(BaseModel):
    """The root of the tree."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: ModelSettings = Field(default_factory=lambda: ModelSettings.model_validate({}))
    generation: GenerationSettings = Field(default_factory=lambda: GenerationSettings.model_validate({}))
    interface: InterfaceSettings = Field(default_factory=lambda: InterfaceSettings.model_validate({}))
    server: ServerSettings = Field(default_factory=lambda: ServerSettings.model_validate({}))

    @classmethod
    def load(cls, *, config: Path | None = None, **sections: dict[str, Any]) -> Settings:
        """File and environment, overridden by `sections` (`model={"name": ...}`), in which None means "not given".

        `config` names the file, which must then exist. Raises `ValueError` that names the setting and where it stands.
        """
        values: dict[tuple[str, str], Any] = {}
        origins: dict[tuple[str, str], str] = {}

        def take(section: str, key: str, value: Any, origin: str) -> None:
            if (section, key) not in KEYS:
                raise ValueError(f"{origin}: unknown setting {section}.{key}{_nearest(f'{section}.{key}', _DOTTED)}")
            values[section, key], origins[section, key] = value, origin

        path = _find_file(config)
        for section, keys in (_read_file(path) if path else {}).items():
            if section not in cls.model_fields:
                raise ValueError(f"{path}: unknown section {section!r}{_nearest(str(section), list(cls.model_fields))}")
            for key, value in keys.items():
                if value is not None:
                    take(section, str(key), value, str(path))
        for variable, value in os.environ.items():
            if variable.upper().startswith(PREFIX) and variable.upper() not in _NO_SETTINGS:
                if variable.upper() not in _VARIABLES:
                    near = _nearest(variable.upper(), [*_VARIABLES, *_NO_SETTINGS])
                    raise ValueError(f"unknown environment variable {variable}{near}")
                take(*_VARIABLES[variable.upper()], value, f"environment variable {variable}")
        for section, given in sections.items():
            for key, value in given.items():
                if value is not None:
                    take(section, key, value, "command line")

        tree: dict[str, dict[str, Any]] = {}
        for (section, key), value in values.items():
            tree.setdefault(section, {})[key] = value
        try:
            return cls.model_validate(tree)
        except ValidationError as error:
            first = error.errors()[0]
            name = (str(first["loc"][0]), str(first["loc"][1]))
            raise ValueError(
                f"{origins[name]}: setting {'.'.join(name)}: {first['msg']}, got {values[name]!r}"
            ) from error


KEYS: Mapping[tuple[str, str], Any] = {
    (section, key): field
    for section, of in Settings.model_fields.items()
    for key, field in of.annotation.model_fields.items()  # type: ignore[union-attr]  # all four are sections
}
"""Every setting by section and key, as pydantic describes it."""

_DOTTED = [f"{section}.{key}" for section, key in KEYS]
_VARIABLES = {f"{PREFIX}{section}_{key}".upper(): (section, key) for section, key in KEYS}


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(known))}"


def _find_file(named: Path | None) -> Path | None:
    if named is None and os.environ.get(CONFIG_VARIABLE):
        named = Path(os.environ[CONFIG_VARIABLE])
    if named is not None:
        if not named.is_file():
            raise ValueError(f"the configuration file {named} does not exist")
        return named
    user = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "qwen3vl" / _FILE_NAME
    return next((path for path in (Path(_FILE_NAME), user) if path.is_file()), None)


def _read_file(path: Path) -> dict[str, dict[Any, Any]]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read as YAML: {error}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ValueError(f"{path} must hold sections ({', '.join(Settings.model_fields)}), each with keys")
    for section, keys in tree.items():
        if keys is not None and not isinstance(keys, dict):
            raise ValueError(f"{path}: the section {section!r} must hold keys, got {keys!r}")
    return {section: keys or {} for section, keys in tree.items()}
