"""Sizes and patches against the reference processors."""

from __future__ import annotations

import json
import random
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize as oracle_picture_size
from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor
from transformers.models.qwen3_vl.video_processing_qwen3_vl import smart_resize as oracle_video_size

from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.errors import CheckpointError, InputError, MediaError
from qwen3vl.media.image import decode_image
from qwen3vl.media.types import VideoSampling
from qwen3vl.prompt.patches import PatchConfig, PixelBounds
from qwen3vl.prompt.resize import picture_size, video_size
from support.media_files import encode, noise

MODEL = Path(__file__).parents[2] / "models" / "dense"
VISION = ModelConfig.from_folder(MODEL).vision
RELEASED = PatchConfig(16, 2, 2, PixelBounds(65_536, 16_777_216), PixelBounds(4_096, 25_165_824), VideoSampling())
BOUNDS = [(65_536, 16_777_216), (65_536, 200_704), (1_024, 4_096), (1, 10**9), (500_000, 500_000)]


def test_picture_sizes_equal_the_oracle() -> None:
    rng = random.Random(0)
    sizes = [(1, 1), (1, 200), (31, 33), (16, 48), (5_000, 25), (10_000, 9_999)]
    sizes += [(rng.randint(1, 3000), rng.randint(1, 3000)) for _ in range(1000)]
    for height, width in sizes:
        for low, high in BOUNDS:
            if max(height, width) > 200 * min(height, width):
                continue
            expected = oracle_picture_size(height, width, factor=32, min_pixels=low, max_pixels=high)
            assert picture_size(height, width, factor=32, min_pixels=low, max_pixels=high) == expected


def test_video_sizes_equal_the_oracle() -> None:
    rng = random.Random(0)
    shapes = [(2, 1, 100), (3, 16, 31), (5, 480, 640), (768, 1080, 1920), (767, 2160, 3840)]
    shapes += [(rng.randint(2, 768), rng.randint(1, 2500), rng.randint(1, 2500)) for _ in range(1000)]
    for frames, height, width in shapes:
        for low, high in [*BOUNDS, (4_096, 25_165_824)]:
            if max(height, width) > 100 * min(height, width):
                continue
            ours = video_size(frames, height, width, temporal_factor=2, factor=32, min_pixels=low, max_pixels=high)
            assert ours == oracle_video_size(frames, height, width, 2, 32, low, high)


def test_a_single_frame_is_sized_like_the_pair_it_becomes() -> None:
    assert RELEASED.video_size(1, 480, 640) == RELEASED.video_size(2, 480, 640)


@pytest.mark.parametrize("shape", [(1, 201), (10_000, 1)])
def test_strips_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(MediaError, match="too long a strip"):
        RELEASED.picture_size(*shape)


@pytest.mark.parametrize("config", ["released", "shipped"])
@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_patches_equal_the_oracle(config: str, format_: str) -> None:
    """Same grid, same pixels: to 1e-6, which is float32 rounding of x/255 normalised against x/127.5 - 1."""
    ours = RELEASED if config == "released" else PatchConfig.from_folder(MODEL, VISION)
    size = {"shortest_edge": ours.picture_bounds.min_pixels, "longest_edge": ours.picture_bounds.max_pixels}
    oracle = Qwen2VLImageProcessorPil(size=size, patch_size=16, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    for height, width in [(256, 256), (256, 384), (1, 3), (37, 411), (333, 77), (700, 500), (31, 33)]:
        data = encode(noise(height, width, seed=height), format_)
        expected = oracle(PIL.Image.open(BytesIO(data)).convert("RGB"), return_tensors="pt")
        picture = decode_image(data)
        grid = ours.cut([picture.pixels], *ours.picture_size(height, width))
        assert [1, grid.rows, grid.columns] == expected["image_grid_thw"][0].tolist()
        assert grid.patches.dtype == torch.uint8
        assert (grid.patches.float() / 127.5 - 1 - expected["pixel_values"]).abs().max() <= 1e-6


def test_frames_are_laid_out_like_the_oracles_videos() -> None:
    """The reference's resizing needs torchvision, its cutting does not."""
    frames = [noise(64, 96, seed) for seed in range(5)]
    videos = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)[None]
    oracle: Any = Qwen3VLVideoProcessor
    expected, *grid_thw = oracle.patchify(None, videos, 16, 2, 2)
    grids = [RELEASED.cut(frames[i : i + 2], 64, 96) for i in (0, 2, 4)]
    assert [len(grids), grids[0].rows, grids[0].columns] == grid_thw
    assert torch.equal(torch.cat([grid.patches for grid in grids]), expected[0])


