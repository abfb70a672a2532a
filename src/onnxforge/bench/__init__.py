"""Benchmarks: how long models take on a machine, how they differ, and where their nodes ran."""

from onnxforge.bench.configuration import Configuration, Settings, grid
from onnxforge.bench.measure import measure

__all__ = ["Configuration", "Settings", "grid", "measure"]
