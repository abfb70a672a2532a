from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.scale_folding import ScaleFolding

WEIGHTS = "float[8,4] W, float[4] B, float[8,12] P, float[12] C, float k = {0.3}, float z = {0}"


@pytest.mark.parametrize("scaling", ["Mul(s, k)", "Mul(k, s)", "Div(s, k)"])
@pytest.mark.parametrize("scores", ["MatMul(q, y)", "MatMul(yt, q)"])
def test_the_scale_of_scores(scores: str, scaling: str) -> None:
    check(
        ScaleFolding(),
        before=f"""
        g (float[N,8] x, float[4,M] y, float[M,N] yt) => (float[A,C0] o) <{WEIGHTS}> {{
            q = MatMul(x, W)
            s = {scores}
            o = {scaling}
        }}
        """,
        after=f"t1 = MatMul(x, *)\no = {scores.replace('q', 't1')}",
    )


@pytest.mark.parametrize("dtype", ["float", "float16"])
def test_through_a_bias_and_moves(dtype: str) -> None:
    check(
        ScaleFolding(),
        before=f"""
        g ({dtype}[2,5,8] x, {dtype}[2,2,2,5] kt) => ({dtype}[2,2,5,5] o)
        <{dtype}[8,4] W, {dtype}[4] B, {dtype} k, int64[4] heads = {{0,0,2,2}}> {{
            p = MatMul(x, W)
            b = Add(B, p)
            r = Reshape(b, heads)
            q = Transpose <perm = [0,2,1,3]> (r)
            s = MatMul(q, kt)
            o = Mul(s, k)
        }}
        """,
        after="""
        t1 = MatMul(x, *)
        t2 = Add(t1, *)
        t3 = Reshape(t2, *)
        t4 = Transpose<perm=[0,2,1,3]>(t3)
        o = MatMul(t4, kt)
        """,
    )


PACKED = """
g (float[B,S,8] x) => (float[B,2,S,S] o, float[B,2,S,2] v)
<float[{weights}] P, float[12] C, float k = {{0.3}}, int64[4] heads = {{0,0,6,2}},
 int64[3] sizes = {{2,2,2}}> {{
    {product}
    r = Reshape(p, heads)
    t = Transpose <perm = [0,2,1,3]> (r)
    q, kk, v = Split <axis = 1> (t, sizes)
    kt = Transpose <perm = [0,1,3,2]> (kk)
    {scores}
}}
"""


@pytest.mark.parametrize(
    "scores", ["s = MatMul(q, kt) o = Mul(s, k)", "m = Mul(q, k) o = MatMul(m, kt)"]
)
def test_of_one_part_only_its_columns(scores: str) -> None:
    first = "m" if scores.startswith("m") else "t4"
    check(
        ScaleFolding(),
        before=PACKED.format(
            weights="8,12", product="n = MatMul(x, P) p = Add(n, C)", scores=scores
        ),
        after="""
        t1 = MatMul(x, *)
        t2 = Add(t1, *)
        t3 = Reshape(t2, *)
        t4 = Transpose<perm=[0,2,1,3]>(t3)
        m, kk, v = Split<axis=1>(t4, *)
        kt = Transpose<perm=[0,1,3,2]>(kk)
        o = MatMul(m, kt)
        """
        if first == "m"
        else """
        t1 = MatMul(x, *)
        t2 = Add(t1, *)
        t3 = Reshape(t2, *)
        t4 = Transpose<perm=[0,2,1,3]>(t3)
        t5, kk, v = Split<axis=1>(t4, *)
        kt = Transpose<perm=[0,1,3,2]>(kk)
        o = MatMul(t5, kt)
        """,
    )


@pytest.mark.parametrize("turned", [0, 1])
def test_of_a_gemm(turned: int) -> None:
    check(
        ScaleFolding(),
        before=f"""
        g (float[N,8] x) => (float[N,3] o, float[N,2] v)
        <float[{"5,8" if turned else "8,5"}] W, float[5] B, float k = {{4}}, int64[2] s = {{3,2}}> {{
            p = Gemm <transB = {turned}> (x, W, B)
            q, v = Split <axis = -1> (p, s)
            o = Div(q, k)
        }}
        """,
        after=f"t1 = Gemm<transB={turned}>(x, *, *)\no, v = Split<axis=-1>(t1, *)",
    )


