"""Settings under which measuring takes no time; the figures mean nothing."""

from __future__ import annotations

from onnxforge.bench import Settings

QUICK = Settings(
    seconds=0.02, turn_seconds=0.001, min_turns=6, max_turns=12, sessions=1, profiled_runs=2
)
