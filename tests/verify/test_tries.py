"""Passes that are right for most numbers and sizes: each case is wrong in one way only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

from onnxforge.ir import Graph, Model, Node, Value
from onnxforge.manager import PassManager
from onnxforge.passes import Pass
from onnxforge.verify import EditChecker

HEADER = '<ir_version: 10, opset_import: ["" : 20]>\n'
TABLE = np.random.default_rng(0).standard_normal((1000, 4)).astype(np.float32)


class Builder:
    """Makes nodes before one that is there already, and constants of arrays and numbers."""

    def __init__(self, graph: Graph, node: Node) -> None:
        self.graph, self.node = graph, node

    def __getattr__(self, op_type: str) -> Callable[..., Value]:
        def build(*inputs: Any, **attributes: Any) -> Value:
            values = [
                each if isinstance(each, Value) else self.graph.constant(np.asarray(each))
                for each in inputs
            ]
            return self.graph.add_node(op_type, values, before=self.node, **attributes).output

        return build


def refusals(text: str, op_type: str, rewrite: Callable[..., Value]) -> list[str]:
    """What is refused of replacing nodes of *op_type* by what *rewrite* builds of their inputs."""

    class Rewriting(Pass):
        def run(self, graph: Graph) -> int:
            return sum(
                graph.replace(node.output, rewrite(Builder(graph, node), *node.inputs))
                for node in list(graph)
                if node.op_type == op_type
            )

    proto = onnx.parser.parse_model(HEADER + text)
    if "(w," in text:
        proto.graph.initializer.append(onnx.numpy_helper.from_array(TABLE, "w"))
    checker = EditChecker()
    report = PassManager([Rewriting()], checker=checker, max_rounds=1).run(Model(proto))
    assert not report.steps[0].tally.unchecked
    return report.refused


def before(value: Value) -> Value:
    """What *value* is computed from."""
    assert value.producer is not None
    return value.producer.inputs[0]


def when(op: Any, value: Value, axis: int, is_odd: bool) -> Value:
    """Whether the size of an axis is odd and more than 1, or else whether it is 1 by itself."""
    size, other = (op.Shape(value, start=a, end=a + 1) for a in (axis, 1 - axis))
    one = np.array([1])
    if is_odd:
        return op.And(op.Equal(op.Mod(size, np.array([2])), one), op.Greater(size, one))
    return op.And(op.Equal(size, one), op.Greater(other, one))


FLOATS = "g (float[N,8] x) => (float[N,8] y)"


@pytest.mark.parametrize(
    ("text", "op_type", "rewrite"),
    [
        pytest.param(
            "g (float[N,8] x) => (int64[N,1] y) "
            "{ a = ArgMax<axis=1, select_last_index=1>(x) y = Neg(a) }",
            "ArgMax",
            lambda op, x: op.ArgMax(x, axis=1),
            id="ties of ArgMax",
        ),
        pytest.param(
            FLOATS + "{ a = Round(x) y = Neg(a) }",
            "Round",
            lambda op, x: op.Floor(op.Add(x, np.float32(0.5))),
            id="halves",
        ),
        pytest.param(
            FLOATS + "<float h = {0.37}, float z = {0}> "
            "{ c = Greater(x, h) a = Where(c, x, z) y = Neg(a) }",
            "Where",
            lambda op, c, x, z: op.Where(op.GreaterOrEqual(*c.producer.inputs), x, z),
            id="numbers equal to a threshold",
        ),
        pytest.param(
            FLOATS + "<float h = {1000}, float l = {-1000}> { a = Clip(x, l, h) y = Neg(a) }",
            "Clip",
            lambda _, x, *_bounds: x,
            id="numbers beyond a large bound",
        ),
        pytest.param(
            "g (int64[N] x) => (bool[N] y) <int64 h = {30522}> { a = Greater(x, h) y = Not(a) }",
            "Greater",
            lambda op, x, h: op.GreaterOrEqual(x, h),
            id="integers equal to a threshold",
        ),
        pytest.param(
            "g (float x) => (float y) { a = Sign(x) y = Neg(a) }",
            "Sign",
            lambda op, x: op.Where(op.Less(x, np.float32(0)), np.float32(-1), np.float32(1)),
            id="zero in a scalar",
        ),
        pytest.param(
            FLOATS + "{ a = Softplus(x) y = Neg(a) }",
            "Softplus",
            lambda op, x: op.Log(op.Add(op.Exp(x), np.float32(1))),
            id="overflow of large numbers",
        ),
        pytest.param(
            FLOATS + "<float s = {0.5}, uint8 z = {128}> "
            "{ q = QuantizeLinear(x, s, z) a = DequantizeLinear(q, s, z) y = Neg(a) }",
            "DequantizeLinear",
            lambda op, q, s, _: op.Mul(op.Round(op.Div(before(q), s)), s),
            id="saturation",
        ),
        pytest.param(
            "g (int32[N,8] x) => (int32[N,8] y) <int32 k = {1000}> "
            "{ m = Mul(x, k) a = Div(m, k) y = Neg(a) }",
            "Div",
            lambda _, m, _k: before(m),
            id="integers that overflow",
        ),
        pytest.param(
            "g (int32[N,8] x) => (bool[N,8] y) <int32 k = {1}> "
            "{ m = Add(x, k) a = Greater(m, k) y = Not(a) }",
            "Greater",
            lambda op, m, _: op.Greater(before(m), np.int32(0)),
            id="the largest integer",
        ),
        pytest.param(
            "g (int64[N,8] x, int64[N,8] d) => (int64[N,8] y) { a = Div(x, d) y = Neg(a) }",
            "Div",
            lambda op, x, d: op.Div(x, op.Abs(d)),
            id="negative divisors",
        ),
        pytest.param(
            FLOATS + "<float[8] s = {1,1,1,1,1,1,1,1}> "
            "{ a = LayerNormalization<axis=1, epsilon=0.00001>(x, s) y = Neg(a) }",
            "LayerNormalization",
            lambda op, x, s: op.LayerNormalization(x, s, axis=1, epsilon=1e-6),
            id="small numbers beside an epsilon",
        ),
        pytest.param(
            "g (bool[N,512] x) => (int32[N] y) <int64[1] one = {1}> "
            "{ c = Cast<to=6>(x) a = ReduceMin<keepdims=0>(c, one) y = Neg(a) }",
            "ReduceMin",
            lambda op, c, axes: op.Mul(op.ReduceMin(c, axes, keepdims=0), np.int32(0)),
            id="bools all true",
        ),
        pytest.param(
            "g (float[64] x, bool p) => (float[64] y) { a = If (p) "
            "<then_branch = t () => (float[64] u) { u = Relu(x) }, "
            "else_branch = e () => (float[64] v) { v = Abs(x) }> y = Neg(a) }",
            "If",
            lambda op, _: op.Relu(op.graph.inputs[0]),
            id="a branch not taken",
        ),
        pytest.param(
            "g (int64[N] x) => (float[N,4] y) { a = Gather(w, x) y = Neg(a) }",
            "Gather",
            lambda op, w, x: op.Gather(w, op.Min(x, np.int64(998))),
            id="the last row",
        ),
        pytest.param(
            "g (int64[N] x) => (float[N,4] y) { a = Gather(w, x) y = Neg(a) }",
            "Gather",
            lambda op, w, x: op.Gather(w, op.Max(x, np.int64(0))),
            id="indices from the end",
        ),
        pytest.param(
            "g (float[N,8] x, int64[1] s) => (float[N,M] y) <int64[1] e = {8}, int64[1] one = {1}> "
            "{ a = Slice(x, s, e, one) y = Neg(a) }",
            "Slice",
            lambda op, x, _, e, axes: op.Slice(x, np.array([0]), e, axes),
            id="a start other than 0",
        ),
        pytest.param(
            "g (float[N,8] x, int64 k) => (float[N,8] y) { a = CumSum(x, k) y = Neg(a) }",
            "CumSum",
            lambda op, x, _: op.CumSum(x, np.int64(0)),
            id="an axis other than 0",
        ),
        pytest.param(
            "g (float[2] x, int64 t) => (float[2] y) <bool go = {1}> { a = Loop (t, go, x) "
            "<body = b (int64 i, bool c, float[2] v) => (bool d, float[2] w) "
            "{ d = Identity(c) w = Add(v, x) }> y = Neg(a) }",
            "Loop",
            lambda op, t, _, x: op.Mul(
                x, op.Cast(op.Add(op.Max(t, np.int64(1)), np.int64(1)), to=1)
            ),
            id="a loop that does not run",
        ),
        pytest.param(
            "g (float[N,M] x) => (float[N,M] y) { a = Relu(x) y = Neg(a) }",
            "Relu",
            lambda op, x: op.Where(when(op, x, 0, is_odd=True), x, op.Relu(x)),
            id="odd sizes",
        ),
        pytest.param(
            "g (float[N,M] x) => (float[N,M] y) { a = Relu(x) y = Neg(a) }",
            "Relu",
            lambda op, x: op.Where(when(op, x, 0, is_odd=False), x, op.Relu(x)),
            id="the first size alone 1",
        ),
        pytest.param(
            "g (float[N,M] x) => (float[N,M] y) { a = Relu(x) y = Neg(a) }",
            "Relu",
            lambda op, x: op.Where(when(op, x, 1, is_odd=False), x, op.Relu(x)),
            id="the last size alone 1",
        ),
        pytest.param(
            "g (float[N,4] x, float[M,4] z) => (float[K,4] y) "
            "{ s = Shape(z) a = Expand(x, s) b = Add(a, z) y = Neg(b) }",
            "Expand",
            lambda _, x, _shape: x,
            id="a broadcast one way",
        ),
    ],
)
def test_a_pass_that_is_seldom_wrong_is_refused(text, op_type, rewrite):
    assert len(refusals(text, op_type, rewrite)) == 1


@pytest.mark.parametrize(
    ("text", "op_type", "rewrite"),
    [
        pytest.param(
            FLOATS + "<float k = {1}> { e = Exp(x) p = Add(e, k) a = Log(p) y = Neg(a) }",
            "Log",
            lambda op, p: op.Softplus(before(before(p))),
            id="one that overflows no more",
        ),
        pytest.param(
            "g (int64[N] x) => (int64[N] y) <int64 k = {7}, int64 m = {9}> "
            "{ b = Add(x, k) a = Sub(b, m) y = Neg(a) }",
            "Sub",
            lambda op, b, _: op.Sub(before(b), np.int64(2)),
            id="integers that wrap around twice",
        ),
        pytest.param(
            "g (int32[N] x) => (int32[N] y) <int32 k = {-1}> { a = Div(x, k) y = Abs(a) }",
            "Div",
            lambda op, x, _: op.Neg(x),
            id="the lowest integer divided by -1, which ends the process",
        ),
    ],
)
def test_a_pass_that_is_right_is_not_refused(text, op_type, rewrite):
    assert not refusals(text, op_type, rewrite)
