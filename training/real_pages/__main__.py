"""Asks a model about the ten pages, judges its answers as `qwen3vl eval` would, and writes `real_pages.json`.

`--render` takes the pictures anew first. It needs Chromium and the packages of `pages.toml`; with `--root` these may
lie unpacked (`dpkg -x`) in a folder instead of being installed.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qwen3vl import Engine
from qwen3vl.bench.evaluate import EngineResponder, Record, evaluate
from qwen3vl.bench.scoring import main_metric
from training.real_pages import screenshots
from training.real_pages.pages import Page, load


def ask(engine: Engine, pages: list[Page]) -> dict[str, Any]:
    """What the model says to each page, and whether its task's main metric is all there."""
    records = evaluate(EngineResponder(engine), (page.item() for page in pages), ["full"])
    answers = [_line(page, record) for page, record in zip(pages, records, strict=True)]
    return {"model": engine.info.name, "mode": "full", "pages": answers}


def _line(page: Page, record: Record) -> dict[str, Any]:
    part = record.parts[main_metric(page.task)]
    return {
        **asdict(page),
        "said": record.reply.text,
        "metric": main_metric(page.task),
        "right": part.value == part.weight,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a folder or a name, as for qwen3vl eval")
    parser.add_argument("--out", type=Path, required=True, help="folder to write real_pages.json to")
    parser.add_argument("--render", action="store_true", help="take the pictures anew from the packages")
    parser.add_argument("--root", type=Path, default=Path("/"), help="where the packages' files lie")
    arguments = parser.parse_args()
    pages = load()
    if arguments.render:
        if lacking := screenshots.missing(pages, arguments.root):
            parser.exit(1, f"these packages are not below {arguments.root}: {' '.join(lacking)}\n")
        screenshots.take(pages, arguments.root)
    with Engine.load(arguments.model) as engine:
        result = ask(engine, pages)
    arguments.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    (arguments.out / "real_pages.json").write_text(text, encoding="utf-8")
    for line in result["pages"]:
        print(f"{line['name']:12} {'right' if line['right'] else 'wrong'}  {line['said']!r}")


if __name__ == "__main__":
    main()
