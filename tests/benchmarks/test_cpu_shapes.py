from __future__ import annotations

import pytest

from benchmarks.cpu.shapes import Shape, Weights
from qwen3vl.checkpoints.tensors import VISION, active_text_parameters, released_shapes


def released_sizes(shape: Shape) -> dict[str, int]:
    """Bytes of every tensor in bfloat16."""
    sizes = {}
    for name, dimensions in released_shapes(shape.config).items():
        sizes[name] = 2
        for dimension in dimensions:
            sizes[name] *= dimension
    return sizes


@pytest.mark.parametrize("model", ["2b", "8b", "30b-a3b"])
def test_a_token_reads_the_weights_that_are_active(model: str) -> None:
    shape = Shape(model)
    weights = Weights.of_sizes(released_sizes(shape), shape.config, cache_itemsize=2)
    row = 0 if shape.config.tie_word_embeddings else 2 * shape.config.text.hidden_size
    assert weights.step_bytes(shape.config, 1, 0) == pytest.approx(2 * active_text_parameters(shape.config) - row)


def test_a_batch_shares_weights_but_not_positions() -> None:
    shape = Shape("2b")
    weights = Weights.of_sizes(released_sizes(shape), shape.config, cache_itemsize=2)
    assert weights.position == 28 * 2 * 8 * 128 * 2
    grown = weights.step_bytes(shape.config, 4, 100) - weights.step_bytes(shape.config, 1, 0)
    assert grown == 4 * 100 * weights.position


def test_sequences_meet_more_experts_together_but_never_more_than_there_are() -> None:
    shape = Shape("30b-a3b", experts=64)
    weights = Weights(always=0, expert=1, position=0)
    met = [weights.step_bytes(shape.config, sequences, 0) for sequences in (1, 2, 1000)]
    assert met == pytest.approx([64, 96, 128])


def test_a_shape_can_be_cut() -> None:
    cut = Shape("30b-a3b", layers=2, experts=4)
    assert cut.config.text.num_layers == 2
    assert cut.config.text.moe is not None
    assert cut.config.text.moe.num_experts_per_tok == 4
    assert len(cut.config.vision.deepstack_indexes) < 2
    assert Shape("30b-a3b").config.text.num_layers == 48
    with pytest.raises(SystemExit):
        _ = Shape("2b", layers=29).config
    with pytest.raises(SystemExit):
        _ = Shape("2b", experts=1).config


def test_the_vision_tower_does_not_count() -> None:
    shape = Shape("2b")
    sizes = released_sizes(shape)
    text = {name: size for name, size in sizes.items() if not name.startswith(VISION)}
    assert Weights.of_sizes(sizes, shape.config, 2) == Weights.of_sizes(text, shape.config, 2)
