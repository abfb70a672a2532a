"""A wrong pass from elsewhere is caught, undone, named, and reduced to a reproducer that fails."""

import subprocess
import sys

import onnx
import pytest

from onnxforge import RewritePass, optimize
from onnxforge.errors import NotEquivalentError
from onnxforge.registry import create
from onnxforge.testing import model

TEXT = """
g (float[N,3,8,8] x) => (float[N,4,6,6] y)
<float[4,3,3,3] W, float[4] scale, float[4] bias, float[4] mean, float[4] var>
{
    a = Identity(x)
    c = Conv(a, W)
    n = BatchNormalization(c, scale, bias, mean, var)
    r = Relu(n)
    y = Identity(r)
}
"""


class ConvBatchNormFusionWithoutBias(RewritePass):
    """Wrong: scales the weights and forgets the shift."""

    def pattern(self, op, x, W, scale, bias, mean, var):
        return op.BatchNormalization(op.Conv(x, W), scale, bias, mean, var)

    def rewrite(self, op, x, W, scale):
        weights = W.numpy() * scale.numpy().reshape(-1, 1, 1, 1)
        return op.Conv(x, weights)


PASSES = [create("identity-elimination"), ConvBatchNormFusionWithoutBias()]


def test_the_edit_is_undone_and_named_and_the_run_goes_on(tmp_path):
    result = optimize(model(TEXT), PASSES, verify="edits", keep_failure=tmp_path)
    assert [node.op_type for node in result.graph] == ["Conv", "BatchNormalization", "Relu"]
    (refusal,) = set(result.report.refused)
    assert "conv-batch-norm-fusion-without-bias" in refusal
    assert "BatchNormalization" in refusal
    assert result.report.comparison.is_equivalent


def test_the_reproducer_has_two_nodes_and_fails_on_its_own(tmp_path):
    optimize(model(TEXT), PASSES, verify="edits", keep_failure=tmp_path)
    folder = next(path.parent for path in sorted(tmp_path.rglob("before.onnx")))
    before = onnx.load(folder / "before.onnx")
    assert [node.op_type for node in before.graph.node] == ["Conv", "BatchNormalization"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert run.returncode == 1, run.stdout
    assert "1 failed" in run.stdout


def test_without_checking_edits_the_model_check_still_catches_it(tmp_path):
    with pytest.raises(NotEquivalentError, match="without-bias") as caught:
        optimize(model(TEXT), PASSES, keep_failure=tmp_path)
    assert not caught.value.report.comparison.is_equivalent
    assert (tmp_path / "before.onnx").exists()
