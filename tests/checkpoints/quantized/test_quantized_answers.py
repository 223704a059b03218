"""An engine that loads a quantised checkpoint answers as the reference library does with the floats that it stands for:
the same greedy tokens, with a picture in the question.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qwen3vl import Engine
from qwen3vl.engine.options import GenerationOptions
from support.compressed import by_the_library, scheme
from support.inputs import CASES_BY_NAME as CASES
from support.oracle import Oracle
from support.quantized import GROUP, Quantize, awq, gptq, make_pair

NEW_TOKENS = 24
INT4 = scheme(["Linear"], {"num_bits": 4, "strategy": "group", "group_size": GROUP}, format="pack-quantized")
FP8 = scheme(["Linear"], {"num_bits": 8, "type": "float", "strategy": "channel"}, format="naive-quantized")


def compressed(one: Any) -> dict[str, Any]:
    groups = {"group_0": one.model_dump(mode="json")}
    return {"quant_method": "compressed-tensors", "format": one.format, "config_groups": groups, "ignore": ["lm_head"]}


KINDS: dict[str, tuple[Quantize, dict[str, Any]]] = {
    "awq": (awq, {"quant_method": "awq", "bits": 4, "group_size": GROUP, "version": "gemm"}),
    "gptq": (gptq(act_order=True), {"quant_method": "gptq", "bits": 4, "group_size": GROUP, "desc_act": True}),
    "int4": (by_the_library(INT4), compressed(INT4)),
    "fp8": (by_the_library(FP8), {"quant_method": "fp8", "activation_scheme": "dynamic"}),
}


@pytest.mark.parametrize("moe", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_tokens(kind: str, moe: bool, tmp_path: Path) -> None:
    quantized, floats = make_pair(tmp_path, *KINDS[kind], moe=moe)
    with Engine.load(quantized, device="cpu", dtype="float32") as engine:
        prompt = engine.prepare(CASES["image"].messages, GenerationOptions())
        options = GenerationOptions(temperature=0.0, max_tokens=NEW_TOKENS, ignore_eos=True)
        tokens = [token for delta in engine.stream_prompt(prompt, options) for token in delta.token_ids]
    assert tokens == Oracle(floats).greedy(prompt, NEW_TOKENS).token_ids
    assert len(set(tokens)) > 3, "an answer of one repeated token shows little"
