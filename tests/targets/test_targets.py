"""What runs where, and what may therefore be introduced."""

import pytest
from onnx import TensorProto
from typer.testing import CliRunner

from onnxforge import (
    Builder,
    Model,
    OnnxForgeError,
    OpsetError,
    Pass,
    RewritePass,
    optimize,
    targets,
)
from onnxforge.cli import app
from onnxforge.errors import PassError
from onnxforge.ir import operators
from onnxforge.testing import model

CONV_RELU = """
g (float[N,3,8,8] x) => (float[N,4,6,6] y)
<float[4,3,3,3] W>
{
    c = Conv(x, W)
    y = Relu(c)
}
"""


@pytest.mark.parametrize("name", targets.names())
def test_every_target_has_a_title_and_a_source(name):
    target = targets.load(name)
    assert target.title
    assert target.source
    assert target.runs("Conv", dtypes=[TensorProto.FLOAT], version=17)


@pytest.mark.parametrize("name", targets.names())
def test_every_operator_of_a_target_exists(name):
    for domain, op_type in targets.load(name).kernels or {}:
        known = operators.schema(op_type, domain, 26) is not None
        assert known or domain in ("com.microsoft", "ai.onnx.ml") or op_type in FOREIGN, op_type


# Operators that ONNX Runtime keeps in ONNX's own domain without a schema of ONNX's.
FOREIGN = {
    *("Affine", "Crop", "ParametricSoftplus", "ImageScaler", "ScaledTanh", "DynamicSlice"),
    *("MemcpyFromHost", "MemcpyToHost", "SimplifiedLayerNormalization", "Upsample", "Scale"),
}


def test_types_and_versions_decide():
    cpu = targets.load("ort-cpu")
    assert cpu.runs("Gemm", dtypes=[TensorProto.FLOAT], version=17)
    assert not cpu.runs("Gemm", dtypes=[TensorProto.INT32], version=17)
    assert cpu.runs("FusedConv", "com.microsoft", [TensorProto.FLOAT])
    assert not cpu.runs("FusedConv", "com.microsoft", [TensorProto.FLOAT16])
    assert not targets.load("onnx").runs("FusedConv", "com.microsoft")


def test_a_kernel_ends_where_onnx_has_a_later_version_of_the_operator():
    cpu = targets.load("ort-cpu")
    for operator in ("GlobalLpPool", "MaxRoiPool", "Multinomial", "RandomNormal", "RoiAlign"):
        assert cpu.runs(operator, dtypes=[TensorProto.FLOAT], version=21)
        assert not cpu.runs(operator, dtypes=[TensorProto.FLOAT], version=22)


def test_no_opset_is_raised_to_one_that_the_target_does_not_run():
    proto = model("g (float[1,2,4] x) => (float[1,2,1] y) { y = GlobalLpPool(x) }", opset=17)
    with pytest.raises(OpsetError, match="CPU does not run GlobalLpPool of opset 22"):
        optimize(proto, target="ort-cpu", opset=22)
    assert optimize(proto, target="ort-cpu", opset=21).opset_imports[""] == 21


def test_an_unknown_target_is_an_error_that_names_the_known_ones():
    with pytest.raises(OnnxForgeError, match="ort-cpu"):
        targets.load("abacus")


def test_the_portable_target_introduces_no_foreign_operator():
    result = optimize(model(CONV_RELU))
    assert [node.op_type for node in result.graph] == ["Conv", "Relu"]


def test_a_target_with_the_kernel_gets_the_fused_operator():
    result = optimize(model(CONV_RELU), target="ort-cpu")
    assert [node.op_type for node in result.graph] == ["FusedConv"]


@pytest.mark.parametrize("target", ["nnapi", "ort-cpu"])
def test_a_rewrite_introduces_only_what_the_target_runs(target):
    result = optimize(model(CONV_RELU), "fused-conv-injection", target=target)
    (step,) = result.report.by_pass()
    if target == "ort-cpu":
        assert [node.op_type for node in result.graph] == ["FusedConv"]
    else:
        assert step.declined == {NO_FUSED_CONV: 1}
        assert [node.op_type for node in result.graph] == ["Conv", "Relu"]


NO_FUSED_CONV = "the target has no kernel for FusedConv of this type and opset"


