from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.reduction_fusion import ReductionFusion


def spelt(body: str, dtype: str = "float", out: str = "N,1", axes: str = "{1}") -> str:
    count = 0 if axes == "{}" else 1
    return f"""
    g ({dtype}[N,4] x) => ({dtype}[{out}] y) <{dtype} two = {{2}}, int64[{count}] a = {axes}>
    {{ {body} }}
    """


BODIES = {
    "q = Mul(x, x) s = ReduceSum(q, a) y = Sqrt(s)": "ReduceL2",
    "q = Pow(x, two) s = ReduceSum(q, a) y = Sqrt(s)": "ReduceL2",
    "q = Mul(x, x) y = ReduceSum(q, a)": "ReduceSumSquare",
    "q = Abs(x) y = ReduceSum(q, a)": "ReduceL1",
}


@pytest.mark.parametrize("dtype", ["float", "double"])
@pytest.mark.parametrize("body", BODIES)
def test_every_kind_by_axes_that_are_an_input_or_an_attribute(body: str, dtype: str) -> None:
    if dtype == "double":
        body = body.replace("Pow(x, two)", "Mul(x, x)")
    kind = BODIES[body]
    before = spelt(body, dtype)
    check(ReductionFusion(), before=before, after=f"y = {kind}<keepdims=1>(x, *)", opset=18)
    after = f"y = {kind}<axes=[1], keepdims=1>(x)"
    check(ReductionFusion(), before=before, after=after, opset=13)


def test_dimensions_that_go_and_an_attribute_of_old() -> None:
    body = "q = Mul(x, x) s = ReduceSum <axes = [-1], keepdims = 0> (q) y = Sqrt(s)"
    after = "y = ReduceL2<axes=[-1], keepdims=0>(x)"
    check(ReductionFusion(), before=spelt(body, out="N"), after=after, opset=11)


@pytest.mark.parametrize("opset", [13, 18])
def test_all_axes(opset: int) -> None:
    body = "q = Mul(x, x) s = ReduceSum <keepdims = 0> (q) y = Sqrt(s)"
    after = "y = ReduceL2<keepdims=0>(x)"
    check(
        ReductionFusion(),
        before=spelt(body, out="").replace("[] y", " y"),
        after=after,
        opset=opset,
    )


def test_in_a_body() -> None:
    check(
        ReductionFusion(),
        before="""
        g (float[N,8] x, bool c) => (float[N,1] y) <int64[1] a = {1}> {
            y = If (c) <
                then_branch = t () => (float[N,1] p) { q = Abs(x) p = ReduceSum(q, a) },
                else_branch = e () => (float[N,1] r) { r = ReduceSum(x, a) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            p = ReduceL1<keepdims=1>(x, *)
          else_branch:
            r = ReduceSum(x, *)
        """,
        opset=18,
    )


def test_integers_may_overflow_otherwise() -> None:
    before = spelt("q = Mul(x, x) y = ReduceSum(q, a)", "int32")
    check(ReductionFusion(), before=before, declined="float32 and float64")


def test_what_is_not_reduced_stays() -> None:
    body = "q = Abs(x) y = ReduceSum <noop_with_empty_axes = 1> (q)"
    before = spelt(body, out="N,4")
    check(ReductionFusion(), before=before, declined="nothing is reduced")


def test_squares_of_several_sums_stay() -> None:
    body = "q = Mul(x, x) y = ReduceSum(q, a) z = ReduceSum(q)"
    before = spelt(body).replace("[N,1] y)", "[N,1] y, float[1,1] z)")
    check(ReductionFusion(), before=before)
