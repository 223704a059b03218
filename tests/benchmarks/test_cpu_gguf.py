"""The `gguf` package is the oracle: it reads what was written, and dequantises it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest

from benchmarks.cpu import gguf_file
from benchmarks.cpu.noise import Noise
from benchmarks.cpu.shapes import Shape, Weights
from qwen3vl.checkpoints.tensors import active_text_parameters, text_parameters


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_values_are_finite_centred_and_of_the_right_size(bits: int) -> None:
    rows = 64
    for kind in {gguf_file.FORMATS[bits].matrices, gguf_file.FORMATS[bits].head}:
        tensor = gguf_file.Tensor("blk.0.attn_q.weight", (rows, 4096), kind)
        data = gguf_file.values(tensor, Noise(0))
        assert data.nbytes == tensor.nbytes
        back = gguf.dequantize(data.view(np.uint8).reshape(rows, -1), kind).astype(np.float64)
        assert np.isfinite(back).all()
        assert back.size == rows * 4096
        assert abs(back.mean()) < 0.001
        assert 0.015 < back.std() < 0.025


@pytest.mark.parametrize("model", ["2b", "30b-a3b"])
def test_a_file_holds_the_whole_text_tower(model: str) -> None:
    shape = Shape(model)
    planned = gguf_file.tensors(shape.config, 16)
    assert sum(int(np.prod(tensor.shape)) for tensor in planned) == text_parameters(shape.config)
    weights = Weights.of_sizes({tensor.name: tensor.nbytes for tensor in planned}, shape.config, 2)
    # Norms and the router take four bytes.
    assert weights.step_bytes(shape.config, 1, 0) == pytest.approx(2 * active_text_parameters(shape.config), rel=0.01)


def test_a_dense_model_can_be_written_as_its_text_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Shape("2b", layers=1).config
    config = replace(config, text=replace(config.text, vocab_size=50))
    monkeypatch.setattr(gguf_file, "tensors", lambda config, bits: [])
    gguf_file.write(config, 8, tmp_path / "model.gguf", text_only=True)
    fields = gguf.GGUFReader(tmp_path / "model.gguf").fields
    assert fields["general.architecture"].contents() == "qwen3"
    assert "qwen3.rope.dimension_sections" not in fields
    assert len(fields["tokenizer.ggml.tokens"].contents()) == 50
    with pytest.raises(ValueError, match="dense"):
        gguf_file.write(Shape("30b-a3b", layers=1).config, 8, tmp_path / "moe.gguf", text_only=True)


def test_a_file_opens_in_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = Shape("30b-a3b", layers=1, experts=4)
    text = shape.config.text
    # Experts and vocabulary cut after the plan was made, to keep the file small.
    kept = [tensor for tensor in gguf_file.tensors(shape.config, 4) if "exps" not in tensor.name]
    kept = [tensor for tensor in kept if "embd" not in tensor.name and tensor.name != "output.weight"]
    monkeypatch.setattr(gguf_file, "tensors", lambda config, bits: kept)
    gguf_file.write(shape.config, 4, tmp_path / "model.gguf")

    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]
    reader = gguf.GGUFReader(tmp_path / "model.gguf")
    assert reader.fields["general.architecture"].contents() == "qwen3vlmoe"
    assert reader.fields["qwen3vlmoe.expert_used_count"].contents() == 4
    assert reader.fields["qwen3vlmoe.block_count"].contents() == 1
    assert reader.fields["qwen3vlmoe.rope.dimension_sections"].contents() == [24, 20, 20, 0]
    found = {tensor.name: tensor for tensor in reader.tensors}
    query = found["blk.0.attn_q.weight"]
    assert list(query.shape) == [text.hidden_size, text.num_heads * text.head_dim]
    assert query.tensor_type == gguf.GGMLQuantizationType.Q4_0
    assert np.isfinite(gguf.dequantize(query.data, query.tensor_type)).all()
    assert (found["blk.0.attn_norm.weight"].data == 1).all()
    assert found["blk.0.ffn_gate_inp.weight"].tensor_type == gguf.GGMLQuantizationType.F32
