from __future__ import annotations

import pytest

from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.errors import InputError
from qwen3vl.experts.modes import active_experts
from support.tiny import SHIPPED


@pytest.fixture(scope="module")
def moe() -> ModelConfig:
    return ModelConfig.from_folder(SHIPPED / "moe")


@pytest.mark.parametrize(("mode", "count"), [("fast", 2), ("balanced", 3), ("full", 4), (1, 1), (4, 4)])
def test_counts_of_a_top_4_model(moe: ModelConfig, mode: str | int, count: int) -> None:
    assert active_experts(mode, moe) == count


@pytest.mark.parametrize("mode", [0, 5, -1, True, "turbo", "", None, 2.0])
def test_what_cannot_be_honoured_says_what_can(moe: ModelConfig, mode: object) -> None:
    with pytest.raises(InputError, match=r"1 to 4"):
        active_experts(mode, moe)  # type: ignore[arg-type]


def test_a_dense_model_answers_only_full() -> None:
    dense = ModelConfig.from_folder(SHIPPED / "dense")
    assert active_experts("full", dense) == 1
    for mode in ("fast", "balanced", 2, 1):
        with pytest.raises(InputError, match="dense"):
            active_experts(mode, dense)
