"""The model that ships with the examples is what it is said to be, and the examples run."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxforge
from examples.digits.data import faces, joined, rendered

EXAMPLES = Path(__file__).parents[1] / "examples"
DIGITS = EXAMPLES / "digits.onnx"


def probabilities(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (result,) = session.run(None, {"image": images})
    return np.asarray(result)


def test_the_digit_network_keeps_its_batch_normalizations_and_is_small() -> None:
    proto = onnx.load(DIGITS)
    onnx.checker.check_model(proto, full_check=True)
    assert sum(node.op_type == "BatchNormalization" for node in proto.graph.node) == 9
    assert DIGITS.stat().st_size < 250_000


def test_the_optimized_digit_network_reads_the_held_out_digits_as_well() -> None:
    split = joined([rendered(face, 2 + 5 * number, 4) for number, face in enumerate(faces()[2::5])])
    images, labels = split.images[:, None].astype(np.float32) / 255, split.labels
    optimized = onnxforge.optimize(DIGITS).to_proto()
    assert "BatchNormalization" not in {node.op_type for node in optimized.graph.node}
    before = probabilities(onnx.load(DIGITS), images)
    after = probabilities(optimized, images)
    assert (before.argmax(1) == labels).mean() > 0.98
    np.testing.assert_allclose(after, before, atol=1e-5)


def test_the_export_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.onnx"
    monkeypatch.setattr(sys, "argv", ["export_and_optimize.py", str(path)])
    runpy.run_path(str(EXAMPLES / "export_and_optimize.py"), run_name="__main__")
    assert path.exists()
    difference = capsys.readouterr().out.rsplit("eager torch: ", 1)[1]
    assert float(difference) < 1e-4
