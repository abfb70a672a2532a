"""How many times as fast as the original is an optimizer's output?  Run by peers.py in processes.

ONNX Runtime optimizes either as it does by default, and runs it in one thread.  They take turns, and
what counts is processor time: that of a busy machine says little, but it says the same of both.
Where a process has its memory moves all its runs by a percent or two, so peers.py asks several.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from judging import feeds_of, session

_SECONDS = 0.4
_TURNS = 5, 200


def measure(task: Mapping[str, Any]) -> Iterator[list[float | None]]:
    """The ratio of each of the task's candidates, in order; None for one that does not run.

    For the *task* see `judging.judge`.
    """
    feeds = next(feeds_of(task["source"], task))
    original = session(task["source"], "ORT_ENABLE_ALL")
    original.run(None, feeds)
    yield [_ratio(original, candidate, feeds) for candidate in task["candidates"]]


def _ratio(original: Any, path: str, feeds: Mapping[str, Any]) -> float | None:
    try:
        candidate = session(path, "ORT_ENABLE_ALL")
        once = _seconds(candidate, feeds) + _seconds(original, feeds)
    except Exception:  # noqa: BLE001 - ONNX Runtime raises types of its own
        return None
    least, most = _TURNS
    turns = range(max(least, min(most, round(_SECONDS / max(once, 1e-6)))))
    runs = max(1, round(1e-3 / max(once, 1e-6)))  # of less than that the clock tells little
    pairs = [(_seconds(original, feeds, runs), _seconds(candidate, feeds, runs)) for _ in turns]
    return float(np.median([before / after for before, after in pairs]))


def _seconds(given: Any, feeds: Mapping[str, Any], runs: int = 1) -> float:
    start = time.process_time()
    for _ in range(runs):
        given.run(None, feeds)
    return max(time.process_time() - start, 1e-9)
