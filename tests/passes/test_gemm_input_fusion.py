from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.gemm_input_fusion import GemmInputFusion

NORM = "float[4] s, float[4] b, float[4] m, float[4] v"


@pytest.mark.parametrize("turned", [0, 1])
@pytest.mark.parametrize("bias", ["", "float[5] B", "float[1,5] B", "float[3,5] B", "float B"])
def test_a_batch_norm_goes_into_the_gemm_after_it(bias: str, turned: int) -> None:
    attributes = "alpha=0.5" + (", transB=1" if turned else "")
    check(
        GemmInputFusion(),
        before=f"""
        g (float[3,4] x) => (float[3,5] y)
        <float[{"5,4" if turned else "4,5"}] W, {bias or "float B"}, {NORM}> {{
            n = BatchNormalization(x, s, b, m, v)
            y = Gemm <beta = 2.0, {attributes}> (n, W{", B" if bias else ""})
        }}
        """,
        after=f"y = Gemm<{attributes}>(x, *, *)",
    )


def test_and_into_a_product_with_dynamic_rows_in_half_precision() -> None:
    check(
        GemmInputFusion(),
        before=f"""
        g (float16[N,4] x) => (float16[N,5] y)
        <float16[4,5] W, {NORM.replace("float", "float16")}> {{
            n = BatchNormalization(x, s, b, m, v)
            y = MatMul(n, W)
        }}
        """,
        after="""
        t1 = MatMul(x, *)
        y = Add(t1, *)
        """,
    )


@pytest.mark.parametrize("bias", ["3,1", "1,1"])
def test_a_bias_of_another_shape(bias: str) -> None:
    check(
        GemmInputFusion(),
        before=f"""
        g (float[3,4] x) => (float[3,5] y) <float[4,5] W, float[{bias}] B, {NORM}> {{
            n = BatchNormalization(x, s, b, m, v)
            y = Gemm(n, W, B)
        }}
        """,
        after=None if bias == "3,1" else "y = Gemm(x, *, *)",
        declined="would become a matrix",
    )


def test_rank_three_is_left_alone() -> None:
    check(
        GemmInputFusion(),
        before=f"""
        g (float[2,4,4] x) => (float[2,4,5] y) <float[4,5] W, {NORM}> {{
            n = BatchNormalization(x, s, b, m, v)
            y = MatMul(n, W)
        }}
        """,
        declined="not known to be one of matrices",
    )


def test_an_input_that_is_transposed_is_left_alone() -> None:
    check(
        GemmInputFusion(),
        before=f"""
        g (float[4,4] x) => (float[4,5] y) <float[4,5] W, {NORM}> {{
            n = BatchNormalization(x, s, b, m, v)
            y = Gemm <transA = 1> (n, W)
        }}
        """,
    )


def test_a_norm_that_is_read_elsewhere_is_left_alone() -> None:
    check(
        GemmInputFusion(),
        before=f"""
        g (float[2,4] x) => (float[2,5] y, float[2,4] z) <float[4,5] W, {NORM}> {{
            n = BatchNormalization(x, s, b, m, v)
            y = MatMul(n, W)
            z = Relu(n)
        }}
        """,
    )


def test_a_norm_that_trains_is_left_alone() -> None:
    check(
        GemmInputFusion(),
        before=f"""
        g (float[2,4] x) => (float[2,5] y) <float[4,5] W, {NORM}> {{
            n, p, q = BatchNormalization <training_mode = 1> (x, s, b, m, v)
            y = MatMul(n, W)
        }}
        """,
    )


def test_weights_that_are_read_elsewhere_are_not_doubled() -> None:
    check(
        GemmInputFusion(),
        before=f"""
        g (float[2,4] x) => (float[2,5] y, float[2,5] z) <float[4,5] W, {NORM}> {{
            n = BatchNormalization(x, s, b, m, v)
            y = MatMul(n, W)
            z = MatMul(x, W)
        }}
        """,
        declined="the model would grow",
    )


def test_in_a_body() -> None:
    check(
        GemmInputFusion(),
        before=f"""
        g (float[2,4] x, bool c, float[2,5] z) => (float[2,5] y) <float[4,5] W, {NORM}> {{
            y = If (c) <
                then_branch = t () => (float[2,5] p) {{
                    n = BatchNormalization(x, s, b, m, v)
                    p = Gemm(n, W)
                }},
                else_branch = e () => (float[2,5] q) {{ q = Relu(z) }}
            >
        }}
        """,
        after="""
        y = If(c)
          then_branch:
            p = Gemm(x, *, *)
          else_branch:
            q = Relu(z)
        """,
    )


@pytest.mark.parametrize("dtype", ["float", "float16"])
@pytest.mark.parametrize("scaling", ["Mul(x, k)", "Mul(k, x)", "Div(x, k)"])
@pytest.mark.parametrize("shape", ["8", "1,8", "1"])
def test_a_scale_goes_into_a_product_of_any_rank(shape: str, scaling: str, dtype: str) -> None:
    check(
        GemmInputFusion(),
        before=f"""
        g ({dtype}[N,S,8] x) => ({dtype}[N,S,4] y) <{dtype}[{shape}] k, {dtype}[8,4] W> {{
            s = {scaling}
            y = MatMul(s, W)
        }}
        """,
        after="y = MatMul(x, *)",
    )


@pytest.mark.parametrize("turned", [0, 1])
def test_a_scale_goes_into_a_gemm(turned: int) -> None:
    check(
        GemmInputFusion(),
        before=f"""
        g (float[N,8] x) => (float[N,4] y)
        <float[8] k, float[{"4,8" if turned else "8,4"}] W, float[4] B> {{
            s = Mul(x, k)
            y = Gemm <transB = {turned}> (s, W, B)
        }}
        """,
        after=f"y = Gemm<transB={turned}>(x, *, *)",
    )


@pytest.mark.parametrize(
    ("x", "body", "reason"),
    [
        ("float[N,8] x", "s = Add(x, k) y = MatMul(s, W)", None),
        ("float[N,8] x", "m = Mul(x, x) s = Mul(m, k) y = MatMul(s, W)", "part of an activation"),
        ("float[N,1] x", "s = Mul(x, k) y = MatMul(s, W)", "columns it is scaled to"),
        ("float[N,8] x", "s = Mul(x, K) y = MatMul(s, W)", "one number for each channel"),
        ("float[N,8] x", "s = Div(x, zeros) y = MatMul(s, W)", "zeros to divide by"),
    ],
)
def test_what_is_no_scale_of_columns_is_left_alone(x: str, body: str, reason: str | None) -> None:
    check(
        GemmInputFusion(),
        before=f"""
        g ({x}) => (float[M,4] y)
        <float[8] k, float[3,8] K, float[8] zeros = {{0,0,0,0,0,0,0,0}}, float[8,4] W> {{ {body} }}
        """.replace("[N,8] x", "[3,8] x" if "K)" in body else "[N,8] x"),
        declined=reason,
    )
