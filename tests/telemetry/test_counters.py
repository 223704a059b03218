"""Counters of energy against a powercap tree and a driver that are made up, to the microjoule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qwen3vl.telemetry.energy import EnergyMeter, PowerCounter, RaplCounter, card_counter, rapl_counters

RANGE = 1_000_000
TREE = {
    "intel-rapl:0": ("package-0", 500),
    "intel-rapl:0:0": ("core", 300),
    "intel-rapl:0:1": ("dram", 100),
    "intel-rapl:1": ("package-1", 700),
    "intel-rapl:1:0": ("dram", 200),
    "intel-rapl:2": ("psys", 9000),
    "intel-rapl-mmio:0": ("package-0", 500),
}


def make(tree: Path, zones: dict[str, tuple[str, int]]) -> None:
    (tree / "intel-rapl").mkdir(parents=True)  # the control type has no counter
    for zone, (name, energy) in zones.items():
        (tree / zone).mkdir()
        (tree / zone / "name").write_text(f"{name}\n")
        (tree / zone / "max_energy_range_uj").write_text(f"{RANGE}\n")
        count(tree, zone, energy)


def count(tree: Path, zone: str, energy: int) -> None:
    (tree / zone / "energy_uj").write_text(f"{energy}\n")


def test_packages_and_memory_count_once(tmp_path: Path) -> None:
    make(tmp_path, TREE)
    meter = EnergyMeter(rapl_counters(tmp_path))
    assert meter.joules() == 0
    for number, (zone, (_, energy)) in enumerate(TREE.items()):
        count(tmp_path, zone, energy + 10**number)
    assert meter.joules() == pytest.approx((1 + 100 + 1000 + 10_000) / 1e6, abs=1e-12)
    meter.close()
    with pytest.raises(OSError, match="descriptor"):
        meter.joules()


def test_a_machine_whose_counters_are_only_mapped_into_memory(tmp_path: Path) -> None:
    make(tmp_path, {"intel-rapl-mmio:0": ("package-0", 500), "intel-rapl:0": ("psys", 1)})
    meter = EnergyMeter(rapl_counters(tmp_path))
    count(tmp_path, "intel-rapl-mmio:0", 800)
    assert meter.joules() == pytest.approx(300e-6, abs=1e-12)


def test_a_counter_that_begins_anew(tmp_path: Path) -> None:
    make(tmp_path, {"intel-rapl:0": ("package-0", RANGE - 10)})
    counter = RaplCounter(tmp_path / "intel-rapl:0")
    for energy, taken in ((RANGE - 4, 6), (3, 13), (2, 12 + RANGE), (2, 12 + RANGE)):
        count(tmp_path, "intel-rapl:0", energy)
        assert counter.joules() == pytest.approx(taken / 1e6, abs=1e-12)


@pytest.mark.parametrize("zones", [{}, {"intel-rapl:0": ("psys", 5)}, {"intel-rapl:0:0": ("dram", 5)}])
def test_no_package_is_no_measurement(tmp_path: Path, zones: dict[str, tuple[str, int]]) -> None:
    make(tmp_path, zones)
    assert rapl_counters(tmp_path) == []
    assert rapl_counters(tmp_path / "gone") == []


@pytest.mark.parametrize("spoil", [Path.unlink, lambda file: file.write_text("0\n"), lambda file: file.write_text("")])
def test_half_a_machine_is_no_measurement(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    """A zone that may not be read, that stays at nothing (as virtual machines may show it), or that says nothing."""
    make(tmp_path, TREE)
    spoil(tmp_path / "intel-rapl:1" / "energy_uj")
    assert rapl_counters(tmp_path) == []


class Driver:
    """The part of `pynvml` that is used."""

    class NVMLError(Exception):
        pass

    def __init__(self, *missing: str) -> None:
        self.energy, self.power, self.users, self._missing = 5_000, 0, 0, missing

    def _ask(self, name: str) -> None:
        if name in self._missing or self.users < 1:
            raise self.NVMLError("Not Supported")

    def nvmlInit(self) -> None:
        self.users += 1

    def nvmlShutdown(self) -> None:
        self.users -= 1

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid != "GPU-1":
            raise self.NVMLError("Not Found")
        return "card"

    def nvmlDeviceGetTotalEnergyConsumption(self, card: str) -> int:
        self._ask("energy")
        return self.energy

    def nvmlDeviceGetPowerUsage(self, card: str) -> int:
        self._ask("power")
        return self.power


def test_a_card_tells_its_total() -> None:
    driver = Driver()
    counter = card_counter(driver, "GPU-1")
    assert counter.joules() == 0
    driver.energy += 1_250
    assert counter.joules() == 1.25
    counter.close()
    assert driver.users == 0
    with pytest.raises(OSError, match="Not Supported"):
        counter.joules()


def test_a_card_without_a_total_has_its_power_summed() -> None:
    driver = Driver("energy")
    assert isinstance(card_counter(driver, "GPU-1"), PowerCounter)
    now, watts = 10.0, 100
    counter = PowerCounter(lambda: watts * 1000, lambda: None, lambda: now)
    now, watts = 12.0, 200
    assert counter.joules() == 300  # two seconds between 100 and 200 watts
    now = 12.5
    assert counter.joules() == 400


@pytest.mark.parametrize(("missing", "uuid"), [(("energy", "power"), "GPU-1"), ((), "GPU-2")])
def test_a_card_that_tells_nothing(missing: tuple[str, ...], uuid: str) -> None:
    driver = Driver(*missing)
    with pytest.raises(OSError, match=r"Not (Supported|Found)"):
        card_counter(driver, uuid)
    assert driver.users == 0
