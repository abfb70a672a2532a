from __future__ import annotations

import numpy as np
import onnx
import pytest

from onnxforge.storage import from_array
from onnxforge.testing import check, model
from onnxforge_passes.nan_guard_elimination import NanGuardElimination

GUARD = "n = IsNaN(p) w = Where(n, zero, p) y = MatMul(w, v)"
INF = float("inf")


def graph(body: str, inputs: str = "", declared: str = "") -> str:
    return f"""
    g (float[B,3,4] q, float[B,4,5] k, float[B,5,2] v{inputs}) => (float[B,3,2] y)
    <float zero = {{0}}, float half = {{0.5}}, float low = {{-1e30}}{declared}>
    {{ s = MatMul(q, k) {body} {GUARD} }}
    """


@pytest.mark.parametrize(
    ("scaling", "scores"),
    [("", "s"), ("c = Mul(s, half)", "c"), ("c = Div(s, half)", "c")],
)
def test_scores_without_a_mask_need_no_guard(scaling: str, scores: str) -> None:
    scaled = {"": "", "c = Mul(s, half)": "c = Mul(s, *)", "c = Div(s, half)": "c = Div(s, *)"}
    check(
        NanGuardElimination(),
        before=graph(f"{scaling} p = Softmax <axis = -1> ({scores})"),
        after=f"""
        s = MatMul(q, k)
        {scaled[scaling]}
        p = Softmax<axis=-1>({scores})
        y = MatMul(p, v)
        """,
    )


def test_a_mask_that_is_finite_needs_none() -> None:
    check(
        NanGuardElimination(),
        before=graph(
            "m = Where(allowed, zero, low) a = Add(s, m) p = Softmax <axis = -1> (a)",
            ", bool[B,3,5] allowed",
        ),
        after="""
        s = MatMul(q, k)
        m = Where(allowed, *, *)
        a = Add(s, m)
        p = Softmax<axis=-1>(a)
        y = MatMul(p, v)
        """,
    )


def masked_by(mask: np.ndarray) -> onnx.ModelProto:
    proto = model(graph("a = Add(s, m) p = Softmax <axis = -1> (a)", declared=", float[3,5] m"))
    (tensor,) = (each for each in proto.graph.initializer if each.name == "m")
    tensor.CopyFrom(from_array(mask.astype(np.float32), "m"))
    return proto


def test_a_causal_mask_leaves_each_row_something() -> None:
    check(
        NanGuardElimination(),
        before=masked_by(np.triu(np.full((3, 5), -INF), 1)),
        after="""
        s = MatMul(q, k)
        a = Add(s, *)
        p = Softmax<axis=-1>(a)
        y = MatMul(p, v)
        """,
    )


@pytest.mark.parametrize("entry", [-INF, INF, np.nan])
def test_a_mask_that_may_leave_nothing_keeps_the_guard(entry: float) -> None:
    mask = np.zeros((3, 5))
    mask[1] = entry
    check(NanGuardElimination(), before=masked_by(mask), declined="something to attend")


def test_a_mask_that_is_given_keeps_it() -> None:
    check(
        NanGuardElimination(),
        before=graph("a = Add(s, m) p = Softmax <axis = -1> (a)", ", float[3,5] m"),
        declined="something to attend",
    )


def test_a_mask_of_infinities_keeps_it() -> None:
    body = "i = Neg(inf) m = Where(allowed, zero, i) a = Add(s, m) p = Softmax <axis = -1> (a)"
    check(
        NanGuardElimination(),
        before=graph(body, ", bool[B,3,5] allowed, float inf"),
        declined="something to attend",
    )


def test_columns_that_are_masked_as_a_whole_keep_it() -> None:
    proto = masked_by(np.triu(np.full((3, 5), -INF), 1))
    (softmax,) = (node for node in proto.graph.node if node.op_type == "Softmax")
    softmax.attribute[0].i = 1
    check(NanGuardElimination(), before=proto, declined="rows")


def test_what_is_no_product_keeps_it() -> None:
    check(
        NanGuardElimination(),
        before="""
        g (float[3] x) => (float[3] y) <float zero = {0}> {
            p = Softmax <axis = -1> (x)
            n = IsNaN(p)
            y = Where(n, zero, p)
        }
        """,
    )


def test_in_float16_scores_may_be_infinite() -> None:
    text = graph("p = Softmax <axis = -1> (s)").replace("float[", "float16[")
    text = text.replace("float zero", "float16 zero")
    check(NanGuardElimination(), before=text, declined="infinite")


@pytest.mark.parametrize(
    ("operator", "number"), [("Div", "0"), ("Div", "-0"), ("Mul", "inf"), ("Mul", "nan")]
)
def test_a_scale_that_makes_numbers_none_keeps_it(operator: str, number: str) -> None:
    check(
        NanGuardElimination(),
        before=graph(
            f"c = {operator}(s, by) p = Softmax <axis = -1> (c)",
            declared=f", float by = {{{number}}}",
        ),
        declined="the scale",
    )


def fed_by(*body: str) -> str:
    """Scores of a query that something was done to."""
    return graph("p = Softmax <axis = -1> (s)", declared=", float eps = {1e-5}").replace(
        "s = MatMul(q, k)", f"{' '.join(body)} s = MatMul(u, k)"
    )


@pytest.mark.parametrize(
    "body",
    [
        "u = Acos(q)",
        "l = Log(q) u = Relu(l)",
        "u = Sqrt(q)",
        "u = Div(half, q)",
        "u = Pow(q, half)",
        "e = Exp(q) u = Mul(e, e)",
    ],
)
def test_what_may_be_no_number_to_begin_with_keeps_it(body: str) -> None:
    check(NanGuardElimination(), before=fed_by(body), declined="may be no numbers")


def test_what_is_normalized_is_made_of_numbers() -> None:
    body = (
        "t = Mul(q, q) m = ReduceMean <axes = [-1]> (t) e = Add(m, eps) r = Sqrt(e) u = Div(q, r)"
    )
    check(
        NanGuardElimination(),
        before=fed_by(body),
        after="""
        t = Mul(q, q)
        m = ReduceMean<axes=[-1]>(t)
        e = Add(m, *)
        r = Sqrt(e)
        u = Div(q, r)
        s = MatMul(u, k)
        p = Softmax<axis=-1>(s)
        y = MatMul(p, v)
        """,
    )
