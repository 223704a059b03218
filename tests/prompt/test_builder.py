"""Whole prompts against the reference processor, and what hostile or oversized requests cost."""

from __future__ import annotations

import dataclasses
import resource
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.errors import CheckpointError, ContextLengthError, InputError, MediaError
from qwen3vl.media.types import MediaLimits, Video
from qwen3vl.prompt.builder import PromptBuilder
from qwen3vl.prompt.template import ChatTemplate
from qwen3vl.prompt.tokenizer import Tokenizer
from qwen3vl.prompt.types import Prompt
from support.bpe import train_bpe
from support.media_files import clip, data_url, encode, gif, noise, pdf, png_bomb, video
from support.processor import load_processor, video_text

MODEL = Path(__file__).parents[2] / "models" / "dense"
CONFIG = ModelConfig.from_folder(MODEL)


@pytest.fixture(scope="module")
def builder() -> PromptBuilder:
    return PromptBuilder.from_folder(MODEL, CONFIG)


@pytest.fixture(scope="module")
def oracle() -> Any:
    return load_processor(MODEL)


def user(*parts: Any) -> dict[str, Any]:
    kinds = {str: "text", PIL.Image.Image: "image", Video: "video"}
    content = [
        part if isinstance(part, dict) else {"type": kinds[type(part)], kinds[type(part)]: part} for part in parts
    ]
    return {"role": "user", "content": content}


def picture(height: int, width: int, seed: int = 0) -> PIL.Image.Image:
    return PIL.Image.fromarray(noise(height, width, seed))


A, B, C = picture(256, 384), picture(100, 640, 1), picture(333, 77, 2)
CONVERSATIONS = {
    "text": [{"role": "system", "content": "Be brief."}, user("How many shapes are there?")],
    "picture": [user(A, "Where is the circle?")],
    "three pictures": [user("One ", A, " two ", B, C, "Which is largest?")],
    "picture in an earlier turn": [user(B, "Read it."), {"role": "assistant", "content": "Save"}, user("Where?", A)],
    "tool result": [
        user("look"),
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "shot", "arguments": "{}"}}]},
        {"role": "tool", "content": [{"type": "image", "image": C}]},
    ],
}
TOOLS = [{"type": "function", "function": {"name": "shot", "description": "Takes a picture"}}]


@pytest.mark.parametrize("name", CONVERSATIONS)
@pytest.mark.parametrize("tools", [None, TOOLS], ids=["", "tools"])
def test_ids_and_patches_equal_the_oracle(
    builder: PromptBuilder, oracle: Any, name: str, tools: list[dict[str, Any]] | None
) -> None:
    prompt = builder.build(CONVERSATIONS[name], tools=tools)
    expected = oracle.apply_chat_template(
        CONVERSATIONS[name],
        tools=tools,
        tokenize=True,
        return_dict=True,
        add_generation_prompt=True,
        return_tensors="pt",
    )
    assert prompt.token_ids == expected["input_ids"][0].tolist()
    if name == "text":
        assert prompt.visuals == []
        return
    assert [[1, v.grid_h, v.grid_w] for v in prompt.visuals] == expected["image_grid_thw"].tolist()
    patches = torch.cat([visual.patches for visual in prompt.visuals])
    assert (patches.float() / 127.5 - 1 - expected["pixel_values"]).abs().max() <= 1e-6
    _check_places(prompt)


def _check_places(prompt: Prompt) -> None:
    """Each visual covers a run of pads between its marks, and nothing else is a pad."""
    pads = {CONFIG.image_token_id, CONFIG.video_token_id}
    for visual in prompt.visuals:
        assert visual.num_tokens == visual.grid_h * visual.grid_w // 4
        assert prompt.token_ids[visual.start - 1] == CONFIG.vision_start_token_id
        assert prompt.token_ids[visual.start + visual.num_tokens] == CONFIG.vision_end_token_id
        run = set(prompt.token_ids[visual.start : visual.start + visual.num_tokens])
        assert len(run) == 1
        assert run <= pads
    assert sum(id_ in pads for id_ in prompt.token_ids) == sum(v.num_tokens for v in prompt.visuals)
    assert prompt.position_ids.shape == (3, len(prompt))


