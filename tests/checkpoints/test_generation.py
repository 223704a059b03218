"""What `generation_config.json` says, against what the reference library reads from the same folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import transformers

from qwen3vl.checkpoints.generation import GenerationDefaults
from qwen3vl.errors import CheckpointError
from support.tiny import SHIPPED

REFERENCE: Any = transformers  # its annotations are not those of what it returns

RELEASED = {
    "bos_token_id": 151643,
    "pad_token_id": 151643,
    "do_sample": True,
    "eos_token_id": [151645, 151643],
    "top_p": 0.8,
    "top_k": 20,
    "temperature": 0.7,
    "repetition_penalty": 1.0,
}


def write(folder: Path, **files: Any) -> Path:
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "raw",
    [
        RELEASED,
        {**RELEASED, "eos_token_id": 7, "repetition_penalty": 1.1},
        {"do_sample": True, "eos_token_id": 7},
        {"do_sample": True, "eos_token_id": 7, "top_k": 0},
    ],
)
def test_sampling_reads_as_in_the_reference_library(raw: dict[str, Any], tmp_path: Path) -> None:
    ours = GenerationDefaults.from_folder(write(tmp_path, generation_config=raw))
    theirs = REFERENCE.GenerationConfig.from_pretrained(tmp_path)
    default = REFERENCE.GenerationConfig(do_sample=True)._get_default_generation_params()
    for name in ("temperature", "top_k", "top_p", "repetition_penalty"):
        value = getattr(theirs, name)
        assert getattr(ours, name) == (default[name] if value is None else value), name
    eos = theirs.eos_token_id
    assert ours.eos_token_ids == tuple(eos if isinstance(eos, list) else [eos])
    assert ours.do_sample


@pytest.mark.parametrize("do_sample", [{}, {"do_sample": False}])
def test_no_sampling_is_greedy_whatever_else_is_said(do_sample: dict[str, bool], tmp_path: Path) -> None:
    raw = {"eos_token_id": 2, "temperature": 0.7, "top_k": 20, "top_p": 0.8, "repetition_penalty": 1.2} | do_sample
    ours = GenerationDefaults.from_folder(write(tmp_path, generation_config=raw))
    assert ours == GenerationDefaults((2,), repetition_penalty=1.2)
    assert ours.temperature == 0.0


def test_a_presence_penalty_is_read(tmp_path: Path) -> None:
    ours = GenerationDefaults.from_folder(write(tmp_path, generation_config={**RELEASED, "presence_penalty": 1.5}))
    assert ours.presence_penalty == 1.5


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"config": {"eos_token_id": 5, "text_config": {"eos_token_id": 6}}}, (5,)),
        ({"config": {"text_config": {"eos_token_id": 6}}}, (6,)),
        ({"config": {"text_config": {"eos_token_id": [6, 7]}}, "generation_config": {"top_k": 3}}, (6, 7)),
        ({"tokenizer_config": {"eos_token": "<|im_end|>"}}, (2,)),
        ({"tokenizer_config": {"eos_token": {"content": "<|im_end|>"}}}, (2,)),
    ],
)
def test_without_a_generation_config_the_end_token_is_found_elsewhere(
    files: dict[str, Any], expected: tuple[int, ...], tmp_path: Path
) -> None:
    shutil.copy(SHIPPED / "dense" / "tokenizer.json", tmp_path)
    assert GenerationDefaults.from_folder(write(tmp_path, **files)).eos_token_ids == expected


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "names no end token"),
        ({"generation_config": "{"}, "is not valid JSON"),
        ({"generation_config": "[]"}, "must hold a JSON object"),
        ({"generation_config": {**RELEASED, "top_p": "high"}}, "top_p must be a number of at least 0, got 'high'"),
        ({"generation_config": {**RELEASED, "temperature": -1}}, "temperature must be a number of at least 0, got -1"),
    ],
)
def test_says_what_is_wrong(files: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=message):
        GenerationDefaults.from_folder(write(tmp_path, **files))