def test_nor_does_any_other_replacement():
    class Injection(Pass):
        """Call a Relu the absolute value."""

        def run(self, graph):
            relu = next((node for node in graph if node.op_type == "Relu"), None)
            if relu is None:
                return 0
            op = Builder(graph, before=relu)
            done = graph.replace(relu.output, op.Abs(relu.inputs[0]))
            op.undo()
            return done

    result = optimize(model(CONV_RELU), Injection(), target="coreml", verify=False)
    assert [node.op_type for node in result.graph] == ["Conv", "Relu"]


def test_an_operator_that_the_model_holds_is_not_held_against_it():
    class Injection(RewritePass):
        """Call every Relu an Erf."""

        def pattern(self, op, x):
            return op.Relu(x)

        def rewrite(self, op, x):
            return op.Erf(x)

    text = "g (float[3] x) => (float[3] y, float[3] z) { y = Relu(x) z = Erf(x) }"
    result = optimize(model(text), Injection(), target="nnapi", verify=False)
    assert [node.op_type for node in result.graph] == ["Erf", "Erf"]


def test_a_pass_that_edits_nodes_may_not_introduce_what_the_target_does_not_run():
    class Injection(Pass):
        """Let the Relu read a Gelu."""

        def run(self, graph):
            relu = next(node for node in graph if node.op_type == "Relu")
            relu.set_input(0, Builder(graph, before=relu).Gelu(relu.inputs[0]))
            return 0

    with pytest.raises(PassError, match="introduced Gelu"):
        optimize(model(CONV_RELU, opset=20), Injection(), target="tensorrt", verify=False)
    optimize(model(CONV_RELU, opset=20), Injection(), target="coreml", verify=False)  # on the CPU


def test_what_the_rest_runs_may_come_in_for_what_it_ran_already():
    text = """
    g (float[2,4] x) => (float[2,4] y) <float[4,4] w, float root = {1.41421354}, float one = {1}, float half = {0.5}>
    {
        a = MatMul(x, w)
        d = Div(a, root)
        e = Erf(d)
        s = Add(e, one)
        m = Mul(a, s)
        y = Mul(m, half)
    }
    """
    assert not targets.load("xnnpack").runs("Gelu")
    result = optimize(model(text, opset=20), target="xnnpack")
    assert [node.op_type for node in result.graph] == ["MatMul", "Gelu"]
    result = optimize(model(text, opset=20), target="tensorrt")
    assert "Gelu" not in {node.op_type for node in result.graph}


def test_what_the_rest_runs_may_not_come_in_for_what_the_target_runs():
    text = """
    g (float[2,4] x) => (float[2,4] y, float[2,4] z, float[2,4] u)
    <float[4,4] v, float[4,4] w, float[4,4] k>
    {
        y = MatMul(x, v)
        z = MatMul(x, w)
        u = MatMul(x, k)
    }
    """
    result = optimize(model(text), "parallel-matmul-merging", target="xnnpack")
    assert [node.op_type for node in result.graph] == ["MatMul", "MatMul", "MatMul"]
    result = optimize(model(text), "parallel-matmul-merging")
    assert [node.op_type for node in result.graph] == ["MatMul", "Split"]


def test_a_node_that_stays_for_its_other_outputs_is_what_something_comes_in_for():
    class HalfOfSplit(Pass):
        """Take the first half by a Slice."""

        def run(self, graph):
            first = next(graph.calls("Split")).outputs[0]
            op = Builder(graph, before=first.producer)
            half = op.Slice(first.producer.inputs[0], *map(op.constant, ([0], [2], [0])))
            return int(graph.replace(first, half))

    text = "g (float[4] x) => (float[2] y, float[2] z) { a, b = Split(x) y = Neg(a) z = Neg(b) }"
    result = optimize(model(text, opset=13), HalfOfSplit(), target="xnnpack", max_rounds=1)
    assert graph_of(result) == ["Slice", "Split", "Neg", "Neg"]


