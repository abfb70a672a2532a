from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.gemm_arithmetic_fusion import GemmArithmeticFusion

NORM = "float[5] s, float[5] b, float[5] m, float[5] v"


@pytest.mark.parametrize("shape", ["5", "1,5", "1,1,5", ""])
@pytest.mark.parametrize("operator", ["Mul(p, k)", "Mul(k, p)", "Div(p, k)"])
def test_a_scale_for_each_column_goes_into_the_weights(operator: str, shape: str) -> None:
    constant = f"float[{shape}]" if shape else "float"
    check(
        GemmArithmeticFusion(),
        before=f"""
        g (float[N,3,4] x) => (float[N,3,5] y) <float[4,5] W, {constant} k> {{
            p = MatMul(x, W)
            y = {operator}
        }}
        """,
        after="y = MatMul(x, *)",
    )


@pytest.mark.parametrize("operator", ["Mul(p, k)", "Div(p, k)", "Add(k, p)", "Sub(p, k)"])
@pytest.mark.parametrize("bias", ["5", "3,1", "3,5", "1"])
def test_a_product_with_a_bias(bias: str, operator: str) -> None:
    check(
        GemmArithmeticFusion(),
        before=f"""
        g (float[2,3,4] x) => (float[2,3,5] y) <float[4,5] W, float[{bias}] B, float k> {{
            m = MatMul(x, W)
            p = Add(B, m)
            y = {operator}
        }}
        """,
        after="""
        t1 = MatMul(x, *)
        y = Add(t1, *)
        """,
    )


@pytest.mark.parametrize("operator", ["Mul(p, k)", "Div(p, k)", "Add(p, k)", "Sub(p, k)"])
@pytest.mark.parametrize("turned", [0, 1])
@pytest.mark.parametrize("bias", ["", ", B"])
def test_a_gemm_with_all_it_may_have(bias: str, turned: int, operator: str) -> None:
    has_bias = bool(bias) or operator[:3] in ("Add", "Sub")
    attributes = "alpha=0.5, transA=1" + (", transB=1" if turned else "")
    check(
        GemmArithmeticFusion(),
        before=f"""
        g (float[4,N] x) => (float[N,5] y)
        <float[{"5,4" if turned else "4,5"}] W, float[5] B, float[1,5] k> {{
            p = Gemm <beta = 2.0, {attributes}> (x, W{bias})
            y = {operator}
        }}
        """,
        after=f"y = Gemm<{attributes}>(x, *{', *' if has_bias else ''})",
    )


def test_a_batch_norm_after_a_gemm_in_half_precision() -> None:
    check(
        GemmArithmeticFusion(),
        before=f"""
        g (float16[N,4] x) => (float16[N,5] y)
        <float16[4,5] W, float16[5] B, {NORM.replace("float", "float16")}> {{
            p = Gemm(x, W, B)
            y = BatchNormalization(p, s, b, m, v)
        }}
        """,
        after="y = Gemm(x, *, *)",
    )


def test_a_batch_norm_after_a_product_leaves_an_addition() -> None:
    check(
        GemmArithmeticFusion(),
        before=f"""
        g (float[N,4] x) => (float[N,5] y) <float[4,5] W, {NORM}> {{
            p = MatMul(x, W)
            y = BatchNormalization(p, s, b, m, v)
        }}
        """,
        after="""
        t1 = MatMul(x, *)
        y = Add(t1, *)
        """,
    )


@pytest.mark.parametrize("move", ["Reshape(p, to)", "Flatten <axis = 2> (p)"])
def test_a_batch_norm_after_rows_are_counted_otherwise(move: str) -> None:
    operator = "Reshape" if "Reshape" in move else "Flatten<axis=2>"
    check(
        GemmArithmeticFusion(),
        before=f"""
        g (float[N,3,4] x) => (float[M,5] y) <float[4,5] W, int64[2] to = {{-1,5}}, {NORM}> {{
            p = MatMul(x, W)
            r = {move}
            y = BatchNormalization(r, s, b, m, v)
        }}
        """,
        after=f"""
        t1 = MatMul(x, *)
        t2 = Add(t1, *)
        y = {operator}(t2{", *" if "Reshape" in move else ""})
        """,
    )


