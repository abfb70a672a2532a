from __future__ import annotations

import pytest

import onnxforge
from onnxforge.testing import check, model
from onnxforge_passes.parallel_matmul_merging import ParallelMatmulMerging

QKV = """
g ({dtype}[B,S,8] x) => ({dtype}[B,S,4] q, {dtype}[B,S,6] k, {dtype}[B,S,2] v)
<{dtype}[8,4] Q, {dtype}[8,6] K, {dtype}[8,2] V, {dtype}[4] a, {dtype}[6] b, {dtype}[2] c> {{
    {products}
}}
"""
PLAIN = "q = MatMul(x, Q)  k = MatMul(x, K)  v = MatMul(x, V)"


@pytest.mark.parametrize("dtype", ["float", "float16", "double"])
def test_three_products_are_one_and_a_split(dtype: str) -> None:
    check(
        ParallelMatmulMerging(),
        before=QKV.format(dtype=dtype, products=PLAIN),
        after="""
        t1 = MatMul(x, *)
        q, k, v = Split<axis=2>(t1, *)
        """,
    )


def test_biases_are_added_at_once() -> None:
    result = check(
        ParallelMatmulMerging(),
        before=QKV.format(
            dtype="float",
            products="""
            p = MatMul(x, Q)  q = Add(a, p)
            r = MatMul(x, K)  k = Add(r, b)
            t = MatMul(x, V)  v = Add(t, c)
            """,
        ),
        after="""
        t1 = MatMul(x, *)
        t2 = Add(t1, *)
        q, k, v = Split<axis=2>(t2, *)
        """,
    )
    assert sum(value.numpy().size for value in result.graph.initializers) == 8 * 12 + 12 + 3


def test_a_product_without_a_bias_gets_one_of_zeros() -> None:
    check(
        ParallelMatmulMerging(),
        before=QKV.format(
            dtype="float",
            products="p = MatMul(x, Q)  q = Add(p, a)  k = MatMul(x, K)  v = MatMul(x, V)",
        ),
        after="""
        t1 = MatMul(x, *)
        t2 = Add(t1, *)
        q, k, v = Split<axis=2>(t2, *)
        """,
    )


@pytest.mark.parametrize("turned", [0, 1])
def test_gemms(turned: int) -> None:
    size = "2,8" if turned else "8,2"
    check(
        ParallelMatmulMerging(),
        before=f"""
        g (float[N,8] x) => (float[N,2] q, float[N,2] k, float[N,2] v)
        <float[{size}] Q, float[{size}] K, float[{size}] V, float[2] a, float[2] c> {{
            q = Gemm <transB = {turned}> (x, Q, a)
            k = Gemm <transB = {turned}> (x, K)
            v = Gemm <transB = {turned}> (x, V, c)
        }}
        """,
        after=f"""
        t1 = Gemm<transB={turned}>(x, *, *)
        q, k, v = Split<axis=1>(t1, *)
        """,
    )


def test_the_beta_of_a_gemm_without_a_bias_is_not_that_of_the_others() -> None:
    check(
        ParallelMatmulMerging(),
        before="""
        g (float[N,4] x) => (float[N,3] q, float[N,3] k, float[N,3] v)
        <float[4,3] Q, float[4,3] K, float[4,3] V, float[3] b, float[3] c>
        { q = Gemm <beta = 0.5> (x, Q) k = Gemm(x, K, b) v = Gemm(x, V, c) }
        """,
        after="t1 = Gemm(x, *, *)\nq, k, v = Split<axis=1>(t1, *)",
    )


def test_sizes_as_an_attribute_before_opset_13() -> None:
    check(
        ParallelMatmulMerging(),
        before=QKV.format(dtype="float", products=PLAIN),
        after="""
        t1 = MatMul(x, *)
        q, k, v = Split<axis=2, split=[4,6,2]>(t1)
        """,
        opset=11,
    )


def test_in_a_branch() -> None:
    check(
        ParallelMatmulMerging(),
        before="""
        g (bool p, float[1,S,8] x, float[1,S,2] z) => (float[1,S,2] y)
        <float[8,2] L, float[8,2] M, float[8,2] N> {
            y = If (p) <
                then_branch = t () => (float[1,S,2] u) {
                    a = MatMul(x, L)
                    b = MatMul(x, M)
                    c = MatMul(x, N)
                    d = Add(a, b)
                    u = Add(d, c)
                },
                else_branch = e () => (float[1,S,2] w) { w = Identity(z) }
            >
        }
        """,
        after="""
        y = If(p)
          then_branch:
            t1 = MatMul(x, *)
            a, b, c = Split<axis=2>(t1, *)
            d = Add(a, b)
            u = Add(d, c)
          else_branch:
            w = Identity(z)
        """,
    )


ATTENTION = """
g (float[1,S,4] i, float[1,1,1,S] mask) => (float[1,S,4] y)
<float[4] s, float[4] t, float[4,4] Q, float[4,4] K, float[4,4] V, float[4] a, float[4] b,
 float[4] c, int64[4] heads = {{0,0,2,2}}, int64[3] flat = {{0,0,4}}> {{
    x = LayerNormalization(i, s, t)
    p = MatMul(x, Q)
    q = Add(p, a)
    r = MatMul(x, K)
    k = Add(r, b)
    u = MatMul(x, V)
    v = Add(u, c)
    qr = Reshape(q, heads)
    qt = Transpose <perm = [0,2,1,3]> (qr)
    kr = Reshape(k, heads)
    kt = Transpose <perm = [0,2,3,1]> (kr)
    vr = Reshape(v, heads)
    vt = Transpose <perm = [0,2,1,3]> (vr)
    scores = MatMul(qt, kt)
    masked = {masked}(scores, mask)
    weights = Softmax <axis = -1> (masked)
    z = MatMul(weights, vt)
    zt = Transpose <perm = [0,2,1,3]> (z)
    zr = Reshape(zt, flat)
    y = Add({residual}, zr)
}}
"""


