"""The edit at fault is found, whoever made it."""

import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from onnxforge import Graph, Pass, RewritePass
from onnxforge.bisect import bisect
from onnxforge.cli import app
from onnxforge.ir import Model
from onnxforge.registry import create
from onnxforge.testing import model
from onnxforge.verify import Baseline

TEXT = """
g (float[N,4] x) => (float[N,4] y) {
    a = Identity(x)
    b = Relu(a)
    c = Neg(b)
    d = Identity(c)
    e = Sub(d, x)
    f = Relu(e)
    y = Exp(f)
}
"""


class SecondReluElimination(RewritePass):
    """Wrong, for Relus that read a Sub."""

    def pattern(self, op, x, z):
        return op.Relu(op.Sub(x, z))

    def rewrite(self, op, x, z):
        return op.Sub(z, x)


class AttributeMeddling(Pass):
    """Wrong behind the graph's back: edits a protobuf directly."""

    def run(self, graph: Graph) -> int:
        for node in graph:
            if node.op_type == "Exp":
                node.proto.op_type = "Abs"
                graph.touch()
        return 0


def judged(original: Model):
    baseline = Baseline(original)
    return lambda trial: baseline.compare(trial).is_equivalent


def test_a_wrong_edit_among_right_ones_is_named():
    original = Model(model(TEXT))
    passes = [create("identity-elimination"), SecondReluElimination(), create("constant-folding")]
    fault = bisect(original, passes, judged(original))
    assert fault is not None
    assert fault.pass_name == "second-relu-elimination"
    assert fault.edit == 3
    assert "Relu" in fault.what
    assert judged(original)(fault.before)
    assert not judged(original)(fault.after)


def test_a_pass_that_meddles_with_protobufs_is_named_too():
    original = Model(model(TEXT))
    passes = [create("identity-elimination"), AttributeMeddling()]
    fault = bisect(original, passes, judged(original))
    assert fault is not None
    assert (fault.pass_name, fault.edit) == ("attribute-meddling", None)


def test_a_right_pipeline_has_no_fault():
    original = Model(model(TEXT))
    assert bisect(original, [create("standard")], judged(original)) is None


def test_a_check_that_fails_from_the_start_blames_no_pass():
    with pytest.raises(ValueError, match="already fails"):
        bisect(Model(model(TEXT)), [create("standard")], lambda _: False)


def test_the_number_of_trials_grows_with_the_logarithm():
    asked = []
    lines = "\n".join(f"v{i + 1} = Identity(v{i})" for i in range(200))
    original = Model(model(f"g (float[4] v0) => (float[4] y) {{ {lines} y = Abs(v200) }}"))

    def is_good(trial: Model) -> bool:
        asked.append(trial)
        return len(trial.graph) > 100

    fault = bisect(original, [create("identity-elimination")], is_good)
    assert fault is not None
    assert fault.edit == 101
    assert len(asked) < 14


def test_a_command_can_be_the_judge(tmp_path):
    Model(model(TEXT)).save(tmp_path / "m.onnx")
    script = tmp_path / "check.py"
    script.write_text("import sys, onnx\nsys.exit(len(onnx.load(sys.argv[1]).graph.node) < 6)\n")
    arguments = ["bisect", str(tmp_path / "m.onnx"), "-p", "identity-elimination"]
    arguments += ["--check", f"{sys.executable} {script} {{}}", "--keep", str(tmp_path / "kept")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1, result.output
    assert "pass 'identity-elimination': edit 2" in result.output
    assert (tmp_path / "kept" / "before.onnx").exists()


def test_reference_outputs_can_be_the_judge(tmp_path):
    Model(model(TEXT)).save(tmp_path / "m.onnx")
    x = np.array([[1, -2, 3, 0]], np.float32)
    right = np.exp(np.maximum(-np.maximum(x, 0) - x, 0))
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "right.npz", y=right)
    np.savez(tmp_path / "wrong.npz", y=right + 1)
    arguments = ["bisect", str(tmp_path / "m.onnx"), "--input", f"x={tmp_path / 'x.npy'}"]
    good = CliRunner().invoke(app, [*arguments, "--reference", str(tmp_path / "right.npz")])
    assert (good.exit_code, "no edit is at fault" in good.output) == (0, True)
    bad = CliRunner().invoke(app, [*arguments, "--reference", str(tmp_path / "wrong.npz")])
    assert bad.exit_code == 2