def test_where_nothing_goes_nothing_of_the_rest_comes_in():
    class Insertion(Pass):
        """Read the absolute value of an input."""

        def run(self, graph):
            op = Builder(graph, before=next(iter(graph)))
            done = graph.replace(graph.inputs[0], op.Abs(graph.inputs[0]))
            op.undo()
            return int(done)

    text = "g (float[4] x) => (float[4] y) { y = Neg(x) }"
    result = optimize(model(text), Insertion(), target="xnnpack", verify=False, max_rounds=1)
    assert graph_of(result) == ["Neg"]


def graph_of(result):
    return [node.op_type for node in result.graph]


def test_of_what_goes_only_what_nothing_else_needs_counts():
    class Injection(RewritePass):
        """Call the exponential of what a MatMul computes an Abs."""

        shared = True

        def pattern(self, op, x, w):
            return op.Exp(op.MatMul(x, w))

        def rewrite(self, op, x, w):
            return op.Abs(x)

    text = "g (float[2,2] x) => (float[2,2] y, {z}) <float[2,2] w> {{ a = MatMul(x, w) y = Exp(a) {more} }}"
    needed = model(text.format(z="float[2,2] z", more="z = Neg(a)"))
    result = optimize(needed, Injection(), target="xnnpack", verify=False)
    assert [node.op_type for node in result.graph] == ["MatMul", "Abs", "Neg"]
    unneeded = model(text.format(z="float[2,2] z", more="z = Neg(x)"))
    result = optimize(unneeded, Injection(), target="xnnpack", verify=False)
    assert [node.op_type for node in result.graph] == ["MatMul", "Exp", "Neg"]


def test_a_node_without_a_kernel_splits_the_model():
    text = """
    g (float[1,3,8,8] x) => (float[1,3,8,8] y) {
        a = Relu(x)
        b = Erf(a)
        y = Relu(b)
    }
    """
    split = targets.partitions(Model(model(text)).graph, targets.load("nnapi"))
    assert [len(group) for group in split.groups] == [1, 1]
    assert list(split.refused.values()) == ["no kernel for Erf"]


def test_a_node_of_the_cpus_beside_the_way_does_not_split_it():
    text = """
    g (float[1,3,8,8] x) => (float[1,3,8,8] y, float[1,3,8,8] z) {
        a = Relu(x)
        z = Erf(a)
        b = Sigmoid(a)
        y = Relu(b)
    }
    """
    split = targets.partitions(Model(model(text)).graph, targets.load("nnapi"))
    assert [len(group) for group in split.groups] == [3]


def test_weights_that_are_no_constants_are_left_to_the_cpu():
    text = "g (float[1,3,8,8] x, float[4,3,3,3] W) => (float[1,4,6,6] y) { y = Conv(x, W) }"
    split = targets.partitions(Model(model(text)).graph, targets.load("xnnpack"))
    assert list(split.refused.values()) == ["Conv needs constant weights"]


def test_of_several_kernels_for_one_operator_and_type_any_will_do():
    """One for weights that are constant, one for images: that the first declines decides nothing."""
    kernels = [targets.Kernel(needs=(need,)) for need in ("constant weights", "matrices")]
    target = targets.Target("two", "Two kernels", "this test", {("", "Gemm"): kernels})
    text = "g (float[2,3] x, float[3,4] W) => (float[2,4] y) { y = Gemm(x, W) }"
    assert not targets.partitions(Model(model(text)).graph, target).refused
    assert len(target.kernels_for(Model(model(text)).graph.outputs[0].producer)) == 2


def test_what_no_kernel_takes_is_told_for_all_of_them():
    kernels = [targets.Kernel(needs=(need,)) for need in ("constant weights", "the last axis")]
    target = targets.Target("two", "Two kernels", "this test", {("", "Gemm"): kernels})
    text = "g (float[2,3] x, float[3,4] W) => (float[2,4] y) { y = Gemm(x, W) }"
    split = targets.partitions(Model(model(text)).graph, target)
    assert list(split.refused.values()) == ["Gemm needs constant weights or the last axis"]


def test_inspect_says_how_a_model_falls_apart(tmp_path):
    Model(model(CONV_RELU)).save(tmp_path / "m.onnx")
    result = CliRunner().invoke(app, ["inspect", str(tmp_path / "m.onnx"), "--target", "xnnpack"])
    assert result.exit_code == 0
    assert "1 partition of 1 nodes; 1 on the CPU" in result.output
    assert "no kernel for Relu" in result.output