def test_a_batch_norm_after_the_columns_were_moved_to_its_axis() -> None:
    check(
        GemmArithmeticFusion(),
        before=f"""
        g (float[N,3,4] x) => (float[N,5,3] y) <float[4,5] W, float[5] B, {NORM}> {{
            p = MatMul(x, W)
            q = Add(p, B)
            t = Transpose <perm = [0,2,1]> (q)
            y = BatchNormalization(t, s, b, m, v)
        }}
        """,
        after="""
        t1 = MatMul(x, *)
        t2 = Add(t1, *)
        y = Transpose<perm=[0,2,1]>(t2)
        """,
    )


def test_one_number_for_all_goes_through_any_movement() -> None:
    check(
        GemmArithmeticFusion(),
        before="""
        g (float[N,3,4] x) => (float[N,2,3,3] y)
        <float[4,6] W, float[6] B, float k, int64[4] to = {0,0,2,3}> {
            p = MatMul(x, W)
            q = Add(p, B)
            r = Reshape(q, to)
            t = Transpose <perm = [0,2,1,3]> (r)
            y = Mul(t, k)
        }
        """,
        after="""
        t1 = MatMul(x, *)
        t2 = Add(t1, *)
        t3 = Reshape(t2, *)
        y = Transpose<perm=[0,2,1,3]>(t3)
        """,
    )


@pytest.mark.parametrize(
    ("operation", "k"),
    [
        ("Mul(p, k)", "3,1"),
        ("Mul(p, k)", "3,5"),
        ("Div(r, k)", "2,1,1,1"),
        ("Mul(t, k)", "3,1"),
        ("Mul(t, k)", "2"),
    ],
)
def test_what_does_not_lie_along_the_columns_is_left_alone(operation: str, k: str) -> None:
    move, shape = {
        "p": ("", "2,3,5"),
        "r": ("r = Reshape(p, to)", "2,1,3,5"),
        "t": ("t = Transpose(p)", "5,3,2"),
    }[operation[4]]
    check(
        GemmArithmeticFusion(),
        before=f"""
        g (float[2,3,4] x) => (float[{shape}] y)
        <float[4,5] W, float[{k}] k, int64[4] to = {{2,1,3,5}}> {{
            p = MatMul(x, W)
            {move}
            y = {operation}
        }}
        """,
        declined="not one number for each channel",
    )


def test_columns_that_a_reshape_mixes_are_left_alone() -> None:
    check(
        GemmArithmeticFusion(),
        before="""
        g (float[3,4] x) => (float[3,2,3] y) <float[4,6] W, float[3] k, int64[3] to = {3,2,3}> {
            p = MatMul(x, W)
            r = Reshape(p, to)
            y = Mul(r, k)
        }
        """,
        declined="not one number for each channel",
    )


def test_a_batch_norm_of_other_channels_is_left_alone() -> None:
    check(
        GemmArithmeticFusion(),
        before="""
        g (float[N,5,4] x) => (float[N,5,6] y)
        <float[4,6] W, float[5] s, float[5] b, float[5] m, float[5] v> {
            p = MatMul(x, W)
            y = BatchNormalization(p, s, b, m, v)
        }
        """,
        declined="not one parameter for each channel",
    )


def test_a_batch_norm_of_rows_as_many_as_columns_is_left_alone() -> None:
    check(
        GemmArithmeticFusion(),
        before=f"""
        g (float[N,5,4] x) => (float[N,5,5] y) <float[4,5] W, {NORM}> {{
            p = MatMul(x, W)
            y = BatchNormalization(p, s, b, m, v)
        }}
        """,
        declined="not one parameter for each channel",
    )


