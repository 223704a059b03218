"""Whose energy it is that the devices take: of each step, each request's share."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from qwen3vl.engine.scheduler import Chunk
from qwen3vl.engine.sequence import Request
from qwen3vl.telemetry.energy import EnergyMeter

logger = logging.getLogger(__name__)


class EnergyBook:
    """Splits what a meter says among the requests of a step, by the tokens that the step computed for each.

    The split is a rule and no measurement: prompt tokens, answer tokens and those of pictures, whose encoding is part
    of the step, count alike. Sampling, and what lies between two steps that follow each other, go to the second one.
    What is taken while nobody asks for anything is nobody's, and so is what a failed step took. Figures are as fine as
    the counters: one that moves more seldom than there are steps gives a step's energy to a later one.
    """

    def __init__(self, meter: EnergyMeter | None) -> None:
        self.meter = meter  # None: nothing is measured, or no more
        self.joules = 0.0  # of all steps
        self._mark: float | None = None  # what the meter said at the last step

    def skip(self) -> None:
        """What was taken up to now is nobody's: there was nothing to do, or the step has failed."""
        self._mark = None

    def begin(self) -> None:
        """Before a step. Reads the meter only where the step before it does not tell."""
        if self._mark is None:
            self._mark = self._read()

    def charge(self, chunks: Sequence[Chunk]) -> None:
        """After the step that computed `chunks`."""
        now = self._read()
        if now is None or self._mark is None:
            return
        taken, self._mark = now - self._mark, now
        self.joules += taken
        share = taken / sum(chunk.length for chunk in chunks)
        for chunk in chunks:
            chunk.sequence.request.energy_joules += share * chunk.length

    def of(self, request: Request) -> float | None:
        """Joules of a request so far. None where they are not known."""
        return None if self.meter is None else request.energy_joules

    def close(self) -> None:
        if self.meter is not None:
            self.meter.close()
            self.meter = None

    def _read(self) -> float | None:
        if self.meter is None:
            return None
        try:
            return self.meter.joules()
        except OSError:
            logger.exception("the counters of energy tell no more; answers go on without it")
            self.close()
            return None
