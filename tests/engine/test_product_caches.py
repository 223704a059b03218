"""What torch keeps of products in bfloat16 whose shapes come only once, as pictures of any size have them."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import psutil, torch
import qwen3vl.engine.build

torch.set_num_threads(1)
process, weight, before = psutil.Process(), torch.zeros(64, 64, dtype=torch.bfloat16), 0
for number in range(280):
    if number == 80:  # what is kept is full by then
        before = process.memory_info().rss
    torch.nn.functional.linear(torch.zeros(16 + 4 * number, 64, dtype=torch.bfloat16), weight)
print(process.memory_info().rss - before)
"""


def test_memory_does_not_grow_with_the_number_of_shapes() -> None:
    ours = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, check=True)
    assert int(run.stdout) < 40 * 2**20
