"""The OpenAPI schema against the server, by schemathesis: no 5xx, and no answer that the schema does not tell of."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from qwen3vl import Engine
from qwen3vl.server import Services, create_app
from qwen3vl.settings import Settings
from support.server import MODELS, serving

SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))


def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    engine = Engine.load(MODELS / "moe", device="cpu", memory="1GiB")
    settings = Settings.load(
        generation={"max_tokens": 2},
        model={"name": str(MODELS / "moe"), "memory": "1GiB", "device": "cpu"},
        server={"max_body": 2_000_000, "data_dir": tmp_path / "data"},
    )
    services = Services.open(settings)
    services.models.adopt(engine)
    with services, serving(create_app(services)) as url:
        done = subprocess.run(
            [
                *(SCHEMATHESIS, "run", f"{url}/openapi.json", "--no-color", "--continue-on-failure"),
                *("--phases", "fuzzing", "--max-examples", "3", "--seed", "4"),
                # What a schema cannot say (which options go together, what fits into the context) is refused with 400.
                *("--exclude-checks", "positive_data_acceptance"),
                # No model is fetched for a test; tests/server/test_models.py has the loading.
                *("--exclude-path-regex", "/load$"),
            ],
            cwd=tmp_path,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=240,
        )
    assert done.returncode == 0, done.stdout[-30000:]
    [selected], [tested] = (re.findall(rf"{word}: (\d+)", done.stdout) for word in ("Selected", "Tested"))
    assert int(tested) == int(selected) > 50, "every operation is asked"
