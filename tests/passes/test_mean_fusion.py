from __future__ import annotations

import pytest

from onnxforge import Model, PassManager
from onnxforge.testing import check, model
from onnxforge_passes.mean_fusion import MeanFusion

SUM = """
g ({dtype}[N,4,5] x) => ({dtype}[A,B,C] y)
<int64[{rank}] axes = {{{axes}}}, {dtype} four = {{4}}, {dtype} twenty = {{20}}, float part = {{0.2}}> {{
    s = ReduceSum <keepdims = 1> (x, axes)
    y = {mean}
}}
"""


@pytest.mark.parametrize("dtype", ["float", "double"])
@pytest.mark.parametrize(
    ("axes", "mean"), [("1", "Div(s, four)"), ("-1,1", "Div(s, twenty)"), ("1,2", "Div(s, twenty)")]
)
def test_a_sum_by_the_number_of_its_terms(axes: str, mean: str, dtype: str) -> None:
    axes_count = axes.count(",") + 1
    before = SUM.format(dtype=dtype, axes=axes, mean=mean, rank=axes_count)
    check(MeanFusion(), before=before, after="y = ReduceMean<keepdims=1>(x, *)", opset=18)


def test_a_sum_times_the_reciprocal() -> None:
    before = SUM.format(dtype="float", axes="2", mean="Mul(part, s)", rank=1)
    check(MeanFusion(), before=before, after="y = ReduceMean<axes=[2], keepdims=1>(x)")


def test_axes_as_an_attribute() -> None:
    check(
        MeanFusion(),
        before="""
        g (float[N,4] x) => (float[N] y) <float four = {4}> {
            s = ReduceSum <axes = [-1], keepdims = 0> (x)
            y = Div(s, four)
        }
        """,
        after="y = ReduceMean<axes=[1], keepdims=0>(x)",
        opset=11,
    )


def test_in_a_branch() -> None:
    check(
        MeanFusion(),
        before="""
        g (bool c, float[N,4] x) => (float[N,1] y) <float four = {4}, int64[1] axes = {1}> {
            y = If (c) <
                then_branch = t () => (float[N,1] v) { s = ReduceSum(x, axes) v = Div(s, four) },
                else_branch = e () => (float[N,1] w) { w = ReduceSum(x, axes) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            v = ReduceMean<keepdims=1>(x, *)
          else_branch:
            w = ReduceSum(x, *)
        """,
        opset=18,
    )


@pytest.mark.parametrize(
    ("axes", "mean", "dtype", "reason"),
    [
        ("2", "Div(s, four)", "float", "number of its terms"),
        ("0", "Div(s, four)", "float", "size of an axis"),
        ("1", "Div(s, four)", "int64", "float32 and float64"),
    ],
)
def test_other_quotients(axes: str, mean: str, dtype: str, reason: str) -> None:
    before = SUM.format(dtype=dtype, axes=axes, mean=mean, rank=1)
    check(MeanFusion(), before=before, declined=reason)


def test_axes_of_a_scalar_are_left_to_fail() -> None:
    text = """
    g (float x) => (float y) <float one = {1}> { s = ReduceSum <axes = [0]> (x) y = Div(s, one) }
    """
    assert not PassManager([MeanFusion()]).run(Model(model(text, opset=11)).copy()).changes
