"""Bfloat16 against float32 with the trained checkpoints: no further from it than the reference library's own bfloat16
is.

Runs on the CPU by default; with `--device cuda` it holds the GPU's bfloat16 against the CPU's float32.
"""

from __future__ import annotations

import pytest
import torch

from qwen3vl import Engine
from qwen3vl.engine.build import EngineConfig
from qwen3vl.engine.options import GenerationOptions
from support.inputs import CASES_BY_NAME
from support.oracle import Oracle
from support.tiny import SHIPPED

CASES = {name: case for name, case in CASES_BY_NAME.items() if name != "long"}


def first_logits(model: str, device: str, dtype: str) -> dict[str, torch.Tensor]:
    """Logits of the first token of each answer."""
    seen: list[torch.Tensor] = []
    found = {}
    with Engine.load(SHIPPED / model, device=device, dtype=dtype, config=EngineConfig(num_blocks=300)) as engine:
        run = engine._core.runner.run
        engine._core.runner.run = lambda chunks: seen.append(run(chunks)) or seen[-1]  # type: ignore[method-assign, func-returns-value]
        for name, case in CASES.items():
            engine.generate(case.messages, max_tokens=1, temperature=0.0)
            found[name] = seen[-1][0].cpu()
    return found


def reference_logits(model: str) -> dict[str, torch.Tensor]:
    oracle = Oracle(SHIPPED / model, dtype=torch.bfloat16)
    with Engine.load(SHIPPED / model, device="cpu", config=EngineConfig(num_blocks=300)) as engine:
        prompts = {name: engine.prepare(case.messages, GenerationOptions()) for name, case in CASES.items()}
    return {name: oracle.greedy(prompt, 1, CASES[name].clips).logits[0] for name, prompt in prompts.items()}


@pytest.mark.parametrize("model", ["dense", "moe"])
def test_bfloat16_is_as_close_to_float32_as_the_references(model: str, device: str) -> None:
    """The median case's root mean square over the tokens: in a single one a router's near-tie may turn, which moves its
    logits by as much as another answer, for the reference on other cases than for us.
    """
    exact = first_logits(model, "cpu", "float32")

    def distance(rough: dict[str, torch.Tensor]) -> float:
        return float(torch.stack([rough[name] - exact[name] for name in CASES]).pow(2).mean(-1).sqrt().median())

    ours, reference = distance(first_logits(model, device, "bfloat16")), distance(reference_logits(model))
    print(f"{model} on {device}: rms distance of bfloat16 logits {ours:.4f}, reference library's {reference:.4f}")
    assert 0 < ours < 1.5 * reference


def test_generation_defaults_apply_in_every_type(device: str) -> None:
    with Engine.load("tiny-moe", device=device, dtype="bfloat16", config=EngineConfig(num_blocks=64)) as engine:
        assert engine.info.dtype == "bfloat16"
        prompt = engine.prompt_builder.build(CASES_BY_NAME["image"].messages)
        options = GenerationOptions(max_tokens=4, ignore_eos=True)
        assert len([t for d in engine.stream_prompt(prompt, options) for t in d.token_ids]) == 4
