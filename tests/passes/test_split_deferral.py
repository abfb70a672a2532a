from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.split_deferral import SplitDeferral


def graph(whole: str, sizes: list[int], shapes: list[str], axis: int = 2) -> str:
    """A Split of *whole*, and a Reshape of each part to one of *shapes*."""
    names = ["q", "k", "v"][: len(sizes)]
    targets = ", ".join(
        f"int64[{len(shape.split(','))}] s{name} = {{{shape}}}"
        for name, shape in zip(names, shapes, strict=True)
    )
    dtype, _ = whole.split("[")
    outputs = ", ".join(
        f"{dtype}[{','.join('ABCD'[: shape.count(',') + 1])}] {name}"
        for name, shape in zip(names, shapes, strict=True)
    )
    return f"""
    g ({whole} x) => ({outputs})
    <int64[{len(sizes)}] sizes = {{{", ".join(map(str, sizes))}}}, {targets}> {{
        {", ".join("p" + name for name in names)} = Split <axis = {axis}> (x, sizes)
        {" ".join(f"{name} = Reshape(p{name}, s{name})" for name in names)}
    }}
    """


@pytest.mark.parametrize("dtype", ["float", "float16", "int64"])
def test_queries_keys_and_values_become_heads(dtype: str) -> None:
    check(
        SplitDeferral(),
        before=graph(f"{dtype}[B,S,12]", [4, 4, 4], ["0,0,2,2"] * 3),
        after="""
        t1 = Reshape(x, *)
        q, k, v = Split<axis=2>(t1, *)
        """,
    )


def test_of_different_numbers_of_heads() -> None:
    check(
        SplitDeferral(),
        before=graph("float[1,5,16]", [8, 4, 4], ["1,5,4,2", "1,-1,2,2", "1,5,2,-1"], axis=-1),
        after="""
        t1 = Reshape(x, *)
        q, k, v = Split<axis=2>(t1, *)
        """,
    )


def test_the_dimensions_ahead_may_be_merged() -> None:
    check(
        SplitDeferral(),
        before=graph("float[3,5,8]", [6, 2], ["15,6", "15,2"]),
        after="""
        t1 = Reshape(x, *)
        q, k = Split<axis=1>(t1, *)
        """,
    )


def test_the_split_dimension_may_come_first() -> None:
    check(
        SplitDeferral(),
        before=graph("float[2,N,3]", [1, 1], ["-1,3", "-1,3"], axis=0),
        declined="mix",
    )
    check(
        SplitDeferral(),
        before=graph("float[4,5,3]", [2, 2], ["10,3", "10,3"], axis=0),
        after="""
        t1 = Reshape(x, *)
        q, k = Split<axis=0>(t1, *)
        """,
    )


def test_sizes_as_an_attribute_before_opset_13() -> None:
    check(
        SplitDeferral(),
        before="""
        g (float[B,S,6] x) => (float[B,S,3,1] q, float[B,S,3,1] k) <int64[4] s = {0,0,3,1}> {
            p, r = Split <axis = 2> (x)
            q = Reshape(p, s)
            k = Reshape(r, s)
        }
        """,
        after="""
        t1 = Reshape(x, *)
        q, k = Split<axis=2, split=[3,3]>(t1)
        """,
        opset=11,
    )


@pytest.mark.parametrize(
    "shapes", [["0,0,2,2", "0,0,4,1", "0,0,2,2"], ["0,2,8"] * 3, ["0,0,4", "0,0,4,1", "0,0,4"]]
)
def test_parts_that_differ_or_are_mixed(shapes: list[str]) -> None:
    check(SplitDeferral(), before=graph("float[2,4,12]", [4, 4, 4], shapes), declined="mix")


@pytest.mark.parametrize("reader", ["v = Identity(r)", "w = Reshape(r, s) v = Add(w, r)"])
def test_parts_that_are_not_just_reshaped(reader: str) -> None:
    check(
        SplitDeferral(),
        before=f"""
        g (float[2,3,4] x) => (float[A,B,C] q, float[A,B,C] v)
        <int64[2] sizes = {{2, 2}}, int64[3] s = {{2, 3, 2}}> {{
            p, r = Split <axis = 2> (x, sizes)
            q = Reshape(p, s)
            {reader}
        }}
        """,
    )


def test_sizes_that_are_unknown() -> None:
    check(
        SplitDeferral(),
        before="""
        g (float[2,3,4] x, int64[4] s) => (float[A,B,C,D] q, float[A,B,C,D] v)
        <int64[2] sizes = {2, 2}> {
            p, r = Split <axis = 2> (x, sizes)
            q = Reshape(p, s)
            v = Reshape(r, s)
        }
        """,
        declined="mix",
        unchecked="",
    )


def test_in_a_branch() -> None:
    check(
        SplitDeferral(),
        before="""
        g (bool c, float[N,4] x) => (float[N,2,1] y) <int64[2] sizes = {2, 2}, int64[3] s = {0,2,1}> {
            y = If (c) <
                then_branch = t () => (float[N,2,1] u) {
                    p, r = Split <axis = 1> (x, sizes)
                    q = Reshape(p, s)
                    v = Reshape(r, s)
                    u = Sub(q, v)
                },
                else_branch = e () => (float[N,2,1] w) {
                    o, n = Split <axis = 1> (x, sizes)
                    w = Reshape(n, s)
                }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            t1 = Reshape(x, *)
            q, v = Split<axis=1>(t1, *)
            u = Sub(q, v)
          else_branch:
            o, n = Split<axis=1>(x, *)
            w = Reshape(n, *)
        """,
    )


def test_an_axis_that_the_caller_of_a_function_sets() -> None:
    check(
        SplitDeferral(),
        before="""
        <ir_version: 8, opset_import: ["" : 17, "f" : 1]>
        g (float[4,4] x) => (float[8] y, float[8] z) { y, z = f.halves <axis = 0> (x) }
        <domain: "f", opset_import: ["" : 17]>
        halves <axis> (x) => (y, z) {
            s = Constant <value_ints = [8]> ()
            a, b = Split <axis: int = @axis> (x)
            y = Reshape(a, s)
            z = Reshape(b, s)
        }
        """,
    )
