"""Writes a trained run as a folder in the file format of the released Qwen3-VL models.

    python -m training.export runs/moe models/moe

Beside the weights stand the configs of the tokenizer, of the picture and video processors and of generation; the README
is written by `training.card` once the model is measured. Knows formats only, nothing of training.
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

from training import state
from training.train import TOKENIZER
from training.vocabulary import CONTROL_TOKENS, END_OF_TEXT, SPECIAL_TOKENS, TURN_END

HERE = Path(__file__).parent
MAX_SHARD_BYTES = 15_900_000  # header included, a shard stays below 16 MB

PATCHES = {
    "patch_size": 16,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "processor_class": "Qwen3VLProcessor",
}
# What training draws: pictures from 256x256 to 448x448 pixels' area, videos of up to 24 frames.
PICTURES = {
    "size": {"shortest_edge": 256 * 256, "longest_edge": 448 * 448},
    **PATCHES,
    "image_processor_type": "Qwen2VLImageProcessorFast",
}
VIDEOS = {
    "size": {"shortest_edge": 4 * 128 * 128, "longest_edge": 24 * 256 * 160},
    **PATCHES,
    "fps": 2,
    "min_frames": 4,
    "max_frames": 24,
    "video_processor_type": "Qwen3VLVideoProcessor",
}


def export(run: Path, folder: Path, tokenizer: Path = TOKENIZER) -> None:
    """Writes the complete folder; weights in it are replaced."""
    reached, weights, _ = state.load(run)
    config = reached.config
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "config.json", config)
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    _write(folder / "tokenizer_config.json", _tokenizer_config(config["text_config"]["max_position_embeddings"]))
    _write(folder / "preprocessor_config.json", PICTURES)
    _write(folder / "video_preprocessor_config.json", VIDEOS)
    _write(
        folder / "generation_config.json",
        {
            "bos_token_id": END_OF_TEXT,
            "do_sample": False,
            "eos_token_id": [TURN_END, END_OF_TEXT],
            "pad_token_id": END_OF_TEXT,
        },
    )
    shutil.copyfile(HERE / "chat_template.jinja", folder / "chat_template.jinja")
    shutil.copyfile(HERE.parent / "LICENSE", folder / "LICENSE")

    write_weights(released_weights(weights), folder)


def write_weights(weights: dict[str, torch.Tensor], folder: Path) -> None:
    """Shards and their index, in place of those that are there."""
    for stale in folder.glob("*.safetensors*"):
        stale.unlink()
    save_torch_state_dict(weights, folder, max_shard_size=MAX_SHARD_BYTES)
    for shard in folder.glob("*.safetensors"):
        shard.chmod(0o644)  # written readable by the owner alone, but shipped inside a wheel


def released_weights(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What is released of a run's weights, which bear the released names: all but the auxiliary head."""
    return {name: tensor for name, tensor in sorted(weights.items()) if name.startswith("model.")}


def _tokenizer_config(max_length: int) -> dict[str, Any]:
    return {
        "additional_special_tokens": [token for token in CONTROL_TOKENS if token != SPECIAL_TOKENS[END_OF_TEXT]],
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": SPECIAL_TOKENS[TURN_END],
        "model_max_length": max_length,
        "pad_token": SPECIAL_TOKENS[END_OF_TEXT],
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": None,
    }


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder that training.train wrote")
    parser.add_argument("folder", type=Path, help="folder to write")
    parser.add_argument("--tokenizer", type=Path, default=TOKENIZER)
    arguments = parser.parse_args()
    export(arguments.run, arguments.folder, arguments.tokenizer)


if __name__ == "__main__":
    main()
