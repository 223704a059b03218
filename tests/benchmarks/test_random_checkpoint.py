from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from benchmarks.random_checkpoint import DEVIATION, released, write_packed
from qwen3vl.checkpoints.catalogue import ReleasedModel
from qwen3vl.engine import saved
from qwen3vl.engine.formats import QUANTIZATIONS
from qwen3vl.model.network import Qwen3VL

SMALL = Path(__file__).parents[2] / "models" / "moe" / "config.json"


@pytest.fixture
def small() -> ReleasedModel:
    return dataclasses.replace(released("30b-a3b"), raw_config=json.loads(SMALL.read_text(encoding="utf-8")))


@pytest.mark.parametrize("quantization", list(QUANTIZATIONS))
def test_packed_weights_are_drawn_as_large_as_real_ones(
    small: ReleasedModel, quantization: str, tmp_path: Path
) -> None:
    write_packed(small, tmp_path / "packed", quantization)
    assert saved.stored_quantization(tmp_path / "packed") == quantization
    packings = QUANTIZATIONS[quantization]
    network = Qwen3VL.empty(small.config, torch.device("cpu"), torch.float32, packings, torch.bfloat16)
    saved.load(network, tmp_path / "packed")
    for matrix in network.packed().values():
        values = matrix.dequantize()
        assert values.std().item() == pytest.approx(DEVIATION, rel=0.05)
        assert abs(values.mean().item()) < DEVIATION / 2
    assert network.decoder.norm.weight.eq(1).all()


def test_a_released_model_can_be_cut() -> None:
    cut = released("30b-a3b", 3).config
    assert (cut.text.num_layers, len(cut.vision.deepstack_indexes)) == (3, 2)
    assert released("30b-a3b").config.text.num_layers == 48