def test_keys_are_equal_where_pixels_and_shape_are() -> None:
    pixels = noise(64, 64)
    grid = RELEASED.cut([pixels], 64, 64)
    assert len(grid.key) == 16
    assert RELEASED.cut([pixels.copy(), pixels.copy()], 64, 64).key == grid.key
    changed = pixels.copy()
    changed[63, 63, 2] ^= 1
    assert RELEASED.cut([changed], 64, 64).key != grid.key
    blank = np.zeros((32, 128, 3), np.uint8)  # all patches alike: only the grid differs
    assert RELEASED.cut([blank], 32, 128).key != RELEASED.cut([blank.reshape(128, 32, 3)], 128, 32).key


def test_a_callers_bounds_win_over_the_checkpoints() -> None:
    bounds = PixelBounds(1000, 2000)
    assert bounds.override(None, None) == bounds
    assert bounds.override(None, 500) == PixelBounds(500, 500)
    assert bounds.override(3000, None) == PixelBounds(3000, 3000)
    assert bounds.override(5, 9000) == PixelBounds(5, 9000)
    height, width = RELEASED.picture_size(1000, 1000, max_pixels=50_000)
    assert height * width <= 50_000
    height, width = RELEASED.video_size(10, 1000, 1000, max_pixels=50_000)
    assert (height, width) == (192, 192)  # 224x224 would be 50,176
    height, width = RELEASED.video_size(768, 100, 100, min_pixels=1_000_000)
    assert 768 * (height - 32) * (width - 32) < 25_165_824  # but for the last block, to which sizes are rounded up


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        (None, 1023, r"max_pixels must be from 1024 \(one block of 32x32\) to 100"),
        (0, None, "min_pixels must be from 1024"),
        (10**12, None, "min_pixels must be from 1024"),
        (5000, 4000, "min_pixels 5000 is above max_pixels 4000"),
    ],
)
def test_bounds_that_no_picture_can_meet(low: int | None, high: int | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        RELEASED.check_bounds(low, high, 100_000_000)


def _write(folder: Path, name: str, **changes: Any) -> None:
    content = json.loads((MODEL / name).read_text()) | changes
    kept = {key: value for key, value in content.items() if value is not None}
    (folder / name).write_text(json.dumps(kept))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("preprocessor_config.json", "video_preprocessor_config.json"):
        shutil.copy(MODEL / name, tmp_path)
    return tmp_path


def test_processor_files_in_every_dialect(folder: Path) -> None:
    _write(folder, "preprocessor_config.json", size={"shortest_edge": 2048, "longest_edge": 4096})
    _write(folder, "video_preprocessor_config.json", fps=None, max_frames=None, min_frames=None)
    config = PatchConfig.from_folder(folder, VISION)
    assert config.picture_bounds == PixelBounds(2048, 4096)
    assert config.sampling == VideoSampling(2.0, 4, 768)
    _write(folder, "preprocessor_config.json", size=None, min_pixels=2048, max_pixels=4096)
    _write(folder, "video_preprocessor_config.json", fps=3, max_frames=9)
    config = PatchConfig.from_folder(folder, VISION)
    assert config.picture_bounds == PixelBounds(2048, 4096)
    assert (config.sampling.fps, config.sampling.max_frames) == (3.0, 9)
    both = {
        "image_processor": json.loads((folder / "preprocessor_config.json").read_text()),
        "video_processor": json.loads((folder / "video_preprocessor_config.json").read_text()),
    }
    (folder / "processor_config.json").write_text(json.dumps(both))
    (folder / "preprocessor_config.json").unlink()
    (folder / "video_preprocessor_config.json").unlink()
    assert PatchConfig.from_folder(folder, VISION) == config


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("preprocessor_config.json", {"image_mean": [0.48, 0.45, 0.4]}, "image_mean must be"),
        ("video_preprocessor_config.json", {"image_std": None}, "image_std must be"),
        ("preprocessor_config.json", {"patch_size": 14}, "patch_size is 14, but config.json says 16"),
        ("preprocessor_config.json", {"size": {"height": 224, "width": 224}}, "shortest_edge and longest_edge"),
        ("preprocessor_config.json", {"do_resize": False}, "do_resize false"),
        ("preprocessor_config.json", {"resample": 2}, "resample must be 3"),
        ("video_preprocessor_config.json", {"cap_pixels_per_frame": True}, "cap_pixels_per_frame"),
    ],
)
def test_processors_of_other_models_are_refused(folder: Path, name: str, changes: dict[str, Any], message: str) -> None:
    _write(folder, name, **changes)
    with pytest.raises(CheckpointError, match=message):
        PatchConfig.from_folder(folder, VISION)


@pytest.mark.parametrize("name", ["preprocessor_config.json", "video_preprocessor_config.json"])
def test_missing_processor_files_are_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"has no {name}"):
        PatchConfig.from_folder(folder, VISION)