def test_a_bias_for_each_row_does_not_become_a_matrix() -> None:
    check(
        GemmArithmeticFusion(),
        before="""
        g (float[3,4] x) => (float[3,5] y) <float[4,5] W, float[3,1] B, float[5] k> {
            p = Gemm(x, W, B)
            y = Add(p, k)
        }
        """,
        declined="would become a matrix",
    )


def test_a_first_bias_is_not_for_this_pass() -> None:
    check(
        GemmArithmeticFusion(),
        before="""
        g (float[N,4] x) => (float[N,5] y) <float[4,5] W, float[5] k> {
            p = MatMul(x, W)
            y = Add(p, k)
        }
        """,
    )


def test_a_number_that_is_added_to_round_is_left_alone() -> None:
    check(
        GemmArithmeticFusion(),
        before="""
        g (float[N,2] x) => (float[N,3] y) <float[2,3] W, float[3] B, float k = {12582912.0}> {
            p = Gemm(x, W, B)
            u = Add(p, k)
            y = Sub(u, k)
        }
        """,
        declined="added to round",
    )


def test_integers_are_left_alone() -> None:
    check(
        GemmArithmeticFusion(),
        before="""
        g (int32[N,4] x) => (int32[N,5] y) <int32[4,5] W, int32[5] k> {
            p = MatMul(x, W)
            y = Mul(p, k)
        }
        """,
        declined="no matrix of floats",
    )


@pytest.mark.parametrize("shape", ["4,0", "0,5"])
def test_weights_without_elements_are_left_alone(shape: str) -> None:
    rows, columns = shape.split(",")
    check(
        GemmArithmeticFusion(),
        before=f"""
        g (float[N,{rows}] x) => (float[N,{columns}] y)
        <float[{shape}] W, float[{columns}] B, float[{columns}] k> {{
            p = MatMul(x, W)
            b = Add(p, B)
            y = Sub(b, k)
        }}
        """,
        declined="empty",
    )


def test_division_by_zero_is_left_alone() -> None:
    check(
        GemmArithmeticFusion(),
        before="""
        g (float[N,4] x) => (float[N,5] y) <float[4,5] W, float k = {0}> {
            p = MatMul(x, W)
            y = Div(p, k)
        }
        """,
        declined="zeros to divide by",
    )


def test_a_product_that_is_read_elsewhere_is_left_alone() -> None:
    check(
        GemmArithmeticFusion(),
        before="""
        g (float[N,4] x) => (float[N,5] y, float[N,5] z) <float[4,5] W, float k> {
            p = MatMul(x, W)
            y = Mul(p, k)
            z = Relu(p)
        }
        """,
    )


def test_weights_that_are_read_elsewhere_are_not_doubled() -> None:
    check(
        GemmArithmeticFusion(),
        before="""
        g (float[N,4] x) => (float[N,5] y, float[N,5] z) <float[4,5] W, float k> {
            p = MatMul(x, W)
            y = Mul(p, k)
            z = MatMul(x, W)
        }
        """,
        declined="the model would grow",
    )


def test_in_a_body() -> None:
    check(
        GemmArithmeticFusion(),
        before="""
        g (float[1,4] x, bool c, float[1,5] z) => (float[1,5] y) <float[4,5] W, float k> {
            y = If (c) <
                then_branch = t () => (float[1,5] p) { m = MatMul(x, W) p = Mul(m, k) },
                else_branch = e () => (float[1,5] q) { q = Relu(z) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            p = MatMul(x, *)
          else_branch:
            q = Relu(z)
        """,
    )


@pytest.mark.parametrize("arithmetic", ["Sub(k, p)", "Neg(p)"])
def test_the_opposite_of_a_product(arithmetic: str) -> None:
    check(
        GemmArithmeticFusion(),
        before=f"""
        g (float[N,8] x) => (float[N,4] y) <float[8,4] W, float[4] B, float[4] k> {{
            p = Gemm(x, W, B)
            y = {arithmetic}
        }}
        """,
        after="y = Gemm(x, *, *)",
    )
