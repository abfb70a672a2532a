"""The default pipeline, on whole networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from models import export

from onnxforge import PassManager, load
from onnxforge.verify import Baseline, EditChecker
from onnxforge_passes import standard


def test_resnet18_loses_its_batch_norms_and_nothing_else(tmp_path: Path) -> None:
    exported = export("resnet18", "torchscript")
    model = load(exported.path)
    norms = sum(node.op_type == "BatchNormalization" for node in model.graph)
    assert norms == 20
    baseline, checker = Baseline(model), EditChecker()
    report = PassManager([standard], checker=checker).run(model)
    assert not any(node.op_type == "BatchNormalization" for node in model.graph)
    assert not report.refused
    (fusion,) = [step for step in report.by_pass() if step.name == "conv-batch-norm-fusion"]
    assert fusion.changes == fusion.tally.checked + fusion.tally.sampled == norms
    comparison = baseline.compare(model)
    assert not comparison.unchecked
    assert comparison.error < 1e-5
    first, second = tmp_path / "first.onnx", tmp_path / "second.onnx"
    model.save(first)
    (y,) = onnxruntime.InferenceSession(first).run(None, {"x": exported.x})
    np.testing.assert_allclose(y, exported.y, atol=1e-4 * np.abs(exported.y).max())
    again = load(first)
    assert PassManager([standard]).run(again).changes == 0
    again.save(second)
    assert second.read_bytes() == first.read_bytes()


def test_what_is_made_carries_no_domain_but_onnxs_own() -> None:
    model = load(export("mobilenet", "torchscript").path)
    PassManager([standard]).run(model)
    assert {node.domain for graph in model.graphs() for node in graph} == {""}
    assert not any(node.op_type == "BatchNormalization" for node in model.graph)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet"])
def test_what_dynamo_writes_around_a_bias_that_is_not_there_hides_no_batch_norm(name: str) -> None:
    model = load(export(name, "dynamo-unoptimized").path)
    baseline = Baseline(model)
    PassManager([standard]).run(model)
    left = {node.op_type for node in model.graph}
    assert left.isdisjoint({"BatchNormalization", "CastLike", "Expand", "Identity"})
    assert baseline.compare(model).is_equivalent
