"""Costs of files before they are sent, where no browser is needed: against the prompt that the engine builds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qwen3vl import Engine
from qwen3vl.engine.options import GenerationOptions
from qwen3vl.server.answer_results import measure, measured_all
from qwen3vl.webui.costs import cost_of, pixel_range
from support.media_files import clip, encode, gif, noise, pdf, rotated, video
from support.server import MODELS

FILES = {
    "wide.png": ("image", encode(noise(40, 900), "PNG")),
    "large.jpg": ("image", encode(noise(1400, 1000), "JPEG")),
    "short.mp4": ("video", video(clip(3), fps=10)),
    "long.webm": ("video", video(clip(70, 96, 64), fps=10, container="webm")),
    "turned.mp4": ("video", rotated(video(clip(20, 96, 48), fps=5), 1)),
    "two.gif": ("video", gif(clip(2))),
    "pages.pdf": ("pdf", pdf((200, 300), (300, 200), (600, 100))),
}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine.load(MODELS / "moe", device="cpu", memory="1GiB") as engine:
        yield engine


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(("max_pixels", "fps"), [(None, None), (20_000, None), (40_000, 0.7)])
def test_tokens_are_those_of_the_prompt(
    engine: Engine, tmp_path: Path, name: str, max_pixels: int | None, fps: float | None
) -> None:
    kind, data = FILES[name]
    path = tmp_path / name
    path.write_bytes(data)
    cost = cost_of(measure(path, kind), engine, max_pixels, fps)
    message = {"role": "user", "content": [{"type": kind, kind: data}]}
    prompt = engine.prepare([message], GenerationOptions(max_pixels=max_pixels, fps=fps))
    assert cost.tokens == sum(visual.num_tokens for visual in prompt.visuals)
    assert cost.share == cost.tokens / engine.info.max_context
    first = prompt.visuals[0]
    factor = engine.prompt_builder.patches.patch_size
    assert (cost.width, cost.height) == (first.grid_w * factor, first.grid_h * factor)


def test_memory_is_what_the_cache_has_for_a_token(engine: Engine) -> None:
    """Against the blocks that the engine has laid out."""
    runner = engine._core.runner
    held = sum(part.nbytes for layer in runner.cache for part in (layer.keys, layer.values))
    assert engine.info.cache_token_bytes == held / (engine.stats().total_blocks * runner.block_size)


def test_the_range_of_the_slider_is_what_the_engine_takes(engine: Engine) -> None:
    low, high = pixel_range(engine)
    assert 0 < low < high <= engine.info.max_pixels
    data = FILES["large.jpg"][1]
    for bound in (low, high):
        message = {"role": "user", "content": [{"type": "image", "image": data}]}
        engine.prepare([message], GenerationOptions(max_pixels=bound))


def test_what_cannot_be_read_does_not_keep_the_others_from_being_measured(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(FILES["wide.png"][1])
    (tmp_path / "bad").write_bytes(b"nothing")
    bad, missing, good = measured_all([(tmp_path / name, "image") for name in ("bad", "missing", "good")])
    assert isinstance(bad, str)
    assert isinstance(missing, str)
    assert not isinstance(good, str)
    assert good.sizes == ((900, 40),)
