"""The two shipped models are complete released-format folders: the reference library loads them and they answer."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import torch
import transformers
from PIL import Image, ImageDraw
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.checkpoints.generation import GenerationDefaults
from support.tiny import SHIPPED

REFERENCE: Any = transformers  # its annotations are not those of what it returns

NAMES = ("dense", "moe")
FILES = {
    "LICENSE",
    "README.md",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors.index.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "video_preprocessor_config.json",
}


@pytest.mark.parametrize("name", NAMES)
def test_holds_what_a_released_folder_holds(name: str) -> None:
    present = {path.name for path in (SHIPPED / name).iterdir()}
    assert {file for file in present if not file.endswith(".safetensors")} == FILES
    assert all(path.stat().st_size <= 16_000_000 for path in (SHIPPED / name).iterdir())
    config = json.loads((SHIPPED / name / "config.json").read_text())
    assert "rope_theta" in config["text_config"]
    assert "rope_parameters" not in json.dumps(config)


@pytest.mark.parametrize("name", NAMES)
def test_turns_are_written_as_it_was_trained(name: str) -> None:
    tokenizer = REFERENCE.AutoTokenizer.from_pretrained(SHIPPED / name)
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Read the text."}]},
        {"role": "assistant", "content": "Invoice"},
        {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "And <b>now</b>?\n"}]},
    ]
    text = (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Read the text.<|im_end|>\n"
        "<|im_start|>assistant\nInvoice<|im_end|>\n"
        "<|im_start|>user\n<|vision_start|><|video_pad|><|vision_end|>And <b>now</b>?\n<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) == text
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_tools_are_written_as_qwen_writes_them() -> None:
    tokenizer = REFERENCE.AutoTokenizer.from_pretrained(SHIPPED / "moe")
    tools = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    call = {"type": "function", "function": {"name": "look", "arguments": {"at": "sky"}}}
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "", "tool_calls": [call, call]},
        {"role": "tool", "content": "blue"},
        {"role": "tool", "content": [{"type": "image"}]},
        {"role": "assistant", "content": "Fine."},
    ]
    text = tokenizer.apply_chat_template(messages, tools=tools, tokenize=False)
    system, rest = text.split("<|im_end|>\n", 1)
    assert system.startswith("<|im_start|>system\nBe brief.\n\n# Tools\n\nYou may call one or more functions")
    listed = json.loads(re.findall(r"<tools>\n(.*)\n</tools>", system)[-1])
    assert listed == tools[0]
    called = '<tool_call>\n{"name": "look", "arguments": {"at": "sky"}}\n</tool_call>'
    assert rest == (
        "<|im_start|>user\nWeather?<|im_end|>\n"
        f"<|im_start|>assistant\n{called}\n{called}<|im_end|>\n"
        "<|im_start|>user\n<tool_response>\nblue\n</tool_response>\n"
        "<tool_response>\n<|vision_start|><|image_pad|><|vision_end|>\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\nFine.<|im_end|>\n"
    )
    # A tool call is part of the answer, so it stays when special tokens are left out.
    assert tokenizer.decode(tokenizer(called + "<|im_end|>")["input_ids"], skip_special_tokens=True) == called


@pytest.mark.parametrize("name", NAMES)
def test_pictures_of_the_trained_sizes_pass_unresized(name: str) -> None:
    processor = Qwen2VLImageProcessorPil.from_pretrained(SHIPPED / name)
    for width, height in ((256, 256), (448, 256), (256, 448), (448, 448)):
        grid = processor(Image.new("RGB", (width, height)), return_tensors="pt")["image_grid_thw"]
        assert grid.tolist() == [[1, height // 16, width // 16]]


@pytest.mark.parametrize("name", NAMES)
def test_the_whole_processor_loads(name: str) -> None:
    pytest.importorskip("torchvision", reason="the reference library's video processor needs it")
    processor = REFERENCE.AutoProcessor.from_pretrained(SHIPPED / name)
    assert type(processor).__name__ == "Qwen3VLProcessor"
    assert processor.video_processor.size.longest_edge == 24 * 256 * 160
    assert (processor.video_processor.fps, processor.video_processor.max_frames) == (2, 24)
    assert processor.image_token_id == ModelConfig.from_folder(SHIPPED / name).image_token_id


@pytest.mark.parametrize("name", NAMES)
def test_answers_about_a_picture(name: str) -> None:
    """Through the reference library alone: the folder's own template, processor, weights and generation defaults."""
    folder = SHIPPED / name
    box = (40, 60, 110, 130)
    picture = Image.new("RGB", (256, 256), (245, 245, 245))
    draw = ImageDraw.Draw(picture)
    draw.ellipse(box, fill=(214, 40, 40))
    draw.rectangle((160, 150, 220, 210), fill=(40, 80, 220))
    model, report = REFERENCE.AutoModelForImageTextToText.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    assert not any(report.values())
    tokenizer = REFERENCE.AutoTokenizer.from_pretrained(folder)
    pixels = Qwen2VLImageProcessorPil.from_pretrained(folder)(picture, return_tensors="pt")

    def ask(question: str) -> str:
        content = [{"type": "image"}, {"type": "text", "text": question}]
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        ids = tokenizer(text.replace("<|image_pad|>", "<|image_pad|>" * 64), return_tensors="pt")["input_ids"]
        kinds = (ids == model.config.image_token_id).int()
        out = model.generate(input_ids=ids, mm_token_type_ids=kinds, max_new_tokens=64, **pixels)
        answer: str = tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
        return answer

    assert ask("How many shapes are there?") == "2"
    assert ask("What color is the circle?") == "red"
    [found] = json.loads(ask("Locate the red circle.").removeprefix("```json\n").removesuffix("\n```"))
    assert found["label"] == "red circle"
    assert found["bbox_2d"] == pytest.approx([edge * 1000 / 256 for edge in box], abs=25)


@pytest.mark.parametrize("name", NAMES)
def test_generation_is_greedy_and_ends_with_the_turn(name: str) -> None:
    tokenizer = REFERENCE.AutoTokenizer.from_pretrained(SHIPPED / name)
    ends = tuple(tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"]))
    assert GenerationDefaults.from_folder(SHIPPED / name) == GenerationDefaults(ends)
