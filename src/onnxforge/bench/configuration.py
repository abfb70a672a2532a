"""How a model is run: the axes of a benchmark, and what is the same in all of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from onnxforge.runtime import Level


@dataclass(frozen=True, slots=True)
class Configuration:
    """One point of the grid.

    *ep* is a provider with variants, as `providers.parse` reads it; *batch* the size of the batch
    dimension, None for 1 if it is symbolic and else what the model says.
    """

    ep: str = "cpu"
    threads: int = 1
    level: Level = "all"
    batch: int | None = None

    def __str__(self) -> str:
        batch = f", batch {self.batch}" if self.batch is not None else ""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{self.ep}, {threads}, level {self.level}{batch}"


def grid(
    eps: Sequence[str],
    threads: Sequence[int],
    levels: Sequence[Level],
    batches: Sequence[int | None],
) -> Iterator[Configuration]:
    """All combinations, the batch changing fastest."""
    for each in itertools.product(eps, threads, levels, batches):
        yield Configuration(*each)


@dataclass(frozen=True, slots=True)
class Settings:
    """How long and how carefully to measure.

    Each model runs *seconds* under each configuration, in as many *processes* one after the other,
    in turns of about *turn_seconds* and at most *max_runs* runs, of which a process has at least
    *min_turns*.  *cpus* are those to run on, all by default.  *entries* are further session
    configuration entries of ONNX Runtime.
    """

    seconds: float = 3.0
    processes: int = 5
    turn_seconds: float = 0.05
    max_runs: int = 100
    min_turns: int = 4
    max_turns: int = 50
    profiled_runs: int = 10
    cpus: tuple[int, ...] = ()
    entries: tuple[tuple[str, str], ...] = ()
