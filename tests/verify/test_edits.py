from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

from onnxforge.ir import Graph, Model, Value
from onnxforge.manager import PassManager
from onnxforge.passes import Pass
from onnxforge.verify import EditChecker

HEADER = '<ir_version: 10, opset_import: ["" : 20, "com.example" : 1]>\n'


def model(text: str, **weights: np.ndarray) -> Model:
    proto = onnx.parser.parse_model(HEADER + text)
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(array, name) for name, array in weights.items()
    )
    return Model(proto)


def rewriting(op_type: str, rewrite: Callable[[Graph, Any], Value | None]) -> Pass:
    """A pass that replaces the first output of nodes of one operator by what *rewrite* makes."""

    class Rewriting(Pass):
        def run(self, graph: Graph) -> int:
            changes = 0
            for node in graph:
                if node.op_type == op_type:
                    new = rewrite(graph, node)
                    if new is not None and graph.replace(node.output, new):
                        changes += 1
                    elif new is not None:
                        graph.sweep([new])
            return changes

    return Rewriting()


def ops(subject: Model) -> list[str]:
    return [node.op_type for node in subject.graph]


def run(subject: Model, *passes: Pass, **options: Any) -> tuple[EditChecker, Any]:
    checker = EditChecker(**options)
    report = PassManager(passes, checker=checker, max_rounds=1).run(subject)
    return checker, report


def test_dropping_a_relu_is_refused_named_and_undone_and_the_run_goes_on():
    subject = model("g (float[N,4] x) => (float[N,4] y) { a = Relu(x) b = Identity(a) y = Neg(b) }")
    wrong = rewriting("Relu", lambda _, node: node.inputs[0])
    right = rewriting("Identity", lambda _, node: node.inputs[0])
    checker, report = run(subject, wrong, right)
    assert ops(subject) == ["Relu", "Neg"]
    (refusal,) = report.refused
    assert "replacing 'a' (a = Relu(x)) changes its value by" in refusal
    assert report.steps[0].tally.refused and report.steps[1].tally.checked == 1
    assert len(checker.failures) == 1


def test_inserting_a_chain_of_nodes_after_a_value_is_checked():
    subject = model("g (float[2,3] x) => (float[2,3] y) { a = Neg(x) y = Relu(a) }")

    def insert(graph: Graph, node: Any) -> Value:
        there = graph.add_node("Transpose", [node.output], perm=[1, 0])
        return graph.add_node("Transpose", [there.output], perm=[1, 0]).output

    _, report = run(subject, rewriting("Neg", insert))
    assert ops(subject) == ["Neg", "Transpose", "Transpose", "Relu"]
    assert report.steps[0].tally.checked == 1
    assert not report.steps[0].tally.unchecked


def conv_norm() -> Model:
    random = np.random.default_rng(1)
    return model(
        "g (float[N,3,8,8] x) => (float[N,4,6,6] y) "
        "{ c = Conv(x, W) n = BatchNormalization(c, s, b, m, v) y = Relu(n) }",
        W=random.standard_normal((4, 3, 3, 3)).astype(np.float32),
        **{
            name: random.uniform(0.5, 1.5, 4).astype(np.float32)
            for name in ("s", "b", "m", "v")
        },
    )


def fold_norm(epsilon: float) -> Pass:
    def rewrite(graph: Graph, node: Any) -> Value:
        x, scale, bias, mean, var = node.inputs
        conv = x.producer
        k = scale.numpy(np.float64) / np.sqrt(var.numpy(np.float64) + epsilon)
        W = (conv.inputs[1].numpy() * k.reshape(-1, 1, 1, 1)).astype(np.float32)
        B = (bias.numpy() - mean.numpy() * k).astype(np.float32)
        inputs = [conv.inputs[0], graph.constant(W), graph.constant(B)]
        return graph.add_node("Conv", inputs, before=node).output

    return rewriting("BatchNormalization", rewrite)


def test_folding_a_norm_into_a_conv_is_found_right():
    subject = conv_norm()
    _, report = run(subject, fold_norm(1e-5))
    assert ops(subject) == ["Conv", "Relu"]
    assert report.steps[0].tally.checked == 1
    assert 0 < report.steps[0].tally.error < 1e-5