def test_the_masked_attention_of_onnx_runtime_stays() -> None:
    check(
        ParallelMatmulMerging(),
        before=ATTENTION.format(masked="Add", residual="x"),
        declined="Attention",
    )


@pytest.mark.parametrize(("masked", "residual"), [("Mul", "x"), ("Add", "i")])
def test_other_attentions_are_merged(masked: str, residual: str) -> None:
    proto = model(ATTENTION.format(masked=masked, residual=residual))
    optimized = onnxforge.optimize(proto, [ParallelMatmulMerging()], verify="edits")
    operators = [node.op_type for node in optimized.to_proto().graph.node]
    assert operators.count("MatMul") == 3
    assert operators.count("Split") == 1


def test_two_products_without_biases_stay() -> None:
    check(
        ParallelMatmulMerging(),
        before="""
        g (float[1,S,8] x) => (float[1,S,2] q, float[1,S,2] k) <float[8,2] Q, float[8,2] K> {
            q = MatMul(x, Q)
            k = MatMul(x, K)
        }
        """,
        declined="would not save",
    )


def test_weights_that_others_read_stay() -> None:
    check(
        ParallelMatmulMerging(),
        before="""
        g (float[1,S,8] x) => (float[1,S,2] q, float[1,S,2] k, float[1,S,2] v)
        <float[8,2] W> {
            q = MatMul(x, W)
            k = MatMul(x, W)
            v = MatMul(x, W)
        }
        """,
    )


def test_integers_stay() -> None:
    check(ParallelMatmulMerging(), before=QKV.format(dtype="int32", products=PLAIN))


def test_gemms_that_are_activated_stay() -> None:
    check(
        ParallelMatmulMerging(),
        before="""
        g (float[N,8] x) => (float[N,2] q, float[N,2] k, float[N,2] v)
        <float[8,2] Q, float[8,2] K, float[8,2] V> {
            q = Gemm(x, Q)
            k = Gemm(x, K)
            w = Gemm(x, V)
            v = Relu(w)
        }
        """,
        declined="activations",
    )


@pytest.mark.parametrize("attribute", ["alpha = 2.0", "transA = 1"])
def test_gemms_of_something_else_stay(attribute: str) -> None:
    check(
        ParallelMatmulMerging(),
        before=f"""
        g (float[8,8] x) => (float[8,2] q, float[8,2] k, float[8,2] v)
        <float[8,2] Q, float[8,2] K, float[8,2] V> {{
            q = Gemm <{attribute}> (x, Q)
            k = Gemm <{attribute}> (x, K)
            v = Gemm <{attribute}> (x, V)
        }}
        """,
    )


def test_products_of_what_is_a_product_itself() -> None:
    weights = ", ".join(f"float[4,4] {name}" for name in ("V1", "V2", "V3", "W1", "W2", "W3"))
    check(
        ParallelMatmulMerging(),
        before=f"""
        g (float[2,5,4] x) => (float[2,5,4] a, float[2,5,4] b, float[2,5,4] c, float[2,5,4] k,
                               float[2,5,4] v) <{weights}> {{
            q = MatMul(x, W1)
            k = MatMul(x, W2)
            v = MatMul(x, W3)
            a = MatMul(q, V1)
            b = MatMul(q, V2)
            c = MatMul(q, V3)
        }}
        """,
        after="""
        t1 = MatMul(x, *)
        q, k, v = Split<axis=2>(t1, *)
        t2 = MatMul(q, *)
        a, b, c = Split<axis=2>(t2, *)
        """,
    )


ROWS = """
g (float[N,8] x, float[N,4] u) => (float[N,4] p, float[N,4] q, float[N,4] r)
<float[8,4] A, float[8,4] B, float[8,4] C, float[1,4] a, float[1,4] b, float[1,4] c> {{
    i = MatMul(x, A) p = Add(i, a)
    j = MatMul(x, B) q = Add(j, b)
    k = MatMul(x, C) r = Add(k, {added})
}}
"""


def test_a_bias_may_be_a_row() -> None:
    check(
        ParallelMatmulMerging(),
        before=ROWS.format(added="c"),
        after="""
        t1 = MatMul(x, *)
        t2 = Add(t1, *)
        p, q, r = Split<axis=1>(t2, *)
        """,
    )


def test_rows_of_products_that_would_take_what_is_added_stay() -> None:
    check(ParallelMatmulMerging(), before=ROWS.format(added="u"), declined="merges additions")


def test_what_is_added_may_be_taken_by_a_product_of_its_own() -> None:
    check(
        ParallelMatmulMerging(),
        before="""
        g (float[N,8] x, float[N,8] h) => (float[N,4] p, float[N,4] q, float[N,4] r)
        <float[8,4] A, float[8,4] B, float[8,4] C, float[8,4] D> {
            p = MatMul(x, A)
            q = MatMul(x, B)
            i = MatMul(x, C)
            j = MatMul(h, D)
            r = Add(i, j)
        }
        """,
        after="""
        t1 = MatMul(x, *)
        p, q, i = Split<axis=1>(t1, *)
        j = MatMul(h, *)
        r = Add(i, j)
        """,
    )
