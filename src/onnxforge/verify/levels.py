"""What ONNX Runtime's own optimizer makes of a model, kept apart from what ours does.

The two are checked against the same truth, the original with optimizations off.  Where the
original already goes astray at some level, the runtime miscompiles it, whoever optimized it
before; where only the result does, an edit of ours leads it there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxforge import runtime
from onnxforge.errors import EvaluationError
from onnxforge.ir import Model

from .compare import allowed, relative_error
from .models import Baseline

LEVELS: tuple[runtime.Level, ...] = ("basic", "extended", "all")


@dataclass(frozen=True, slots=True)
class LevelResult:
    """How far the original and the result are, at one level, from the original at none.

    Errors are relative to the size of the outputs, infinite if the runtime fails.
    """

    level: str
    original: float
    result: float
    tolerance: float

    def __str__(self) -> str:
        if max(self.original, self.result) <= self.tolerance:
            verdict = "fine"
        elif self.original > self.tolerance:
            verdict = "ONNX Runtime miscompiles the original itself"
        else:
            verdict = "ONNX Runtime goes astray on the result alone"
        errors = f"original {self.original:.1e}, result {self.result:.1e}"
        return f"ONNX Runtime at level {self.level}: {errors}: {verdict}"


def compare_levels(
    original: Model, result: Model, feeds: Mapping[str, Any] | None = None
) -> list[LevelResult]:
    """The original and the result at each of ONNX Runtime's levels; none if nothing can be run.

    Raises `OnnxForgeError` if *feeds* are not what the original takes.
    """
    baseline = Baseline(original, feeds)
    if baseline.unchecked:
        return []
    tolerance = max(allowed(output) for outputs in baseline.outputs for output in outputs)
    return [
        LevelResult(
            level, _error(original, baseline, level), _error(result, baseline, level), tolerance
        )
        for level in LEVELS
    ]


def _error(model: Model, baseline: Baseline, level: runtime.Level) -> float:
    worst = 0.0
    try:
        session = runtime.Session(model.commit(), model.folder, level)
        for feeds, expected in zip(baseline.feeds, baseline.outputs, strict=True):
            actual = session.run(feeds)
            pairs = zip(expected, actual, strict=True)
            worst = max([worst, *(relative_error(a, b) for a, b in pairs)])
    except EvaluationError:
        return math.inf
    return worst
