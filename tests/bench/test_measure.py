from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from quick import QUICK

from onnxforge.bench import Configuration, grid, inputs, measure
from onnxforge.bench.process import Worker
from onnxforge.errors import BenchmarkError
from onnxforge.ir import Model
from onnxforge.testing import model

FIGURES = {
    *("session_seconds", "first_run_seconds", "median", "p90", "p95", "throughput", "peak_bytes"),
    *("nodes", "partitions", "operators", "providers", "runs", "process_medians", "warnings"),
}


def test_a_model_is_measured(convolution: Path) -> None:
    (row,) = measure([convolution], Configuration(), QUICK)
    assert set(row) >= FIGURES, row
    assert row["median"][1] <= row["median"][0] <= row["median"][2]
    assert 0 < row["median"][0] <= row["p90"][0] <= row["p95"][0]
    assert row["providers"] == ["CPUExecutionProvider"]
    assert row["partitions"] == 0
    assert len(row["process_medians"]) == QUICK.processes
    assert "ratio" not in row


def test_the_profile_is_of_what_the_runtime_made_of_the_model(convolution: Path) -> None:
    """At level all, ONNX Runtime fuses Conv and Relu; with its optimizer off it does not."""
    counts = [
        sum(measure([convolution], Configuration(level=level), QUICK)[0]["nodes"].values())
        for level in ("disable", "all")
    ]
    assert counts[0] == 3
    assert counts[1] < counts[0] + 2  # layout changes may have been added


def test_models_that_are_compared_take_turns(convolution: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(convolution.read_bytes())
    first, second = measure([convolution, other], Configuration(), QUICK)
    assert "ratio" not in first
    low, high = second["ratio"][1:]
    assert low <= second["ratio"][0] <= high
    assert first["runs"] >= QUICK.processes * QUICK.min_turns
    assert first["sha256"] == second["sha256"]


def test_a_missing_provider_is_no_figure_of_the_cpus(convolution: Path) -> None:
    (row,) = measure([convolution], Configuration("acl"), QUICK)
    assert "has no ACLExecutionProvider" in row["error"]
    assert "median" not in row


def test_what_the_runtime_refuses_is_told(tmp_path: Path) -> None:
    path = tmp_path / "unknown.onnx"
    text = '<ir_version: 8, opset_import: ["" : 17, "x" : 1]> g (float[2] a) => (float[2] b) { b = x.Foo(a) }'
    onnx.save(onnx.parser.parse_model(text), path)
    (row,) = measure([path], Configuration(), QUICK)
    assert "Foo" in row["error"]


def test_the_others_are_measured_without_one_that_does_not_run(
    convolution: Path, tmp_path: Path
) -> None:
    broken, other = tmp_path / "broken.onnx", tmp_path / "other.onnx"
    onnx.save(model("g (float[2] a) => (float[2] b) { b = Relu(a) }"), broken)
    other.write_bytes(convolution.read_bytes())
    first, second, third = measure([convolution, broken, other], Configuration(), QUICK)
    assert "error" in second
    assert "median" in first
    assert "ratio" in third


def test_a_process_that_dies_is_told_with_what_killed_it() -> None:
    with Worker() as worker:
        worker._process.kill()
        with pytest.raises(BenchmarkError, match="process died: SIGKILL"):
            worker.ask("run", times=1)


def test_the_batch_is_one_unless_asked_for(convolution: Path) -> None:
    source = Model.load(convolution)
    assert next(inputs.candidates(source))["x"].shape == (1, 3, 8, 8)
    assert next(inputs.candidates(source, batch=5))["x"].shape == (5, 3, 8, 8)
    (row,) = measure([convolution], Configuration(batch=5), QUICK)
    assert row["throughput"] == pytest.approx(5 / row["median"][0])


def test_a_first_dimension_of_any_name_can_be_a_batch() -> None:
    source = Model(model("g (float[frames, 4] x) => (float[frames, 4] y) { y = Relu(x) }"))
    assert next(inputs.candidates(source, batch=3))["x"].shape == (3, 4)


def test_a_fixed_batch_cannot_be_asked_for() -> None:
    source = Model(model("g (float[2, 4] x) => (float[2, 4] y) { y = Relu(x) }"))
    with pytest.raises(BenchmarkError, match="--batch 3: the first dimension"):
        next(inputs.candidates(source, batch=3))


def test_sizes_are_tried_until_the_model_takes_them(tmp_path: Path) -> None:
    path = tmp_path / "equal.onnx"
    onnx.save(model("g (float[a] x, float[b] y) => (float[c] z) { z = Add(x, y) }"), path)
    (row,) = measure([path], Configuration(), QUICK)
    assert "error" not in row, row["error"]


def test_given_inputs_are_what_is_fed(convolution: Path) -> None:
    given = {"x": np.zeros((2, 3, 8, 8), np.float64)}
    (feeds,) = inputs.candidates(Model.load(convolution), given=given)
    assert feeds["x"].dtype == np.float32
    (row,) = measure([convolution], Configuration(), QUICK, given=given)
    assert "error" not in row


def test_an_input_may_be_called_as_a_parameter_of_numpys(tmp_path: Path) -> None:
    path = tmp_path / "file.onnx"
    onnx.save(model("g (float[2] file) => (float[2] y) { y = Relu(file) }"), path)
    (row,) = measure([path], Configuration(), QUICK)
    assert "error" not in row, row["error"]


def test_a_grid_has_all_combinations() -> None:
    found = list(grid(["cpu", "xnnpack"], [1, 4], ["all"], [None, 8]))
    assert len(found) == 8
    assert found[1] == Configuration("cpu", 1, "all", 8)
