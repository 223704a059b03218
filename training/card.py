"""Writes a model folder's README: a template of `cards/`, filled from the folder itself, from what `qwen3vl eval`
measured, from the answers about ten real pages and from the logs of the training runs. No figure is typed in.

    qwen3vl eval models/moe --mode full --mode balanced --mode fast --paraphrases --render --json eval.json
    python -m training.real_pages models/moe --out .
    python -m training.card models/moe --figures eval.json --real-pages real_pages.json --log runs/dense runs/moe
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from math import prod
from pathlib import Path
from string import Template
from typing import Any

from safetensors import safe_open

from training import card_tables as tables

HERE = Path(__file__).parent
EXAMPLE_SEED = 0


def card(folder: Path, figures: Sequence[Path], pages: Path, logs: Sequence[Path], averaged: int = 1) -> str:
    """The text of the README. `figures` after the first add what it does not measure, such as `render` where the
    machine of the first had no browser. Raises `ValueError` for figures of another model, or without paraphrases."""
    config = _read(folder / "config.json")
    parameters = count_parameters(folder)
    report = _joined(figures, parameters)
    about = report["about"]
    if not report["paraphrases"]:
        raise ValueError(f"{figures[0]} has no paraphrases: evaluate with --paraphrases")
    asked = _read(pages)["pages"]
    is_moe = config["model_type"] == "qwen3_vl_moe"
    template = Template((HERE / "cards" / f"{'moe' if is_moe else 'dense'}.md").read_text(encoding="utf-8"))
    mode = "full" if "full" in report["modes"] else report["modes"][0]
    values = {
        "parameters": f"{parameters / 1e6:.1f}",
        "mebibytes": f"{sum(file.stat().st_size for file in folder.glob('*.safetensors')) / 2**20:.1f}",
        "architecture": architecture(config),
        "vocabulary": f"{vocabulary(folder):,}",
        "dtype": config["text_config"]["dtype"],
        "runs": tables.runs([_events(log / "train.log") for log in logs], averaged),
        "example_seed": EXAMPLE_SEED,
        "examples": tables.examples(EXAMPLE_SEED),
        "setting": f"Seed {about['seed']}, {about['dtype']} on {about['device']}, version {about['version']}; the "
        f"targets are those of mode {mode}.",
        "targets": tables.targets(report),
        "intervals": report["intervals"],
        "figures": tables.tasks(report),
        "metrics": tables.metrics(report),
        "losses": tables.losses(report),
        "paraphrases": tables.paraphrases(report, mode),
        "real_pages": tables.real_pages(asked),
        "real_right": sum(page["right"] for page in asked),
        "real_count": len(asked),
    }
    return template.substitute(values)


def _joined(files: Sequence[Path], parameters: int) -> dict[str, Any]:
    """The first file's report, with the metrics that only the others have. Raises `ValueError` for another model's."""
    report, *others = reports = [_read(file) for file in files]
    for file, read in zip(files, reports, strict=True):
        found = read["about"]["parameters"]
        if found != parameters:
            raise ValueError(f"{file} is of a model with {found:,} parameters; the folder's has {parameters:,}")
    for other in others:
        for task, measured in other["tasks"].items():
            report["tasks"][task] = measured | report["tasks"].get(task, {})
        report["metrics"] = other["metrics"] | report["metrics"]
    return report


def architecture(config: dict[str, Any]) -> str:
    """The shapes in a sentence or two."""
    vision, text = config["vision_config"], config["text_config"]
    taps = " and ".join(str(layer) for layer in vision["deepstack_visual_indexes"])
    mlp = f"an MLP of {text['intermediate_size']}"
    if "num_experts" in text:
        mlp = (
            f"{text['num_experts']} experts of width {text['moe_intermediate_size']} in every layer, of which a token "
            f"uses {text['num_experts_per_tok']}"
        )
    return (
        f"Vision: {vision['depth']} blocks, width {vision['hidden_size']}, {vision['num_heads']} heads, DeepStack taps "
        f"after blocks {taps}, patches of {vision['patch_size']}.\n"
        f"Text: {text['num_hidden_layers']} layers, width {text['hidden_size']}, "
        f"{text['num_attention_heads']} query and {text['num_key_value_heads']} key/value heads of {text['head_dim']}, "
        f"{mlp}, "
        f"{'tied' if text['tie_word_embeddings'] else 'untied'} embeddings, "
        f"{text['max_position_embeddings']:,} positions."
    )


def count_parameters(folder: Path) -> int:
    """Of all tensors in the folder's shards, read from their headers."""
    count = 0
    for shard in folder.glob("*.safetensors"):
        with safe_open(shard, framework="numpy") as tensors:
            count += sum(prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    return count


def vocabulary(folder: Path) -> int:
    tokenizer = _read(folder / "tokenizer.json")
    return len({*tokenizer["model"]["vocab"], *(token["content"] for token in tokenizer["added_tokens"])})


def _read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def _events(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the model's folder; its README.md is written")
    parser.add_argument("--figures", type=Path, nargs="+", required=True, help="what qwen3vl eval wrote with --json")
    parser.add_argument("--real-pages", type=Path, required=True, help="what training.real_pages wrote")
    parser.add_argument("--log", type=Path, nargs="+", required=True, help="folders of the runs, the first one first")
    parser.add_argument("--averaged", type=int, default=1, help="how many of the last runs the weights are the mean of")
    arguments = parser.parse_args()
    text = card(arguments.folder, arguments.figures, arguments.real_pages, arguments.log, arguments.averaged)
    (arguments.folder / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
