"""Joules that devices have taken, by their own counters. Where there is none that may be read, there is no figure.

A counter measures its device, whoever keeps it busy: other programs on the machine count too. Knows no requests.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

POWERCAP = Path("/sys/class/powercap")
_KINDS = ("intel-rapl", "intel-rapl-mmio")  # two ways to the same counters; AMD's processors go by the first too


class Counter(Protocol):
    def joules(self) -> float:
        """Since the counter was made. Raises `OSError` where it tells no more."""

    def close(self) -> None: ...


class EnergyMeter:
    """Some devices together. Safe to read from many threads."""

    def __init__(self, counters: Sequence[Counter]) -> None:
        self._counters = counters
        self._lock = threading.Lock()

    def joules(self) -> float:
        """Since the meter was made. Raises `OSError` where a counter tells no more."""
        with self._lock:
            return sum(counter.joules() for counter in self._counters)

    def close(self) -> None:
        with self._lock:
            for counter in self._counters:
                counter.close()


def meter_for(device: torch.device) -> EnergyMeter | None:
    """A meter of what an engine on `device` works with: the graphics card, or processor packages and their memory. None
    where that is not measured, in full.
    """
    counters = _card_counters(device) if device.type == "cuda" else rapl_counters()
    return EnergyMeter(counters) if counters else None


def rapl_counters(powercap: Path = POWERCAP) -> list[Counter]:
    """The packages and their memory (`dram`), each once: a package holds its cores and graphics already, and `psys`
    would hold the packages. Empty where one of them may not be read: half a machine is no measurement.
    """
    for kind in _KINDS:
        zones = [zone for zone in sorted(powercap.glob(f"{kind}:*")) if _is_package(zone) or _name(zone) == "dram"]
        if any(map(_is_package, zones)):
            return _opened([lambda zone=zone: RaplCounter(zone) for zone in zones])  # type: ignore[misc]
    return []


class RaplCounter:
    """One zone of Linux's powercap tree. Its counter begins anew after `max_energy_range_uj`: some tens of minutes
    under full load, within which it is to be read once.
    """

    def __init__(self, zone: Path) -> None:
        """Raises `OSError` where it may not be read or does not count."""
        self._range = _number(zone / "max_energy_range_uj")
        self._file = os.open(zone / "energy_uj", os.O_RDONLY)
        self._last = self._read()
        self._taken = 0  # microjoules
        if not self._last:
            self.close()
            raise OSError(f"{zone} does not count")  # virtual machines may show a zone that stays at 0

    def joules(self) -> float:
        now = self._read()
        self._taken += now - self._last + (self._range if now < self._last else 0)
        self._last = now
        return self._taken / 1e6

    def close(self) -> None:
        os.close(self._file)

    def _read(self) -> int:
        return int(os.pread(self._file, 32, 0))


class CardCounter:
    """The total of an NVIDIA card."""

    def __init__(self, read: Callable[[], int], close: Callable[[], None]) -> None:
        """`read`: millijoules since the driver was loaded."""
        self._read, self.close = read, close
        self._first = read()

    def joules(self) -> float:
        return (self._read() - self._first) / 1000


class PowerCounter:
    """A card without such a total: its power, summed between one reading and the next."""

    def __init__(
        self, read: Callable[[], int], close: Callable[[], None], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """`read`: milliwatts."""
        self._read, self.close, self._clock = read, close, clock
        self._then, self._power, self._taken = clock(), read(), 0.0

    def joules(self) -> float:
        now, power = self._clock(), self._read()
        self._taken += (now - self._then) * (power + self._power) / 2000
        self._then, self._power = now, power
        return self._taken


def card_counter(nvml: Any, uuid: str) -> Counter:
    """A card by its UUID, through the module `pynvml`. Raises `OSError` where it tells neither energy nor power."""

    def asked(name: str, *arguments: Any) -> Any:
        try:
            return getattr(nvml, name)(*arguments)
        except nvml.NVMLError as error:
            raise OSError(f"{name}: {error}") from error

    asked("nvmlInit")
    try:
        card = asked("nvmlDeviceGetHandleByUUID", uuid)
        try:
            return CardCounter(
                lambda: asked("nvmlDeviceGetTotalEnergyConsumption", card), lambda: asked("nvmlShutdown")
            )
        except OSError:
            return PowerCounter(lambda: asked("nvmlDeviceGetPowerUsage", card), lambda: asked("nvmlShutdown"))
    except OSError:
        asked("nvmlShutdown")
        raise


def _card_counters(device: torch.device) -> list[Counter]:
    try:
        import pynvml
    except ImportError:
        return []
    uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"  # numbers differ where some cards are hidden
    return _opened([lambda: card_counter(pynvml, uuid)])


def _opened(makers: Sequence[Callable[[], Counter]]) -> list[Counter]:
    """All of them or none."""
    counters: list[Counter] = []
    try:
        for make in makers:
            counters.append(make())
    except (OSError, ValueError):
        for counter in counters:
            counter.close()
        return []
    return counters


def _is_package(zone: Path) -> bool:
    return _name(zone).startswith("package")


def _name(zone: Path) -> str:
    try:
        return (zone / "name").read_text().strip()
    except OSError:
        return ""


def _number(path: Path) -> int:
    return int(path.read_text())
