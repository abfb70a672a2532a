from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.reduction_merging import ReductionMerging


@pytest.mark.parametrize("dtype", ["float", "float16"])
@pytest.mark.parametrize("kind", ["ReduceMean", "ReduceMax", "ReduceL2"])
def test_dimensions_that_are_kept_and_dropped(kind: str, dtype: str) -> None:
    check(
        ReductionMerging(),
        before=f"""
        g ({dtype}[N,3,4,5] x) => ({dtype}[N,3] y) <int64[2] a = {{-1,2}}> {{
            r = {kind} <axes = [2,3], keepdims = 1> (x)
            y = Squeeze(r, a)
        }}
        """,
        after=f"y = {kind}<axes=[2,3], keepdims=0>(x)",
    )


def test_dimensions_that_are_dropped_and_put_back() -> None:
    check(
        ReductionMerging(),
        before="""
        g (float[N,M] x) => (float[N,1] y) <int64[1] a = {-1}> {
            r = ReduceSum<keepdims = 0>(x, a)
            y = Unsqueeze(r, a)
        }
        """,
        after="y = ReduceSum<keepdims=1>(x, *)",
    )


def test_a_reshape_may_drop_them() -> None:
    check(
        ReductionMerging(),
        before="""
        g (float[N,8,4,4] x) => (float[N,8] y) <int64[2] s = {0,8}> {
            r = ReduceMean<axes = [2,3]>(x)
            y = Reshape(r, s)
        }
        """,
        after="y = ReduceMean<axes=[2,3], keepdims=0>(x)",
    )


def test_positions() -> None:
    check(
        ReductionMerging(),
        before="""
        g (float[N,M] x) => (int64[N] y) <int64[1] a = {1}> {
            r = ArgMax<axis = -1>(x)
            y = Squeeze(r, a)
        }
        """,
        after="y = ArgMax<axis=-1, keepdims=0>(x)",
    )


@pytest.mark.parametrize(
    "rest",
    [
        "y = Unsqueeze(r, other)",  # elsewhere
        "u = Unsqueeze(r, axis) v = Neg(r) y = Add(u, v)",  # read twice
    ],
)
def test_what_is_put_elsewhere_or_read_twice_stays(rest: str) -> None:
    check(
        ReductionMerging(),
        before=f"""
        g (float[4,4] x) => (float[?,?] y) <int64[1] axis = {{1}}, int64[1] other = {{0}}> {{
            r = ReduceSum<keepdims = 0>(x, axis)
            {rest}
        }}
        """,
    )


def test_one_of_the_reduced_dimensions() -> None:
    check(
        ReductionMerging(),
        before="""
        g (float[N,M] x) => (float[1] y) <int64[1] axis = {1}> {
            r = ReduceSum(x)
            y = Squeeze(r, axis)
        }
        """,
    )


def test_reductions_in_a_row() -> None:
    check(
        ReductionMerging(),
        before="""
        g (float[A,B,C] x) => (float[B] y) {
            r = ReduceMax<axes = [0], keepdims = 0>(x)
            y = ReduceMax<axes = [-1], keepdims = 0>(r)
        }
        """,
        after="y = ReduceMax<axes=[0,2], keepdims=0>(x)",
    )
    check(
        ReductionMerging(),
        before="""
        g (float[A,B,C] x) => (float[A,1,1] y) <int64[1] a = {2}, int64[1] b = {1}> {
            r = ReduceSum(x, a)
            y = ReduceSum(r, b)
        }
        """,
        after="y = ReduceSum(x, *)",
    )


@pytest.mark.parametrize(
    ("dtype", "first", "second"),
    [
        ("int32", "ReduceMean<axes = [2]>", "ReduceMean<axes = [1]>"),
        ("float", "ReduceMean<axes = [2]>", "ReduceMax<axes = [1]>"),
        ("float", "ReduceL2<axes = [2]>", "ReduceL2<axes = [1]>"),
        ("float", "ReduceMax<axes = [2]>", "ReduceMax<axes = [1], keepdims = 0>"),
    ],
)
def test_reductions_that_do_not_compose(dtype: str, first: str, second: str) -> None:
    check(
        ReductionMerging(),
        before=f"""
        g ({dtype}[2,3,4] x) => ({dtype}[?,?,?] y) {{ r = {first}(x) z = {second}(r) y = Abs(z) }}
        """.replace("[?,?,?]", "[?,?]" if "keepdims = 0" in second else "[?,?,?]"),
    )


def test_sums_stay_where_a_graph_quantizes() -> None:
    check(
        ReductionMerging(),
        before="""
        g (float[A,B,C] x) => (uint8[A,1,1] y) <int64[1] a = {2}, int64[1] b = {1}, float s = {0.1}> {
            r = ReduceSum(x, a)
            q = ReduceSum(r, b)
            y = QuantizeLinear(q, s)
        }
        """,
    )


def test_a_reduction_of_one_element_each_is_a_squeeze() -> None:
    check(
        ReductionMerging(),
        before="g (float[N,1] x) => (float[N] y) { y = ReduceMean<axes = [1], keepdims = 0>(x) }",
        after="y = Squeeze(x, *)",
    )
    check(
        ReductionMerging(),
        before="g (float[N,1] x) => (float[N] y) { y = ReduceL2<axes = [1], keepdims = 0>(x) }",
    )


def test_without_axes_and_told_to_do_nothing() -> None:
    check(
        ReductionMerging(),
        before="""
        g (float[1,1] x) => (float[1] y) <int64[1] a = {1}> {
            r = ReduceSum<noop_with_empty_axes = 1>(x)
            y = Squeeze(r, a)
        }
        """,
    )
