"""The decoder's angles against the reference library's, plain and with YaRN, at the released shape and at odd ones."""

from __future__ import annotations

import pytest
import torch
from transformers import Qwen3VLConfig
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextRotaryEmbedding

from qwen3vl.checkpoints.config import RopeConfig, YarnConfig
from qwen3vl.model.rotary import MRope

YARN = {"factor": 3.0, "original_max_position_embeddings": 262144}


@pytest.mark.parametrize("yarn", [None, YARN, YARN | {"attention_factor": 1.25, "beta_fast": 16.0, "beta_slow": 2.0}])
@pytest.mark.parametrize(("head_dim", "section"), [(128, (24, 20, 20)), (64, (12, 10, 10)), (32, (6, 5, 5))])
def test_angles(yarn: dict[str, float] | None, head_dim: int, section: tuple[int, int, int]) -> None:
    parameters = {"rope_theta": 5e6, "mrope_section": list(section), "mrope_interleaved": True, "rope_type": "default"}
    config = Qwen3VLConfig(
        text_config={
            "head_dim": head_dim,
            "max_position_embeddings": 786432 if yarn else 262144,
            "rope_parameters": parameters | ({"rope_type": "yarn"} | yarn if yarn else {}),
        }
    )
    positions = torch.randint(0, 5000, (3, 50), generator=torch.Generator().manual_seed(0))
    cos, sin = Qwen3VLTextRotaryEmbedding(config.text_config)(torch.zeros(1), positions[:, None])
    ours = None
    if yarn is not None:
        ours = YarnConfig(
            factor=yarn["factor"],
            original_max_positions=int(yarn["original_max_position_embeddings"]),
            beta_fast=yarn.get("beta_fast", 32.0),
            beta_slow=yarn.get("beta_slow", 1.0),
            attention_factor=yarn.get("attention_factor"),
            truncate=True,
        )
    rope = MRope(RopeConfig(5e6, section, ours), head_dim, torch.device("cpu"))
    for mine, theirs in zip(rope(positions), (cos, sin), strict=True):
        torch.testing.assert_close(mine[:, 0], theirs[0, :, : head_dim // 2], rtol=0, atol=2e-6)
