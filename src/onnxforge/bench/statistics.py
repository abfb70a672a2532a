"""Medians, percentiles, and how far they can be trusted.

Runs that follow each other are alike: one disturbance slows several.  So what is drawn again, in
the bootstrap that gives the intervals, is not the run but the turn, a row of runs between two of
the other model.  Draws are seeded: the same samples give the same interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Array: TypeAlias = npt.NDArray[np.float64]

Turns = Sequence[Sequence[float]]
"""Seconds of each run, by turn."""

CONFIDENCE = 0.95
_DRAWS = 1000


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


def percentiles(turns: Turns, percents: Sequence[float]) -> list[Estimate]:
    """Percentiles of all runs, each with what another measurement like this would give."""

    def pooled(drawn: npt.NDArray[np.intp]) -> Array:
        together = np.concatenate([np.asarray(turns[index]) for index in drawn])
        found: Array = np.percentile(together, percents)
        return found

    return _bootstrap(len(turns), pooled)


def ratio(numerator: Turns, denominator: Turns) -> Estimate:
    """How much longer one takes than the other: median of the ratios of turns that were neighbours.

    The two have as many turns each, measured in pairs, so that what slows both cancels out.
    """
    pairs = np.array(
        [np.median(a) / np.median(b) for a, b in zip(numerator, denominator, strict=True)]
    )
    return _bootstrap(len(pairs), lambda drawn: np.median(pairs[drawn], keepdims=True))[0]


def unpaired_ratio(numerator: Sequence[float], denominator: Sequence[float]) -> Estimate:
    """The ratio of the medians of turns that were measured apart, on other days or machines.

    The interval covers the scatter within each measurement, not what changed between them.
    """
    a, b = np.array(numerator), np.array(denominator)
    random = np.random.default_rng(0)
    draws = np.array(
        [
            np.median(random.choice(a, len(a))) / np.median(random.choice(b, len(b)))
            for _ in range(_DRAWS)
        ]
    )
    return _estimate(float(np.median(a) / np.median(b)), draws)


def geometric_mean(values: Sequence[float]) -> float:
    """The mean of ratios."""
    return float(np.exp(np.mean(np.log(values))))


def _bootstrap(count: int, statistics: Callable[[npt.NDArray[np.intp]], Array]) -> list[Estimate]:
    random = np.random.default_rng(0)
    draws = np.array([statistics(random.integers(0, count, count)) for _ in range(_DRAWS)])
    values = statistics(np.arange(count))
    return [_estimate(float(value), column) for value, column in zip(values, draws.T, strict=True)]


def _estimate(value: float, draws: Array) -> Estimate:
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(draws, [tail, 100 - tail])
    return Estimate(value, min(value, float(low)), max(value, float(high)))
