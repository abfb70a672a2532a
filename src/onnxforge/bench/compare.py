"""Two result files side by side: another machine, another day, another ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from onnxforge.bench import results
from onnxforge.bench.statistics import Estimate, geometric_mean, unpaired_ratio

_TELLING = (
    "name",
    "cores",
    "features",
    "frequencies",
    "kernel",
    "onnxruntime",
    "onnxruntime_build",
    "numpy",
    "python",
)


@dataclass(frozen=True, slots=True)
class Pair:
    """The same model and configuration in two files, and how many times as long the second took."""

    key: tuple[Any, ...]
    first: Mapping[str, Any]
    second: Mapping[str, Any]
    ratio: Estimate

    @property
    def is_same_model(self) -> bool:
        """Whether both measured the same bytes."""
        return bool(self.first["sha256"] == self.second["sha256"])


def pairs(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Pair]:
    """What both files measured, in the order of the first."""
    others = {results.key(row): row for row in results.figures(second["rows"])}
    return [
        Pair(results.key(a), a, b, unpaired_ratio(b["process_medians"], a["process_medians"]))
        for a in results.figures(first["rows"])
        if (b := others.get(results.key(a))) is not None
    ]


def differences(
    first: Mapping[str, Any], second: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    """What else differs between the two besides the figures: name, first, second."""
    for name in _TELLING:
        a, b = _text(first["machine"].get(name)), _text(second["machine"].get(name))
        if a != b:
            yield name, a, b


def mean(found: list[Pair]) -> float | None:
    """The geometric mean of the ratios; None of none."""
    return geometric_mean([pair.ratio.value for pair in found]) if found else None


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(
            " ".join(str(v) for v in each.values() if v) if isinstance(each, dict) else str(each)
            for each in value
        )
    return str(value or "")