FAST = Video(clip(5, 128, 192), [0, 6, 12, 18, 23], 12.5, 24)
SLOW = Video(clip(4, 96, 96), [0, 1, 2, 3], 30000 / 1001 / 25, 4)


def _written_out(builder: PromptBuilder, oracle: Any, messages: list[Any], videos: list[Video]) -> list[int]:
    """The ids of the text with every pad in it, as a string: rendered, and each video's mark replaced."""
    plain = [
        {**message, "content": [{"type": part["type"], "text": part.get("text")} for part in message["content"]]}
        for message in messages
    ]
    text = builder.template.render(plain)
    for item in videos:
        height, width = builder.patches.video_size(len(item.frames), *item.frames[0].shape[:2])
        written = video_text(oracle, item.frame_indices, item.source_fps, height // 16, width // 16)
        written = written.replace("<|video_pad|>", "<|pad|>")
        text = text.replace("<|vision_start|><|video_pad|><|vision_end|>", written, 1)
    ids: list[int] = builder.tokenizer.encode(text.replace("<|pad|>", "<|video_pad|>"))
    return ids


@pytest.mark.parametrize("rule", ["shipped", "released"])
@pytest.mark.parametrize("lead", ["", "watch: ", "clip:", "\n", "5"])
def test_videos_are_written_as_the_checkpoints_learned(
    builder: PromptBuilder, oracle: Any, rule: str, lead: str
) -> None:
    """Also where the tokenizer joins the first timestamp with the text before it."""
    if rule == "released":
        tokenizer = Tokenizer(train_bpe())
        names = {"image": "image_pad", "video": "video_pad", "vision_start": "vision_start", "vision_end": "vision_end"}
        tokens: dict[str, Any] = {f"{key}_token_id": tokenizer.token_id(f"<|{name}|>") for key, name in names.items()}
        config = dataclasses.replace(CONFIG, **tokens)
        builder = PromptBuilder(config, tokenizer, builder.template, builder.patches)
    messages = [user(lead, FAST, "and then", SLOW, "What happens?")]
    prompt = builder.build(messages)
    assert prompt.token_ids == _written_out(builder, oracle, messages, [FAST, SLOW])
    text = builder.tokenizer.decode(prompt.token_ids, skip_special=False)
    assert [f"<{t} seconds>" in text for t in ("0.2", "1.2", "1.8", "0.4", "2.1")] == [True] * 5
    assert len(prompt.visuals) == 5


def test_frames_pair_up_and_an_odd_one_is_repeated(builder: PromptBuilder) -> None:
    prompt = builder.build([user(FAST, A, SLOW)])
    height, width = builder.patches.video_size(5, 128, 192)
    fast = [builder.patches.cut(FAST.frames[i : i + 2], height, width) for i in (0, 2, 4)]
    for visual, grid in zip(prompt.visuals, fast, strict=False):
        assert torch.equal(visual.patches, grid.patches)
    last = prompt.visuals[2].patches.reshape(-1, 3, 2, 256)
    assert torch.equal(last[:, :, 0], last[:, :, 1])
    pads = [prompt.token_ids[visual.start] for visual in prompt.visuals]
    assert pads == [CONFIG.video_token_id] * 3 + [CONFIG.image_token_id] + [CONFIG.video_token_id] * 2
    _check_places(prompt)


def test_a_video_file_is_sampled_and_timed_by_its_own_rate(builder: PromptBuilder) -> None:
    """Ten frames a second, looked at twice a second, beside one that runs four times as fast."""
    frames = clip(40, 64, 64)
    ten, forty = (data_url(video(frames, fps=rate), "video/mp4") for rate in (10, 40))
    prompt = builder.build([user(*({"type": "video_url", "video_url": {"url": url}} for url in (ten, forty)))])
    text = builder.tokenizer.decode([i for i in prompt.token_ids if i != CONFIG.video_token_id])
    # int(40 / 10 * 2) = 8 frames at 0, 6, 11, 17, 22, 28, 33, 39; int(40 / 40 * 2) = 2, so 4 at 0, 13, 26, 39
    assert [part.split(" seconds")[0] for part in text.split("<")[1:]] == ["0.3", "1.4", "2.5", "3.6", "0.2", "0.8"]
    faster = builder.build([user({"type": "video", "video": ten})], fps=5)
    assert len(faster.visuals) == 10
    size = builder.patches.video_size(20, 64, 64)
    expected = builder.patches.cut([frames[0], frames[2]], *size)
    assert torch.equal(faster.visuals[0].patches, expected.patches)


def test_every_way_to_send_a_picture_gives_the_same_prompt(builder: PromptBuilder, tmp_path: Path) -> None:
    data = encode(noise(200, 300), "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    url = data_url(data, "image/png")
    parts = [
        {"type": "image", "image": data},
        {"type": "image", "image": path},
        {"type": "image", "image": str(path)},
        {"type": "image", "image": picture(200, 300)},
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "image_url", "image_url": path.as_uri()},
        {"type": "file", "file": {"file_data": url}},
        {"type": "image", "image": encode(noise(200, 300), "BMP")},
    ]
    prompts = [builder.build([user(part, "?")], allow_files=True) for part in parts]
    assert len({tuple(prompt.token_ids) for prompt in prompts}) == 1
    assert len({prompt.visuals[0].key for prompt in prompts}) == 1
    with pytest.raises(MediaError, match=r"messages\[0\].content\[0\]\.image: local files may not be named"):
        builder.build([user(parts[1])])


def test_pdf_pages_are_pictures_and_files_are_what_they_are(builder: PromptBuilder) -> None:
    document = data_url(pdf((200, 100), (100, 200)), "application/pdf")
    moving = data_url(gif(clip(6, 64, 64)), "image/gif")
    mp4 = data_url(video(clip(6, 64, 64)), "")
    prompt = builder.build([user(*({"type": "file", "file": {"file_data": url}} for url in (document, moving, mp4)))])
    pads = [prompt.token_ids[visual.start] for visual in prompt.visuals]
    assert pads == [CONFIG.image_token_id] * 3 + [CONFIG.video_token_id] * 2
    assert prompt.visuals[0].grid_w > prompt.visuals[0].grid_h
    assert prompt.visuals[1].grid_w < prompt.visuals[1].grid_h
    assert len(builder.build([user({"type": "video", "video": gif(clip(6, 64, 64))})]).visuals) == 2


def test_bounds_on_pixels(builder: PromptBuilder) -> None:
    large, small = (builder.build([user(A)], max_pixels=bound) for bound in (None, 20_000))
    assert large.visuals[0].num_tokens == builder.image_tokens(384, 256) == 96
    assert small.visuals[0].num_tokens == builder.image_tokens(384, 256, max_pixels=20_000) == 15
    assert builder.build([user(SLOW)], max_pixels=4096).visuals[0].num_tokens == 4
    with pytest.raises(InputError, match="max_pixels must be from 1024"):
        builder.build([user(A)], max_pixels=1)
    for fps in (0, -1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="fps must be"):
            builder.build([user(A)], fps=fps)


def test_plain_text(builder: PromptBuilder) -> None:
    prompt = builder.build_text("<|im_start|>user\nhi")
    assert prompt.token_ids == builder.tokenizer.encode("<|im_start|>user\nhi")
    assert prompt.position_ids.tolist() == [list(range(len(prompt)))] * 3
    assert prompt.position_delta == 0
    for text in ("", "a<|image_pad|>", "<|video_pad|>"):
        with pytest.raises(InputError):
            builder.build_text(text)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"type": "image_url", "image_url": "http://127.0.0.1/a.png"}, "fetching URLs is not allowed"),
        (
            {"type": "image_url", "image_url": data_url(video(clip(2)), "image/png")},
            "says image/png, but the bytes are MP4",
        ),
        ({"type": "image", "image": pdf((9, 9))}, "a picture is asked for, but the bytes are PDF"),
        ({"type": "video", "video": encode(noise(9, 9), "PNG")}, "a video is asked for, but the bytes are PNG"),
        ({"type": "image", "image": b""}, "empty"),
        ({"type": "image", "image": noise(9, 9).tobytes()}, "no known format"),
        ({"type": "image", "image": picture(1, 300)}, "too long a strip"),
        ({"type": "video", "video": Video([noise(1, 300)], [0], 1.0, 1)}, "too long a strip"),
    ],
)
def test_bad_media_are_errors_that_name_the_place(builder: PromptBuilder, part: dict[str, Any], message: str) -> None:
    with pytest.raises(MediaError, match=rf"messages\[1\].content\[1\]\.\w+: .*{message}"):
        builder.build([{"role": "system", "content": "x"}, user("see", part)])


