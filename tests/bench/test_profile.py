from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from onnxforge.bench import profile
from onnxforge.bench.providers import CPU

XNN = "XnnpackExecutionProvider"


def kernel(name: str, op: str, provider: str, start: int, took: int) -> dict[str, Any]:
    return {
        "cat": "Node",
        "name": f"{name}_kernel_time",
        "ts": start,
        "dur": took,
        "args": {"op_name": op, "provider": provider},
    }


def run(start: int) -> dict[str, Any]:
    return {"cat": "Session", "name": "model_run", "ts": start, "dur": 100, "args": {}}


def read(tmp_path: Path, *events: dict[str, Any]) -> dict[str, Any]:
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(events))
    return profile.read(path)


def test_nodes_and_partitions_are_those_of_one_run(tmp_path):
    events = []
    for start in (0, 1000):
        events += [
            run(start),
            kernel("a", "Conv", XNN, start + 1, 10),
            kernel("b", "Conv", XNN, start + 12, 10),
            kernel("c", "Softplus", CPU, start + 23, 10),
            kernel("d", "Conv", XNN, start + 34, 10),
        ]
    found = read(tmp_path, *events)
    assert found["nodes"] == {XNN: 3, CPU: 1}
    assert found["partitions"] == 2


def test_on_the_cpu_there_is_no_partition(tmp_path):
    assert read(tmp_path, run(0), kernel("a", "Conv", CPU, 1, 1))["partitions"] == 0


def test_operators_are_per_run_the_dearest_first(tmp_path):
    events = []
    for start in (0, 1000):
        events += [
            run(start),
            kernel("a", "Relu", CPU, start, 5),
            kernel("b", "Conv", CPU, start + 9, 80),
        ]
        events += [kernel("c", "Relu", CPU, start + 95, 15)]
    conv, relu = read(tmp_path, *events)["operators"]
    assert (conv["op_type"], conv["calls"]) == ("Conv", 1)
    assert (relu["op_type"], relu["calls"]) == ("Relu", 2)
    assert relu["seconds"] == pytest.approx(20e-6)


def test_a_body_is_not_counted_again_in_the_node_that_holds_it(tmp_path):
    events = [
        run(0),
        kernel("loop", "Loop", CPU, 0, 100),
        kernel("inner", "Add", CPU, 10, 30),
        kernel("inner", "Add", CPU, 50, 30),
        kernel("after", "Neg", CPU, 100, 10),
    ]
    found = read(tmp_path, *events)
    seconds = {each["op_type"]: each["seconds"] for each in found["operators"]}
    assert seconds == pytest.approx({"Loop": 40e-6, "Add": 60e-6, "Neg": 10e-6})
    assert found["nodes"] == {CPU: 3}
