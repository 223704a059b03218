"""The mean of models is what the reference library loads as the mean of each tensor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from support.tiny import make_checkpoint
from training.average import average

REFERENCE: Any = transformers


def loaded(folder: Path) -> dict[str, torch.Tensor]:
    model, report = REFERENCE.AutoModelForImageTextToText.from_pretrained(
        folder, dtype=torch.bfloat16, output_loading_info=True
    )
    assert not any(report.values())
    return dict(model.state_dict())


@pytest.mark.parametrize("moe", [False, True])
@pytest.mark.parametrize("in_place", [False, True])
def test_the_mean_of_three_models(moe: bool, in_place: bool, tmp_path: Path) -> None:
    folders = [tmp_path / str(seed) for seed in range(3)]
    for seed, folder in enumerate(folders):
        make_checkpoint(folder, moe=moe, seed=seed, dtype=torch.bfloat16)
    given = [loaded(folder) for folder in folders]
    out = folders[0] if in_place else tmp_path / "mean"
    average(folders, out)
    for name, tensor in loaded(out).items():
        assert tensor.dtype == torch.bfloat16
        wanted = torch.stack([each[name].float() for each in given]).mean(0)
        torch.testing.assert_close(tensor.float(), wanted, atol=1e-7, rtol=2**-8)  # half a unit of the last place
    assert (out / "tokenizer.json").is_file()


def test_other_models_and_single_ones_are_refused(tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "dense")
    make_checkpoint(tmp_path / "moe", moe=True)
    with pytest.raises(ValueError, match="two models at least"):
        average([tmp_path / "dense"], tmp_path / "out")
    with pytest.raises(ValueError, match="is another model than"):
        average([tmp_path / "dense", tmp_path / "moe"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
