"""Settings under which measuring takes no time; the figures mean nothing."""

from __future__ import annotations

from onnxforge.bench import Settings

QUICK = Settings(seconds=0.02, processes=2, turn_seconds=0.001, max_turns=6, profiled_runs=2)
