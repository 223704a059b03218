"""Every setting of the program, typed, in one tree.

A value comes from the command line, else from an environment variable (`QWEN3VL_SERVER_PORT` is `server.port`), else
from the default below. Knows nothing of what the settings are used for.
"""

from __future__ import annotations

import os
from typing import Any, Literal

from pydantic import BaseModel, ByteSize, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

_PREFIX = "QWEN3VL_"
_NO_SETTINGS = {"QWEN3VL_FONTS"}  # of the generator of drawn pictures, which training uses without this module


class ModelSettings(BaseModel):
    """Which model runs, and on what."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field("tiny-moe", description="folder, catalogue name or hub id")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    memory: ByteSize | None = Field(None, gt=0, description="the most to take, as bytes or 12GiB; None: as fits")
    max_context: int | None = Field(None, ge=1, description="tokens of prompt and answer; None: as fits")


class ServerSettings(BaseModel):
    """Where the server listens and what it accepts."""

    model_config = ConfigDict(extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(7860, ge=0, le=65535, description="0: any free port")
    max_body: ByteSize = Field(ByteSize(128 * 2**20), gt=0, description="bytes of one request, base64 media included")


class Settings(BaseSettings):
    """The root of the tree."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter="_", env_nested_max_split=1, extra="forbid"
    )

    model: ModelSettings = Field(default_factory=lambda: ModelSettings.model_validate({}))
    server: ServerSettings = Field(default_factory=lambda: ServerSettings.model_validate({}))

    @classmethod
    def load(cls, **sections: dict[str, Any]) -> Settings:
        """The environment, overridden by `sections` (`model={"name": ...}`), in which None means "not given".

        Raises `ValueError` that names the setting; an unknown `QWEN3VL_` variable is one too.
        """
        given = {name: {k: v for k, v in values.items() if v is not None} for name, values in sections.items()}
        known = {
            f"{_PREFIX}{name}_{key}".upper()
            for name, section in cls.model_fields.items()
            for key in getattr(section.annotation, "model_fields", {})
        }
        for variable in os.environ:
            if variable.upper().startswith(_PREFIX) and variable.upper() not in known | _NO_SETTINGS:
                raise ValueError(f"unknown environment variable {variable}; known are {', '.join(sorted(known))}")
        try:
            return cls(**given)  # type: ignore[arg-type]  # plain dictionaries, which pydantic validates
        except ValidationError as error:
            first = error.errors()[0]
            setting = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"setting {setting}: {first['msg']}, got {first.get('input')!r}") from error
