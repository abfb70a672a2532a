"""Medians, percentiles and ratios, and how far they can be trusted.

Runs that follow each other are alike, and so are all runs of a process: where its memory happens to lie
moves them by a percent or two, all the same way.  So a run is no independent sample, however many there
are; what intervals are made of is processes, and turns within them, a turn being a row of runs
between two of the other model.  Draws are seeded: the same samples give the same interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Array: TypeAlias = npt.NDArray[np.float64]

Processes = Sequence[Sequence[Sequence[float]]]
"""Seconds of each run, by process and turn."""

_DRAWS = 1000
_TAIL = 2.5
"""Percent on either side of an interval of 95 % confidence."""
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""Student's t at 97.5 %, for 1 degree of freedom on; the last serves for more, and is too wide."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure, and the interval in which it is with 95 % confidence."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"

    @property
    def is_one(self) -> bool:
        """Whether a ratio is no difference: its interval holds 1."""
        return self.low <= 1.0 <= self.high


def percentiles(processes: Processes, percents: Sequence[float]) -> list[Estimate]:
    """Percentiles of all runs, each with what another measurement like this would give.

    Processes are drawn again, and of each its turns.
    """
    random = np.random.default_rng(0)
    turns = [[np.asarray(turn) for turn in process] for process in processes]

    def drawn() -> Array:
        chosen = (turns[index] for index in random.integers(0, len(turns), len(turns)))
        again = (p[index] for p in chosen for index in random.integers(0, len(p), len(p)))
        found: Array = np.percentile(np.concatenate(list(again)), percents)
        return found

    draws = np.array([drawn() for _ in range(_DRAWS)])
    values = np.percentile(np.concatenate([turn for p in turns for turn in p]), percents)
    bounds = np.percentile(draws, [_TAIL, 100 - _TAIL], axis=0)
    return [
        Estimate(float(value), min(float(value), float(low)), max(float(value), float(high)))
        for value, low, high in zip(values, *bounds, strict=True)
    ]


def ratio(numerator: Processes, denominator: Processes) -> Estimate:
    """How many times as long one takes as the other, both measured in turns, pair by pair.

    For each pair of processes, the median of the ratios of neighbouring turns, so that what slows
    both cancels out; over the pairs, their geometric mean with Student's interval.
    """
    logs = [
        math.log(
            np.median([np.median(a) / np.median(b) for a, b in zip(first, second, strict=True)])
        )
        for first, second in zip(numerator, denominator, strict=True)
    ]
    return _estimate(float(np.mean(logs)), _variance(logs), len(logs) - 1)


def unpaired_ratio(numerator: Sequence[float], denominator: Sequence[float]) -> Estimate:
    """The ratio of what was measured apart, on other days or machines, from processes' medians.

    Welch's interval covers the scatter within each measurement, not what changed between them.
    """
    a, b = [math.log(each) for each in numerator], [math.log(each) for each in denominator]
    parts = [(_variance(logs), len(logs) - 1) for logs in (a, b)]
    total = sum(variance for variance, _ in parts)
    weights = sum(variance**2 / max(1, freedom) for variance, freedom in parts)
    freedom = int(total**2 / weights) if weights else min(len(a), len(b)) - 1
    return _estimate(float(np.mean(a) - np.mean(b)), total, freedom)


def geometric_mean(values: Sequence[float]) -> float:
    """The mean of ratios."""
    return float(np.exp(np.mean(np.log(values))))


def _variance(logs: Sequence[float]) -> float:
    """Of the mean; infinite for a single one, from which nothing can be told."""
    return float(np.var(logs, ddof=1)) / len(logs) if len(logs) > 1 else math.inf


def _estimate(log: float, variance: float, freedom: int) -> Estimate:
    student = _STUDENT[min(max(freedom, 1), len(_STUDENT)) - 1]
    reach = min(student * math.sqrt(variance), math.log(1e6))
    return Estimate(math.exp(log), math.exp(log - reach), math.exp(log + reach))
