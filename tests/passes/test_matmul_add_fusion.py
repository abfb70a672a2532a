from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.matmul_add_fusion import MatmulAddFusion


@pytest.mark.parametrize("bias", ["5", "1,5", "3,1", "3,5", "1", ""])
@pytest.mark.parametrize("operator", ["Add(p, B)", "Add(B, p)"])
@pytest.mark.parametrize("dtype", ["float", "double"])
def test_a_product_and_a_bias_are_a_gemm(dtype: str, operator: str, bias: str) -> None:
    constant = f"{dtype}[{bias}]" if bias else dtype
    check(
        MatmulAddFusion(),
        before=f"""
        g ({dtype}[3,4] x) => ({dtype}[3,5] y) <{dtype}[4,5] W, {constant} B> {{
            p = MatMul(x, W)
            y = {operator}
        }}
        """,
        after="y = Gemm(x, *, *)",
    )


def test_dynamic_rows_and_computed_weights() -> None:
    check(
        MatmulAddFusion(),
        before="""
        g (float[N,4] x, float[4,5] W) => (float[N,5] y) <float[5] B> {
            p = MatMul(x, W)
            y = Add(p, B)
        }
        """,
        after="y = Gemm(x, W, *)",
    )


def test_a_gemm_without_a_bias_takes_one() -> None:
    check(
        MatmulAddFusion(),
        before="""
        g (float[4,N] x) => (float[N,5] y) <float[4,5] W, float[5] B> {
            p = Gemm <alpha = 0.5, beta = 2.0, transA = 1> (x, W)
            y = Add(p, B)
        }
        """,
        after="y = Gemm<alpha=0.5, transA=1>(x, *, *)",
    )


@pytest.mark.parametrize(
    ("x", "y", "bias", "reason"),
    [
        ("N,4", "N,5", "3,1", "does not broadcast"),
        ("N,4", "N,5", "3,5", "does not broadcast"),
        ("3,4", "1,3,5", "1,1,5", "does not broadcast"),
        ("3,4", "2,3,5", "2,1,5", "does not broadcast"),
        ("1,4", "3,5", "3,1", "does not broadcast"),
        ("2,3,4", "2,3,5", "5", "not known to be one of matrices"),
        ("4", "5", "5", "not known to be one of matrices"),
    ],
)
def test_what_a_gemm_cannot_add_is_left_alone(x: str, y: str, bias: str, reason: str) -> None:
    if "N" in x and bias.startswith("3"):
        y = y.replace("N", "M")
    check(
        MatmulAddFusion(),
        before=f"""
        g (float[{x}] x) => (float[{y}] y) <float[4,5] W, float[{bias}] B> {{
            p = MatMul(x, W)
            y = Add(p, B)
        }}
        """,
        declined=reason,
    )


def test_one_column_that_becomes_several_is_left_alone() -> None:
    check(
        MatmulAddFusion(),
        before="""
        g (float[3,3] x) => (float[3,4] y) <float[3,1] W, float[1,4] B> {
            p = MatMul(x, W)
            y = Add(p, B)
        }
        """,
        declined="does not broadcast",
    )


@pytest.mark.parametrize("dtype", ["int32", "float16"])
def test_other_types_are_left_alone(dtype: str) -> None:
    check(
        MatmulAddFusion(),
        before=f"""
        g ({dtype}[N,4] x) => ({dtype}[N,5] y) <{dtype}[4,5] W, {dtype}[5] B> {{
            p = MatMul(x, W)
            y = Add(p, B)
        }}
        """,
        declined="float32 or float64",
    )


def test_quantized_products_are_left_alone() -> None:
    check(
        MatmulAddFusion(),
        before="""
        g (float[N,4] x) => (float[N,5] y) <int8[4,5] Q, float q = {0.1}, float[5] B> {
            W = DequantizeLinear(Q, q)
            p = MatMul(x, W)
            y = Add(p, B)
        }
        """,
        declined="quantized",
    )


def test_a_product_that_is_read_elsewhere_is_left_alone() -> None:
    check(
        MatmulAddFusion(),
        before="""
        g (float[N,4] x) => (float[N,5] y, float[N,5] z) <float[4,5] W, float[5] B> {
            p = MatMul(x, W)
            y = Add(p, B)
            z = Relu(p)
        }
        """,
    )


def test_in_a_body() -> None:
    check(
        MatmulAddFusion(),
        before="""
        g (float[1,4] x, bool c, float[1,5] z) => (float[1,5] y) <float[4,5] W, float[5] B> {
            y = If (c) <
                then_branch = t () => (float[1,5] p) { m = MatMul(x, W) p = Add(m, B) },
                else_branch = e () => (float[1,5] q) { q = Relu(z) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            p = Gemm(x, *, *)
          else_branch:
            q = Relu(z)
        """,
    )
