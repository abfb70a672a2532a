"""Where nodes ran and what they took, read from ONNX Runtime's own profile of some runs."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from onnxforge.bench.providers import CPU

_KERNEL = "_kernel_time"


def read(path: Path) -> dict[str, Any]:
    """What a profile says, as plain data.

    `nodes` counts by provider the nodes of the graph ONNX Runtime really ran, after its own
    optimizations.  `partitions` are the rows of nodes of other providers than the CPU, in the order
    they ran, that no node of the CPU's interrupts: each has a border where data is handed over.
    `operators` has, by operator and provider, calls and seconds of one run, those of bodies not
    counted again in the node that holds them; the dearest first.
    """
    events = json.loads(path.read_text("utf-8", "replace"))
    runs = [e for e in events if e.get("name") == "model_run"]
    kernels = sorted(
        (e for e in events if e.get("cat") == "Node" and e["name"].endswith(_KERNEL)),
        key=lambda e: (e["ts"], -e["dur"]),
    )
    last = runs[-1]["ts"] if runs else 0
    ran = [(e["name"], e["args"].get("provider", "")) for e in kernels if e["ts"] >= last]
    placed = dict(ran)  # once each, though a body may have run many times
    rows = [provider for provider, _ in groupby(placed.values())]
    return {
        "nodes": dict(Counter(placed.values())),
        "partitions": sum(provider != CPU for provider in rows),
        "operators": _operators(kernels, max(1, len(runs))),
    }


def _operators(kernels: Sequence[dict[str, Any]], runs: int) -> list[dict[str, Any]]:
    seconds: defaultdict[tuple[str, str], float] = defaultdict(float)
    calls: Counter[tuple[str, str]] = Counter()
    holders: list[tuple[float, tuple[str, str]]] = []
    for event in kernels:
        kind = (event["args"].get("op_name", "?"), event["args"].get("provider", ""))
        while holders and holders[-1][0] <= event["ts"]:
            holders.pop()
        if holders:
            seconds[holders[-1][1]] -= event["dur"] * 1e-6
        seconds[kind] += event["dur"] * 1e-6
        calls[kind] += 1
        holders.append((event["ts"] + event["dur"], kind))
    return [
        {
            "op_type": kind[0],
            "provider": kind[1],
            "calls": calls[kind] / runs,
            "seconds": took / runs,
        }
        for kind, took in sorted(seconds.items(), key=lambda item: -item[1])
    ]
