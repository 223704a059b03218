"""Compiles the CPU's kernels while the package is built or installed.

Without a C++ compiler the package is complete all the same: its operations then take their torch path, and an engine
that would have used the kernels says so.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("src", "qwen3vl", "kernels", "cpu")
# Functions are compiled for their instruction set file by file and chosen at run time. OpenMP is compiled in but not
# linked: the symbols are found in the runtime that torch has loaded, so that both share one pool of threads.
OPTIONS = ["-std=c++17", "-O3", "-fPIC", "-fopenmp", "-fvisibility=hidden"]


class CompileKernels(BuildHookInterface[Any]):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        library = Path(self.root, FOLDER, "libqwen3vl.so")
        library.unlink(missing_ok=True)
        fault = compile_kernels(library)
        if fault is None:
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
        else:
            self.app.display_warning(f"the CPU's kernels were not compiled, torch takes their place: {fault}")


def compile_kernels(library: Path) -> str | None:
    """Compiles the sources beside `library` into it. Returns what went wrong, or None."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"they are written for Linux on x86-64, this is {sys.platform} on {platform.machine()}"
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "c++"]
    compiler = next(filter(None, map(shutil.which, names)), None)
    if compiler is None:
        return f"no C++ compiler was found ({', '.join(names)})"
    with tempfile.TemporaryDirectory() as folder:
        sources = sorted((library.parent / "source").glob("*.cpp"))
        objects = [Path(folder, source.name).with_suffix(".o") for source in sources]

        def compile_one(pair: tuple[Path, Path]) -> str | None:
            return run([compiler, *OPTIONS, "-c", str(pair[0]), "-o", str(pair[1])])

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            faults = [fault for fault in pool.map(compile_one, zip(sources, objects, strict=True)) if fault]
        return faults[0] if faults else run([compiler, "-shared", *map(str, objects), "-o", str(library)])


def run(command: list[str]) -> str | None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if result.returncode == 0 else f"{' '.join(command)}\n{result.stderr[-2000:]}"
