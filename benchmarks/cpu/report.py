"""What a run found, as JSON and as a table."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from benchmarks.cpu.figures import Spread, ratios
from benchmarks.cpu.measures import Measure, Samples
from benchmarks.cpu.shapes import Shape

_CPU_NAMES = Path("/proc/cpuinfo")


def machine(threads: int) -> dict[str, Any]:
    names = [line.partition(":")[2].strip() for line in _CPU_NAMES.read_text().splitlines() if "model name" in line]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def rows(samples: Samples, measures: Sequence[Measure], shape: Shape, read_speed: float) -> list[dict[str, Any]]:
    """One for each measure and peer. The ratio is the first peer's tokens a second over this one's, round by round."""
    found = []
    for measure in measures:
        first: list[float] | None = None
        for name, loaded in samples.loaded.items():
            if name in samples.left_out:
                continue
            timings = samples.timings[name, measure]
            rates = [measure.tokens / timing.seconds for timing in timings]
            first = first or rates
            row: dict[str, Any] = {
                "measure": measure.label,
                "peer": loaded.label,
                "tokens_per_second": asdict(Spread.of(rates)) | {"rounds": rates},
                "cores": Spread.of([timing.cores for timing in timings]).median,
                "cores_of_others": Spread.of([timing.others for timing in timings]).median,
                "first_peer_is_faster_by": asdict(ratios(first, rates)),
            }
            read = measure.bytes_read(loaded, shape)
            if read is not None:
                per_second = read / measure.tokens * row["tokens_per_second"]["median"]
                row |= {
                    "bytes_per_token": read / measure.tokens,
                    "bytes_per_second": per_second,
                    "share_of_floor": per_second / read_speed,
                }
            found.append(row)
    return found


def table(found: Sequence[dict[str, Any]]) -> str:
    head = f"{'':46}{'tokens/s':>26}{'GB/token':>10}{'GB/s':>7}{'of floor':>10}{'cores':>7}{'others':>8}"
    lines = [f"{head}{'1st is faster by':>18}"]
    for row in found:
        speed, ratio = (_spread(row[key]) for key in ("tokens_per_second", "first_peer_is_faster_by"))
        read = f"{'':27}"
        if "share_of_floor" in row:
            size, rate = row["bytes_per_token"] / 1e9, row["bytes_per_second"] / 1e9
            read = f"{size:>10.2f}{rate:>7.1f}{row['share_of_floor']:>10.0%}"
        lines.append(
            f"{row['measure']:26}{row['peer']:20}{speed.text(1):>26}{read}{row['cores']:>7.2f}{row['cores_of_others']:>8.2f}{ratio.median:>17.2f}x"
        )
    return "\n".join(lines)


def _spread(row: dict[str, Any]) -> Spread:
    return Spread(row["median"], row["low"], row["high"])
