"""Brings a checkpoint trained by the prototype into the file format of the released Qwen3-VL models.

    python training/convert_prototype.py PROTOTYPE_FOLDER OUTPUT_FOLDER

The prototype is saved in the newer dialect: `rope_parameters` in the config, expert tensors stored output dimension
first. A released folder has `rope_theta` and `rope_scaling`, experts stored input dimension first, and configs for the
tokenizer, the picture and video processors and generation beside the weights. This script knows formats only, nothing
of training.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import save_torch_state_dict
from safetensors.torch import load_file

HERE = Path(__file__).parent
MAX_SHARD_BYTES = 15_900_000  # header included, a shard stays below 16 MB

# Tokens whose text belongs to the answer: a decoder that skips special tokens must keep them, as in the released
# tokenizer.
VISIBLE_TOKENS = {"<tool_call>", "</tool_call>", "<think>", "</think>"}

# What the prototype was trained on: pictures of 256x256 and 384x256, videos of 8 to 24 frames of 128x128 at 2 fps.
# Larger budgets cost answers: on enlarged drawings, 448x448 pixels lose every box and a fifth of the counts that
# 384x256 keep.
PATCHES = {
    "patch_size": 16,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "processor_class": "Qwen3VLProcessor",
}
PICTURES = {
    "size": {"shortest_edge": 256 * 256, "longest_edge": 384 * 256},
    **PATCHES,
    "image_processor_type": "Qwen2VLImageProcessorFast",
}
VIDEOS = {
    "size": {"shortest_edge": 4 * 128 * 128, "longest_edge": 24 * 128 * 128},
    **PATCHES,
    "fps": 2,
    "min_frames": 4,
    "max_frames": 24,
    "video_processor_type": "Qwen3VLVideoProcessor",
}


def convert(source: Path, target: Path) -> None:
    """Writes the complete released-format folder `target` from the prototype folder `source`."""
    target.mkdir(parents=True, exist_ok=True)
    config = _read(source / "config.json")
    tokenizer = _visible(_read(source / "tokenizer.json"))
    special_ids = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    end_of_turn, end_of_text = special_ids["<|im_end|>"], special_ids["<|endoftext|>"]

    _write(target / "config.json", released_config(config, end_of_turn, end_of_text))
    _write(target / "tokenizer.json", tokenizer)
    _write(
        target / "tokenizer_config.json", _tokenizer_config(tokenizer, config["text_config"]["max_position_embeddings"])
    )
    _write(target / "preprocessor_config.json", PICTURES)
    _write(target / "video_preprocessor_config.json", VIDEOS)
    _write(
        target / "generation_config.json",
        {
            "bos_token_id": end_of_text,
            "do_sample": False,
            "eos_token_id": [end_of_turn, end_of_text],
            "pad_token_id": end_of_text,
        },
    )
    shutil.copyfile(HERE / "chat_template.jinja", target / "chat_template.jinja")
    shutil.copyfile(HERE.parent / "LICENSE", target / "LICENSE")

    for stale in target.glob("*.safetensors*"):
        stale.unlink()
    tensors = {
        name: tensor for shard in sorted(source.glob("*.safetensors")) for name, tensor in load_file(shard).items()
    }
    save_torch_state_dict(released_tensors(tensors), target, max_shard_size=MAX_SHARD_BYTES)
    for shard in target.glob("*.safetensors"):
        shard.chmod(0o644)  # written readable by the owner alone, but shipped inside a wheel


def released_config(config: Mapping[str, Any], end_of_turn: int, end_of_text: int) -> dict[str, Any]:
    """The `config.json` of the released dialect. `config` is the prototype's, in the newer dialect."""
    family = config["model_type"]
    text, vision = dict(config["text_config"]), dict(config["vision_config"])
    rope = text.pop("rope_parameters")
    text["rope_theta"] = rope["rope_theta"]
    text["rope_scaling"] = {key: rope[key] for key in ("mrope_interleaved", "mrope_section", "rope_type")}
    for key in ("pad_token_id", "sliding_window"):
        text.pop(key, None)
    text |= {"bos_token_id": end_of_text, "eos_token_id": end_of_turn, "dtype": config["dtype"]}
    if "num_local_experts" in text:
        text["num_experts"] = text.pop("num_local_experts")
        text["norm_topk_prob"] = True
    del vision["rope_parameters"]
    vision["model_type"] = family
    return {
        "architectures": config["architectures"],
        "image_token_id": config["image_token_id"],
        "model_type": family,
        "text_config": dict(sorted(text.items())),
        "tie_word_embeddings": config["tie_word_embeddings"],
        "video_token_id": config["video_token_id"],
        "vision_config": dict(sorted(vision.items())),
        "vision_end_token_id": config["vision_end_token_id"],
        "vision_start_token_id": config["vision_start_token_id"],
    }


def released_tensors(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors with the experts stored input dimension first: `[experts, hidden, 2 * width]`, `[experts, width,
    hidden]`.
    """
    is_expert = (".mlp.experts.gate_up_proj", ".mlp.experts.down_proj")
    return {
        name: tensor.transpose(1, 2).contiguous() if name.endswith(is_expert) else tensor
        for name, tensor in sorted(tensors.items())
    }


def _visible(tokenizer: dict[str, Any]) -> dict[str, Any]:
    for token in tokenizer["added_tokens"]:
        token["special"] = token["special"] and token["content"] not in VISIBLE_TOKENS
    return tokenizer


def _tokenizer_config(tokenizer: Mapping[str, Any], max_length: int) -> dict[str, Any]:
    special = [token["content"] for token in tokenizer["added_tokens"] if token["special"]]
    return {
        "additional_special_tokens": [token for token in special if token != "<|endoftext|>"],
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "model_max_length": max_length,
        "pad_token": "<|endoftext|>",
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": None,
    }


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder written by the prototype's training")
    parser.add_argument("target", type=Path, help="folder to write; weights in it are replaced")
    arguments = parser.parse_args()
    convert(arguments.source, arguments.target)


if __name__ == "__main__":
    main()