def test_in_a_branch() -> None:
    check(
        ScaleFolding(),
        before="""
        g (bool c, float[N,8] x) => (float[N,4] y) <float[8,4] W, float[8,4] V, float k = {4}> {
            y = If (c) <
                then_branch = t () => (float[N,4] u) { p = MatMul(x, W) u = Mul(p, k) },
                else_branch = e () => (float[N,4] w) { w = MatMul(x, V) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            u = MatMul(x, *)
          else_branch:
            w = MatMul(x, *)
        """,
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("q = MatMul(x, W) s = MatMul(q, y) o = Mul(s, s)", None),
        ("q = MatMul(x, W) s = MatMul(q, y) o = Mul(s, B)", "not one number"),
        ("q = MatMul(x, W) s = MatMul(q, y) o = Div(s, z)", "out of the range"),
        ("q = MatMul(x, W) s = MatMul(q, y) t = Mul(s, k) o = Add(t, s)", None),
        ("q = MatMul(x, W) s = MatMul(q, y) t = Mul(s, k) u = MatMul(q, y) o = Add(t, u)", None),
        ("q = MatMul(x, W) r = Relu(q) s = MatMul(r, y) o = Mul(s, k)", None),
        ("q = MatMul(x, V) s = MatMul(q, y) t = MatMul(x, V) u = Add(s, t) o = Mul(u, k)", None),
    ],
)
def test_what_stays(body: str, reason: str | None) -> None:
    check(
        ScaleFolding(),
        before=f"g (float[N,8] x, float[4,4] y) => (float[N,4] o) <float[8,4] V, {WEIGHTS}> {{ {body} }}",
        declined=reason,
    )


def test_weights_of_which_others_are_made_stay() -> None:
    check(
        ScaleFolding(),
        before="""
        g (float[N,8] x, float[4,4] y) => (float[N,4] o, float[N,4] p) <float[8,4] W, float k> {
            q = MatMul(x, W)
            s = MatMul(q, y)
            o = Mul(s, k)
            p = MatMul(x, W)
        }
        """,
    )


@pytest.mark.parametrize("masked", ["Add(s, mask)", "Where(keep, s, mask)"])
def test_the_masked_attention_of_onnx_runtime_stays(masked: str) -> None:
    check(
        ScaleFolding(),
        before=f"""
        g (float[N,4] x, float[4,4] y, float[4] mask, bool[4] keep) => (float[N,4] o)
        <float[4,4] W, float k = {{4}}> {{
            q = MatMul(x, W)
            m = MatMul(q, y)
            s = Mul(m, k)
            w = {masked}
            o = Add(x, w)
        }}
        """,
        declined="Attention",
    )


def test_a_part_that_is_made_of_pieces_of_columns_stays() -> None:
    check(
        ScaleFolding(),
        before="""
        g (float[2,3,8] x) => (float[2,3,2,2] o, float[2,3,2,1] v)
        <float[8,6] W, float k = {4}, int64[4] heads = {2,3,2,3}, int64[2] sizes = {2,1}> {
            p = MatMul(x, W)
            r = Reshape(p, heads)
            q, v = Split <axis = 3> (r, sizes)
            o = Mul(q, k)
        }
        """,
        declined="not some of the columns",
    )


def test_one_bias_for_all_columns_is_not_scaled_for_some() -> None:
    check(
        ScaleFolding(),
        before="""
        g (float[N,8] x) => (float[N,1] o, float[N,2] v)
        <float[8,3] W, float[1] B, float k = {4}, int64[2] sizes = {1,2}> {
            p = MatMul(x, W)
            b = Add(p, B)
            q, v = Split <axis = 1> (b, sizes)
            o = Mul(q, k)
        }
        """,
        declined="one number for each column",
    )


def test_what_is_multiplied_by_itself_is_scaled_twice() -> None:
    check(
        ScaleFolding(),
        before="""
        g (float[4,4] x) => (float[4,4] o) <float[4,4] W, float k = {0.5}> {
            q = MatMul(x, W)
            s = MatMul(q, q)
            o = Mul(s, k)
        }
        """,
    )


def test_a_vector_has_no_columns() -> None:
    check(
        ScaleFolding(),
        before="""
        g (float[2,6,4] x) => (float[2,3] o, float[2,3] rest)
        <float[4] w, float k = {0.5}, int64[2] sizes = {3,3}> {
            q = MatMul(x, w)
            part, rest = Split <axis = 1> (q, sizes)
            o = Mul(part, k)
        }
        """,
    )
