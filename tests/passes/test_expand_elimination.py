from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.expand_elimination import ExpandElimination


@pytest.mark.parametrize("dtype", ["float", "float16"])
def test_the_operator_broadcasts_itself(dtype: str) -> None:
    check(
        ExpandElimination(),
        before=f"""
        g ({dtype}[1,3] x, {dtype}[N,3] z) => ({dtype}[N,3] y) {{
            s = Shape(z)
            e = Expand(x, s)
            y = Add(e, z)
        }}
        """,
        after="y = Add(x, z)",
    )


def test_of_lower_rank() -> None:
    check(
        ExpandElimination(),
        before="""
        g (float[3] x, float[4,3] z, bool[4,1] c) => (float[4,3] y) <int64[2] s = {4, 3}> {
            e = Expand(x, s)
            y = Where(c, e, z)
        }
        """,
        after="y = Where(c, x, z)",
    )


def test_a_size_that_only_the_expand_makes() -> None:
    check(
        ExpandElimination(),
        before="""
        g (float[1,3] x, float[1,3] z) => (float[4,3] y) <int64[2] s = {4, 3}> {
            e = Expand(x, s)
            y = Add(e, z)
        }
        """,
    )


def test_both_expanded_alike() -> None:
    check(
        ExpandElimination(),
        before="""
        g (float[1,3] x, float[1,3] z) => (float[4,3] y) <int64[2] s = {4, 3}> {
            a = Expand(x, s)
            b = Expand(z, s)
            y = Add(a, b)
        }
        """,
        after="""
        b = Expand(z, *)
        y = Add(x, b)
        """,
    )


def test_a_rank_that_only_the_expand_makes() -> None:
    check(
        ExpandElimination(),
        before="""
        g (float[3] x, float[3] z) => (float[1,3] y) <int64[2] s = {1, 3}> {
            e = Expand(x, s)
            y = Add(e, z)
        }
        """,
    )


def test_one_that_is_read_otherwise_stays() -> None:
    check(
        ExpandElimination(),
        before="""
        g (float[1,3] x, float[4,3] z) => (float[4,3] y, float[4,3] e) <int64[2] s = {4, 3}> {
            e = Expand(x, s)
            y = Add(e, z)
        }
        """,
    )


def test_a_size_that_may_be_another_stays() -> None:
    check(
        ExpandElimination(),
        before="""
        g (float[1,3] x, float[N,3] r, float[M,3] z) => (float[K,3] y) {
            s = Shape(r)
            e = Expand(x, s)
            y = Add(e, z)
        }
        """,
    )


MASK = """
g ({dtype}[B,H,S,T] x, {dtype}[B,H,S,T] z, bool[B,1,1,T] m, bool[B,1,S,T] k) => ({dtype}[?,?,?,?] y{out})
<{dtype} zero, {dtype} low, bool[1,1,1,1] yes = {{1}}, int64 n = {{0}}, int64 one = {{1}},
 int64[3] axes = {{0,1,3}}> {{
    s1 = Shape<start = 2, end = 3>(x)  s = Squeeze(s1)  r = Range(n, s, one)
    i = Unsqueeze(r, axes)
    t = GreaterOrEqual(i, n)
    c = And(t, m)
    w = Where(c, zero, low)
    {reads}
}}
"""


@pytest.mark.parametrize("dtype", ["float", "float16"])
def test_what_only_broadcasts_a_mask_is_read_past_as_far_as_it_shows(dtype: str) -> None:
    check(
        ExpandElimination(),
        before=MASK.format(dtype=dtype, out="", reads="a = Add(x, w) b = Mul(w, z) y = Sub(a, b)"),
        after="""
        w = Where(m, *, *)
        a = Add(x, w)
        b = Mul(w, z)
        y = Sub(a, b)
        """.replace("w = Where", "t1 = Where")
        .replace("(x, w)", "(x, t1)")
        .replace("(w, z)", "(t1, z)"),
    )


@pytest.mark.parametrize(
    ("out", "reads"),
    [
        ("", "y = Softmax(w)"),
        ("", "a = Add(x, w) f = Softmax(w) y = Add(a, f)"),
        (", float[?,?,?,?] w", "y = Add(x, w)"),
    ],
)
def test_a_mask_whose_shape_shows_stays(out: str, reads: str) -> None:
    check(ExpandElimination(), before=MASK.format(dtype="float", out=out, reads=reads))


def test_a_tile_of_dimensions_of_size_1_is_an_expand() -> None:
    check(
        ExpandElimination(),
        before="""
        g (float[N,1] x, float[N,8] z) => (float[N,8] y) <int64[2] k = {1,8}> {
            t = Tile(x, k) y = Add(t, z)
        }
        """,
        after="y = Add(x, z)",
    )
    check(
        ExpandElimination(),
        before="""
        g (float[N,2] x, float[N,8] z) => (float[N,8] y) <int64[2] k = {1,4}> {
            t = Tile(x, k) y = Add(t, z)
        }
        """,
    )


def test_a_tensor_of_one_number_is_expanded_too() -> None:
    check(
        ExpandElimination(),
        before="""
        g (int64[N,M] x, float[N,M] w) => (int64[N,M] y, float[N,M] z) {
            s = Shape(x)
            c = ConstantOfShape <value = int64[1] {7}> (s)
            y = Min(x, c)
            d = ConstantOfShape(s)
            z = Max(w, d)
        }
        """,
        after="""
        y = Min(x, *)
        z = Max(w, *)
        """,
    )


def test_a_tensor_of_one_number_that_gives_the_shape_stays() -> None:
    check(
        ExpandElimination(),
        before="""
        g (float[M] x, int64[2] s) => (float[N,M] y) { c = ConstantOfShape(s) y = Add(x, c) }
        """,
    )


def test_rows_for_the_same_index_everywhere_are_one_row() -> None:
    check(
        ExpandElimination(),
        before="""
        g (float[N,M,4] x) => (float[N,M,4] y) <float[3,4] types, int64[1] a = {0}, int64[1] b = {2}> {
            s = Shape(x)
            n = Slice(s, a, b)
            c = ConstantOfShape <value = int64[1] {1}> (n)
            rows = Gather(types, c)
            y = Add(x, rows)
        }
        """,
        after="""
        t1 = Gather(*, *)
        y = Add(x, t1)
        """,
    )


def test_elements_along_another_axis_are_not_rows() -> None:
    check(
        ExpandElimination(),
        before="""
        g (float[5,M] x) => (float[5,M] y) <float[5,3] types, int64 one = {1}> {
            m = Shape <start = 1> (x)
            c = ConstantOfShape <value = int64[1] {1}> (m)
            columns = Gather <axis = 1> (types, c)
            y = Add(x, columns)
        }
        """,
    )
