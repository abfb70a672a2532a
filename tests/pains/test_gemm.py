from __future__ import annotations

import pytest

from pains.promises import all_keep, nodes, optimized


@pytest.mark.parametrize(
    "graph",
    [
        pytest.param(text, id=f"{name}")
        for name, text in {
            "A2-identity_transpose_gemm_A_square": """g (float[3,3] x) => (float[3,3] y)
                <float[3,3] W> { t = Transpose<perm=[0,1]>(x) y = Gemm(t, W) }""",
            "A2-identity_transpose_gemm_A_rect": """g (float[2,3] x) => (float[2,4] y)
                <float[3,4] W> { t = Transpose<perm=[0,1]>(x) y = Gemm(t, W) }""",
            "A2-identity_transpose_matmul_add_square": """g (float[3,3] x) => (float[3,3] y)
                <float[3,3] W, float[3] b>
                { t = Transpose<perm=[0,1]>(x) m = MatMul(t, W) y = Add(m, b) }""",
            "A2-transpose_gemm_both": """g (float[3,3] x) => (float[3,3] y, float[3,3] z)
                <float[3,3] W> { t = Transpose<perm=[1,0]>(x) y = Gemm<transA=1>(t, W)
                s = Transpose(W) z = Gemm<transB=1>(x, s) }""",
            "A28-matmul_add_broadcast_up": """g (float[3,3] x) => (float[3,4] y)
                <float[3,1] W, float[1,4] b> { m = MatMul(x, W) y = Add(m, b) }""",
            "A28-matmul3d_add_bias_matrix": """g (float[2,3,4] x) => (float[2,3,5] y)
                <float[4,5] W, float[3,5] b> { m = MatMul(x, W) y = Add(m, b) }""",
            "A28-matmul3d_add_rank3_bias": """g (float[N,3,4] x) => (float[N,3,5] y)
                <float[4,5] W, float[1,1,5] b> { m = MatMul(x, W) y = Add(b, m) }""",
            "A28-matmul_add_rank3_bias_broadcast_up": """g (float[3,4] x) => (float[2,3,5] y)
                <float[4,5] W, float[2,1,5] b> { m = MatMul(x, W) y = Add(m, b) }""",
            "A28-matmul_add_plain": """g (float[N,4] x) => (float[N,5] y)
                <float[4,5] W, float[5] b> { m = MatMul(x, W) y = Add(m, b) }""",
            "A28-matmul_vector": """g (float[4] x) => (float[5] y)
                <float[4,5] W, float[5] b> { m = MatMul(x, W) y = Add(m, b) }""",
            "A28-gemm_alpha_beta_mul_add": """g (float[N,4] x) => (float[N,5] y)
                <float[4,5] W, float[5] b, float k = {3}, float[5] c>
                { m = Gemm<alpha=0.5, beta=2.0>(x, W, b) n = Mul(m, k) y = Add(n, c) }""",
            "A28-gemm_beta_without_bias": """g (float[N,4] x) => (float[N,5] y)
                <float[4,5] W, float[5] c>
                { m = Gemm<beta=2.0>(x, W) y = Add(m, c) }""",
            "A28-gemm_reshape_mul": """g (float[6,4] x) => (float[2,3,5] y)
                <float[4,5] W, float[5] b, int64[3] s = {2,3,5}, float[5] k>
                { m = Gemm(x, W, b) r = Reshape(m, s) y = Mul(r, k) }""",
            "A28-gemm_reshape_add": """g (float[6,4] x) => (float[2,3,5] y)
                <float[4,5] W, float[5] b, int64[3] s = {2,3,5}, float[5] k>
                { m = Gemm(x, W, b) r = Reshape(m, s) y = Add(r, k) }""",
            "A28-gemm_reshape_add_other_last_dim": """g (float[5,4] x) => (float[1,5,5] y)
                <float[4,5] W, float[5] b, int64[3] s = {1,5,5}, float[5,1] k>
                { m = Gemm(x, W, b) r = Reshape(m, s) y = Add(r, k) }""",
            "A28-gemm_reshape_to_another_last_dim": """g (float[5,4] x) => (float[25,1] y)
                <float[4,5] W, float[5] b, int64[2] s = {25,1}, float[1] k>
                { m = Gemm(x, W, b) r = Reshape(m, s) y = Add(r, k) }""",
            "A28-gemm_bias_column": """g (float[3,4] x) => (float[3,5] y)
                <float[4,5] W, float[3,1] b, float[5] k> { m = Gemm(x, W, b) y = Add(m, k) }""",
            "A28-matmul_with_two_consumers": """g (float[N,4] x) => (float[N,5] y, float[N,5] z)
                <float[4,5] W, float[5] b> { m = MatMul(x, W) y = Add(m, b) z = Relu(m) }""",
            "A28-matmul_add_of_two_products": """g (float[N,4] x) => (float[N,5] y)
                <float[4,5] W, float[4,5] V>
                { m = MatMul(x, W) n = MatMul(x, V) y = Add(m, n) }""",
            "A23-skip_layer_norm": """g (float[N,3,8] x, float[N,3,8] w) => (float[N,3,8] y)
                <float[8] s, float[8] b>
                { a = Add(x, w) y = LayerNormalization(a, s, b) }""",
        }.items()
    ],
)
def test_a_bias_or_transpose_is_taken_in_only_where_it_fits(graph: str):
    optimized(graph)


def test_a_product_of_integers_is_no_gemm():
    """B34: matmul_add_int32; ONNX Runtime has no kernel for it."""
    results = optimized(
        """g (int32[N,4] x) => (int32[N,5] y) <int32[4,5] W, int32[5] b>
        { m = MatMul(x, W) y = Add(m, b) }"""
    )
    assert not any(nodes(result, "Gemm") for result in results.values())


def test_a_scale_of_another_size_does_not_become_the_scale_of_a_normalization():
    """B33: rmsnorm_scale_mismatch."""
    optimized(
        """g (float[1,1] x) => (float[1,2] y) <float two = {2}, float e = {0.00001}, float[2] s>
        { p = Pow(x, two) m = ReduceMean<axes=[-1]>(p) a = Add(m, e) r = Sqrt(a) d = Div(x, r)
          y = Mul(d, s) }"""
    )


def test_three_products_of_the_graphs_input_are_no_reason_to_fail():
    """B48: qkv_shared_input_graph_input."""
    optimized(
        """g (float[N,3,4] x) => (float[N,3,4] q, float[N,3,4] k, float[N,3,4] v)
        <float[4,4] Q, float[4,4] K, float[4,4] V, float[4] a, float[4] b, float[4] c>
        { l = MatMul(x, Q) q = Add(l, a) m = MatMul(x, K) k = Add(m, b)
          n = MatMul(x, V) v = Add(n, c) }"""
    )


def test_weights_in_bfloat16_are_kept_whole():
    """B47: bf16_weights_matmul."""
    results = optimized(
        """g (float[N,4] x) => (float[N,4] y) <bfloat16[4,4] W>
        { V = Cast<to=1>(W) y = MatMul(x, V) }"""
    )
    all_keep(results, MatMul=1)
