"""Writes a model whose weights are the mean of several models' that one line of training reached one after the other.

    python -m training.average models/dense runs/new-dense --out models/dense

All are folders that `training.export` wrote. The mean of weights that lie close together is mostly better than each of
them, at the cost of none: what one run fitted to the pictures it happened to see, the other has not (stochastic weight
averaging, Izmailov et al. 2018, arXiv:1803.05407; model soups, Wortsman et al. 2022, arXiv:2203.05482).
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from training.export import write_weights
from training.state import load_weights


def average(folders: Sequence[Path], out: Path) -> None:
    """Writes the complete folder `out`, which may be one of `folders`; each weighs the same. Sums are float32, rounded
    once. Raises `ValueError` for fewer than two, and for models of other shapes."""
    if len(folders) < 2:
        raise ValueError("a mean needs two models at least")
    first, *others = folders
    config = json.loads((first / "config.json").read_text(encoding="utf-8"))
    total, dtypes = {}, {}
    for name, tensor in load_weights(first).items():
        total[name], dtypes[name] = tensor.float(), tensor.dtype
    for other in others:
        if json.loads((other / "config.json").read_text(encoding="utf-8")) != config:
            raise ValueError(f"{other} is another model than {first}")
        for name, tensor in load_weights(other).items():
            total[name] += tensor
    if out.resolve() != first.resolve():
        shutil.copytree(first, out, ignore=shutil.ignore_patterns("*.safetensors*", "README.md"), dirs_exist_ok=True)
    write_weights({name: (each / len(folders)).to(dtypes[name]) for name, each in total.items()}, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="that training.export wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; may be one of them")
    arguments = parser.parse_args()
    average(arguments.folders, arguments.out)


if __name__ == "__main__":
    main()
