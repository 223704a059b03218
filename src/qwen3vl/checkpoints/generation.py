"""How a checkpoint's authors want it to be sampled: what its `generation_config.json` says, as a typed dataclass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen3vl.checkpoints.files import read_json
from qwen3vl.errors import CheckpointError


@dataclass(frozen=True)
class GenerationDefaults:
    """Used where a request says nothing. A temperature of 0 is greedy, a top_k of 0 and a top_p of 1 are off."""

    eos_token_ids: tuple[int, ...]  # any of these ends the answer
    do_sample: bool = False
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0

    @classmethod
    def from_folder(cls, folder: Path) -> GenerationDefaults:
        """Reads `folder/generation_config.json`. Where it is absent, or names no end token, the end token is that of
        `config.json` (its top level, then its text config), then that of `tokenizer_config.json`.

        With `do_sample` false, which is also the file format's default, the temperature is 0 whatever else is said.
        Raises `CheckpointError` when no end token is found or a value is not a number.
        """
        raw = read_json(folder / "generation_config.json") or {}
        eos = _ids(raw.get("eos_token_id")) or _eos_of_config(folder) or _eos_of_tokenizer(folder)
        if not eos:
            raise CheckpointError(
                f"{folder} names no end token in generation_config.json, config.json or tokenizer_config.json"
            )
        if not raw.get("do_sample"):
            return cls(
                eos,
                repetition_penalty=_number(raw, "repetition_penalty", 1.0),
                presence_penalty=_number(raw, "presence_penalty", 0.0),
            )
        # The neutral value of top_k is written as 0, as null or left out, which in this file format means 50.
        return cls(
            eos,
            do_sample=True,
            temperature=_number(raw, "temperature", 1.0),
            top_k=int(_number(raw, "top_k", 50.0)) if raw.get("top_k", 50) is not None else 0,
            top_p=_number(raw, "top_p", 1.0),
            repetition_penalty=_number(raw, "repetition_penalty", 1.0),
            presence_penalty=_number(raw, "presence_penalty", 0.0),
        )


def _eos_of_config(folder: Path) -> tuple[int, ...]:
    raw = read_json(folder / "config.json") or {}
    return _ids(raw.get("eos_token_id")) or _ids((raw.get("text_config") or {}).get("eos_token_id"))


def _eos_of_tokenizer(folder: Path) -> tuple[int, ...]:
    """The tokenizer config names the token; its id is looked up among the added tokens of `tokenizer.json`."""
    token = (read_json(folder / "tokenizer_config.json") or {}).get("eos_token")
    content = token.get("content") if isinstance(token, Mapping) else token
    added = (read_json(folder / "tokenizer.json") or {}).get("added_tokens") or []
    return tuple(entry["id"] for entry in added if content is not None and entry["content"] == content)


def _ids(value: object) -> tuple[int, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(item for item in values if isinstance(item, int) and not isinstance(item, bool))


def _number(raw: Mapping[str, Any], key: str, default: float) -> float:
    value = raw.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise CheckpointError(f"generation_config.json: {key} must be a number of at least 0, got {value!r}")
    return float(value)
