"""What torch exports goes through `standard`: sound, done the first time, and free of BatchNorm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from models import Exporter, export

import onnxforge

EXPORTERS: tuple[Exporter, ...] = ("torchscript", "dynamo", "dynamo-unoptimized")


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("name", ["resnet18", "mobilenet", "transformer"])
def test_an_export_is_optimized_as_eager_torch_confirms(
    name: str, exporter: Exporter, tmp_path: Path
) -> None:
    original = export(name, exporter)
    optimized = onnxforge.optimize(original.path, verify="edits")
    report = optimized.report
    assert report is not None
    assert "BatchNormalization" not in {node.op_type for node in optimized.graph}
    assert not report.refused
    assert all(step.tally.unchecked.total() == 0 for step in report.steps)
    assert report.comparison is not None
    assert report.comparison.error < 1e-5

    once, twice = tmp_path / "once.onnx", tmp_path / "twice.onnx"
    optimized.save(once)
    (y,) = onnxruntime.InferenceSession(once).run(None, {"x": original.x})
    np.testing.assert_allclose(np.asarray(y), original.y, atol=1e-4 * np.abs(original.y).max())

    onnxforge.optimize(once).save(twice)
    assert once.read_bytes() == twice.read_bytes()
