"""How memory is divided, with the configuration of a released model and a machine of known size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from qwen3vl.checkpoints.catalogue import lookup
from qwen3vl.engine import memory
from qwen3vl.engine.memory import GIB, MemoryPlan, parse_size, plan_memory
from qwen3vl.errors import InputError, InsufficientMemoryError

CONFIG = lookup("qwen3-vl-2b-instruct").config
CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
BLOCK = 16  # tokens
TEXT = CONFIG.text
BLOCK_BYTES = 2 * BLOCK * TEXT.num_layers * 2 * TEXT.num_kv_heads * TEXT.head_dim


def plan(**changes: Any) -> MemoryPlan:
    options: dict[str, Any] = {
        "device": CPU,
        "dtype": torch.bfloat16,
        "tower_dtype": torch.bfloat16,
        "memory": None,
        "weight_bytes": 4 * GIB,
        "cache_token_bytes": BLOCK_BYTES // BLOCK,
        "feature_bytes": GIB // 4,
        "step_tokens": 512,
        "max_running": 64,
        "max_patches": 4096,
        "block_size": BLOCK,
        "num_blocks": None,
        "max_context": None,
    }
    return plan_memory(CONFIG, **(options | changes))


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> int:
    """A machine with 100 GiB to spare."""
    monkeypatch.setattr(memory, "available_bytes", lambda device: 100 * GIB)
    return 100 * GIB


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (1, 1),
        (12 * GIB, 12 * GIB),
        ("1024", 1024),
        ("7B", 7),
        ("12GiB", 12 * GIB),
        ("12gib", 12 * GIB),
        (" 800 MB ", 800 * 2**20),
        ("3.5G", 7 * GIB // 2),
        ("0.5KiB", 512),
        ("2T", 2 * 2**40),
    ],
)
def test_sizes_that_are_understood(text: int | str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [0, -1, True, "", "0", "0.0GiB", "-3G", "much", "12XB", "1e9", "12 G B", "GiB", ".5G", "nan", "1,5G", "9" * 400],
)
def test_sizes_that_are_not(text: int | str) -> None:
    with pytest.raises(InputError, match=r"positive number of bytes or a size such as '12GiB', got "):
        parse_size(text)


@pytest.mark.parametrize("gib", [9, 12, 20])
def test_a_budget_is_kept_and_used(free: int, gib: int) -> None:
    plan_ = plan(memory=gib * GIB, max_running=1024)
    assert plan_.block_bytes == BLOCK_BYTES
    assert plan_.total <= gib * GIB < plan_.total + plan_.block_bytes
    assert (plan_.weights, plan_.features) == (4 * GIB, GIB // 4)


def test_no_more_blocks_than_all_sequences_together_can_fill(free: int) -> None:
    assert plan(memory=100 * GIB, max_running=2, max_context=1000).num_blocks == 2 * 63


@pytest.mark.parametrize(("device", "share"), [(CPU, 0.5), (CUDA, 0.9)])
def test_without_a_budget_a_share_of_what_is_free(free: int, device: torch.device, share: float) -> None:
    assert plan(device=device).budget == int(share * free)


def test_a_model_that_half_is_not_enough_for_takes_more_of_a_cpus_memory(free: int) -> None:
    large = plan(weight_bytes=60 * GIB)
    assert large.budget == int(0.9 * free)
    assert large.total <= large.budget
    with pytest.raises(InsufficientMemoryError, match=r"but 90\.00 GiB may be used"):
        plan(weight_bytes=90 * GIB)


def test_room_for_attention_is_planned_for_what_the_cache_holds_and_no_more(free: int) -> None:
    roomy, tight = (plan(dtype=torch.float32, max_patches=4, memory=size * GIB) for size in (50, 6))
    assert tight.num_blocks * BLOCK < 16_384, "of 262,144 positions"
    assert tight.activations < roomy.activations / 4
    assert tight.total <= 6 * GIB < tight.total + 2 * tight.block_bytes


def test_on_a_cpu_the_cache_stays_modest_unless_asked(free: int) -> None:
    assert plan().num_blocks == 65_536 // BLOCK
    assert plan(max_context=100_000).num_blocks == 100_000 // BLOCK, "one whole context must fit"
    assert plan(memory=50 * GIB).num_blocks > 65_536 // BLOCK
    assert plan(device=CUDA).num_blocks > 65_536 // BLOCK


def test_a_number_of_blocks_is_honoured_or_refused(free: int) -> None:
    assert plan(num_blocks=7).num_blocks == 7
    assert plan(num_blocks=20_000).num_blocks == 20_000, "the modest default is not for who asks"
    whole = plan(memory=10 * GIB, num_blocks=500).total
    assert plan(memory=whole, num_blocks=500).total == whole
    with pytest.raises(InsufficientMemoryError, match="for 8000 tokens of context"):
        plan(memory=whole - 1, num_blocks=500)


def test_the_error_names_the_numbers(free: int) -> None:
    activations = plan(max_context=2048).activations
    context = 128 * BLOCK_BYTES
    with pytest.raises(InsufficientMemoryError) as caught:
        plan(memory=3 * GIB, max_context=2048)
    assert str(caught.value) == (
        f"this model needs {4.25 + (activations + context) / GIB:.2f} GiB (4.00 weights, "
        f"{activations / GIB:.2f} activations, 0.25 picture features, {context / GIB:.2f} for 2048 tokens of context), "
        "but 3.00 GiB may be used (100.00 GiB are free on cpu)"
    )


def test_the_least_is_one_context_or_1024_tokens(free: int) -> None:
    def least(**options: Any) -> int:
        """Bytes below which a plan is refused."""
        tokens: int = options.get("max_context", 1024)
        return plan(memory=50 * GIB, num_blocks=tokens // BLOCK, **options).total

    for options in ({}, {"max_context": 4096}):
        assert plan(memory=least(**options), **options).num_blocks == options.get("max_context", 1024) // BLOCK
        with pytest.raises(InsufficientMemoryError):
            plan(memory=least(**options) - 1, **options)


@pytest.mark.parametrize("device", [CPU, CUDA])
@pytest.mark.parametrize(
    ("smaller", "larger"),
    [
        ({"max_patches": 65_536}, {"max_patches": 131_072}),
        ({"max_context": 100_000}, {"max_context": 200_000}),
        ({"step_tokens": 4096}, {"step_tokens": 8192}),
        ({"max_running": 64}, {"max_running": 128}),
    ],
    ids=lambda change: "-".join(f"{name}={value}" for name, value in change.items()),
)
def test_what_is_larger_needs_more(
    free: int, device: torch.device, smaller: dict[str, int], larger: dict[str, int]
) -> None:
    wide = {"step_tokens": 4096}  # so that on a GPU too one context is more than the bound of a padded group
    assert plan(device=device, **wide | larger).activations > plan(device=device, **wide | smaller).activations


def test_the_decoder_counts_where_pictures_are_small(free: int) -> None:
    few, many = (plan(max_patches=4, max_context=16, step_tokens=tokens).activations for tokens in (4096, 8192))
    assert many - few > 4096 * TEXT.hidden_size * 2


def test_the_tower_counts_in_its_own_type(free: int) -> None:
    plain, packed = (
        plan(dtype=torch.float32, tower_dtype=tower, max_patches=65_536) for tower in (torch.float32, torch.bfloat16)
    )
    assert packed.activations < plain.activations


def test_patches_leave_fewer_blocks(free: int) -> None:
    few, many = (plan(memory=10 * GIB, max_patches=patches) for patches in (16_384, 65_536))
    assert many.num_blocks < few.num_blocks
    assert many.total <= 10 * GIB


def test_a_containers_limit_counts_what_is_used_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "_CGROUP_LIMIT", limit)
    machine = psutil.virtual_memory().total
    used = psutil.Process().memory_info().rss
    limit.write_text(f"{used + 2**26}\n")
    assert 0 < memory.available_bytes(CPU) < 2**27
    limit.write_text("4096\n")
    assert memory.available_bytes(CPU) == 0, "used up, not negative"
    for without in ("max\n", f"{2 * machine}\n"):
        limit.write_text(without)
        assert 2**27 < memory.available_bytes(CPU) <= machine