@pytest.mark.parametrize(
    "make",
    [
        lambda: [picture(448, 448)] * 40,
        lambda: [{"type": "pdf", "pdf": pdf(*[(600, 600)] * 200)}],
        lambda: [{"type": "image", "image": encode(noise(2000, 2000), "PNG", compress_level=1)}] * 40,
        lambda: [SLOW] * 40,
    ],
    ids=["pictures", "pages", "large pictures", "videos"],
)
def test_too_many_pictures_stop_early(builder: PromptBuilder, make: Callable[[], list[Any]]) -> None:
    """At 196 tokens each, 20 fill the context. 40 pictures of 2000x2000 would take 480 MB; no two are held at once."""
    parts = make()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    message = r"messages\[0\].content\[\d+\]\.\w+: .* the model's context has 4,096"
    with pytest.raises(ContextLengthError, match=message):
        builder.build([user(*parts)], min_pixels=200_704, max_pixels=200_704)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150_000  # KiB


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bombs_cost_nothing(builder: PromptBuilder) -> None:
    with pytest.raises(MediaError, match="at most 100,000,000"):
        builder.build([user({"type": "image_url", "image_url": data_url(png_bomb(13_000, 13_000), "image/png")})])
    with pytest.raises(MediaError, match="at most 2,000 are allowed"):
        builder.build([user(A)], limits=MediaLimits(max_pixels=2000))


