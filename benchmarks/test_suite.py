"""The models of the suite, for those who want pytest-benchmark's tables.

    make bundle && python -m pytest benchmarks/test_suite.py --benchmark-enable --benchmark-group-by=group

`onnxforge bench suite` measures the same with a process for each, in turns, and says how sure it is.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

BUNDLE = Path(os.environ.get("BUNDLE", Path(__file__).parents[1] / "build" / "bundle"))
SUITE = BUNDLE / "suite.json"
ENTRIES = json.loads(SUITE.read_text())["models"] if SUITE.exists() else []

pytestmark = pytest.mark.skipif(not ENTRIES, reason=f"no bundle in {BUNDLE}: `make bundle`")


@pytest.mark.parametrize(
    ("entry", "variant"),
    [pytest.param(e, v, id=f"{e['name']}-{v}") for e in ENTRIES for v in e["variants"]]
    or [pytest.param(None, None, id="none")],
)
def test_latency(benchmark: Any, entry: Any, variant: str) -> None:
    benchmark.group = entry["name"]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        BUNDLE / entry["variants"][variant], options, providers=["CPUExecutionProvider"]
    )
    with np.load(BUNDLE / entry["feeds"]) as arrays:
        feeds = dict(arrays)
    benchmark(session.run, None, feeds)