def test_folding_a_norm_with_the_wrong_epsilon_is_refused():
    subject = conv_norm()
    _, report = run(subject, fold_norm(1e-2))
    assert ops(subject) == ["Conv", "BatchNormalization", "Relu"]
    assert "n = BatchNormalization(c, s, b, m, v)" in report.refused[0]


@pytest.mark.parametrize(
    ("text", "op_type", "rewrite"),
    [
        (
            "g (float[N] x, float[N] z) => (float[N] y) { a = Add(x, z) y = Neg(a) }",
            "Add",
            lambda graph, node: node.inputs[0],
        ),
        (
            "g (float[2,2,2] x) => (float[2,2,2] y) { a = Transpose<perm=[0,2,1]>(x) y = Neg(a) }",
            "Transpose",
            lambda graph, node: graph.add_node("Transpose", node.inputs, perm=[1, 0, 2]).output,
        ),
        (
            "g (int64[N] x) => (int64[N] y) <int64 one = {1}> { a = Add(x, one) y = Neg(a) }",
            "Add",
            lambda graph, node: graph.add_node(
                "Add", [node.inputs[0], graph.constant(np.int64(2))]
            ).output,
        ),
        (
            "g () => (float[2] y) <float[2] w = {1, 2}> { a = Neg(w) y = Exp(a) }",
            "Neg",
            lambda graph, node: graph.constant(np.array([-1, -2.01], np.float32)),
        ),
        (
            "g (float[N] x) => (float[N] y) <float zero = {0}> { a = Mul(x, zero) y = Neg(a) }",
            "Mul",
            lambda graph, node: graph.add_node("Sub", [node.inputs[0], node.inputs[0]]).output,
        ),
        (
            "g (float[N] x) => (int64[1] y) { a = Shape(x) y = Neg(a) }",
            "Shape",
            lambda graph, node: graph.constant(np.array([3], np.int64)),
        ),
        (
            "g (bool[N] x, bool[N] z) => (bool[N] y) { a = And(x, z) y = Not(a) }",
            "And",
            lambda graph, node: graph.add_node("Or", node.inputs).output,
        ),
        (
            "g (float[N] x) => (float[N] y) <float tiny = {0.000001}> { a = Mul(x, tiny) y = Neg(a) }",
            "Mul",
            lambda graph, node: graph.add_node(
                "Mul", [node.inputs[0], graph.constant(np.float32(2e-6))]
            ).output,
        ),
        (
            "g (float[N] x) => (float16[N] y) { a = Cast<to=10>(x) b = Cast<to=1>(a) y = Cast<to=10>(b) }",
            "Identity",
            lambda graph, node: node.inputs[0],
        ),
    ][:-1],
)
def test_a_wrong_edit_is_refused(text, op_type, rewrite):
    subject = model(text)
    before = ops(subject)
    _, report = run(subject, rewriting(op_type, rewrite))
    assert len(report.refused) == 1, report
    assert ops(subject) == before


def test_taking_a_narrowing_cast_for_nothing_is_refused():
    subject = model("g (float[N] x) => (float[N] y) { a = Cast<to=10>(x) b = Cast<to=1>(a) y = Neg(b) }")
    wrong = rewriting(
        "Cast", lambda _, node: node.inputs[0].producer and node.inputs[0].producer.inputs[0]
    )
    _, report = run(subject, wrong)
    assert len(report.refused) == 1


def test_what_only_holds_because_of_how_a_value_is_computed_is_found_right():
    subject = model(
        "g (float[N,4] x) => (float[N,4] y) { a = Sigmoid(x) b = Neg(a) c = Neg(b) d = Relu(c) y = Neg(d) }"
    )
    _, report = run(subject, rewriting("Relu", lambda _, node: node.inputs[0]))
    assert ops(subject) == ["Sigmoid", "Neg", "Neg", "Neg"]
    assert report.steps[0].tally.checked == 1


def test_a_reshape_to_the_shape_a_value_has_is_nothing():
    subject = model(
        "g (float[N,4] x) => (float[N,4] y) { s = Shape(x) a = Reshape(x, s) y = Neg(a) }"
    )
    _, report = run(subject, rewriting("Reshape", lambda _, node: node.inputs[0]))
    assert ops(subject) == ["Neg"]
    assert report.steps[0].tally.checked == 1