def test_templates_that_leave_media_out_or_reorder_them(builder: PromptBuilder) -> None:
    def build(source: str, *parts: Any) -> Prompt:
        return PromptBuilder(CONFIG, builder.tokenizer, ChatTemplate(source), builder.patches).build([user(*parts)])

    image, film = "<|vision_start|><|image_pad|><|vision_end|>", "<|vision_start|><|video_pad|><|vision_end|>"
    assert len(build(image, A).visuals) == 1
    with pytest.raises(InputError, match=r"hold 1 pictures, but .* shows 0"):
        build("text only", A)
    with pytest.raises(InputError, match=r"hold 1 videos, but .* shows 0"):
        build("<|video_pad|>", SLOW)
    with pytest.raises(InputError, match="order"):
        build(film + image, A, SLOW)


def test_a_tokenizer_that_does_not_fit_the_config(builder: PromptBuilder) -> None:
    config = dataclasses.replace(CONFIG, image_token_id=300)
    with pytest.raises(CheckpointError, match=r"uses token 300 for pictures"):
        PromptBuilder(config, builder.tokenizer, builder.template, builder.patches)


def test_threads_may_share_a_builder(builder: PromptBuilder) -> None:
    conversations = [[user(picture(100 + 7 * i, 300, i), f"number {i}", FAST)] for i in range(8)]
    alone = [builder.build(messages) for messages in conversations]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(builder.build, conversations))
    for one, other in zip(alone, together, strict=True):
        assert one.token_ids == other.token_ids
        assert [v.key for v in one.visuals] == [v.key for v in other.visuals]
        np.testing.assert_array_equal(one.position_ids, other.position_ids)


def test_a_text_that_is_far_too_long_costs_little(builder: PromptBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = []
    encode_all = Tokenizer.encode

    def spy(self: Tokenizer, text: str) -> list[int]:
        encoded.append(len(text))
        return encode_all(self, text)

    monkeypatch.setattr(Tokenizer, "encode", spy)
    with pytest.raises(ContextLengthError, match="of the model's context"):
        builder.build([user("word " * 1_000_000)])
    assert sum(encoded) < 100_000


def test_half_a_surrogate_pair_is_no_text(builder: PromptBuilder) -> None:
    with pytest.raises(InputError, match="surrogate"):
        builder.build([user("\ud800")])
