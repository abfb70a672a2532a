from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.arithmetic_identity_elimination import ArithmeticIdentityElimination


@pytest.mark.parametrize("dtype", ["float", "float16", "int64"])
@pytest.mark.parametrize(
    ("call", "number"),
    [
        ("Add(x, c)", 0),
        ("Add(c, x)", 0),
        ("Sub(x, c)", 0),
        ("Mul(x, c)", 1),
        ("Mul(c, x)", 1),
        ("Div(x, c)", 1),
        ("Pow(x, c)", 1),
        ("Neg(n)", 0),
    ],
)
def test_units_go(call: str, number: int, dtype: str) -> None:
    if (call, dtype) == ("Pow(x, c)", "float16"):
        pytest.skip("ONNX Runtime has no such kernel")
    inner = "n = Neg(x)  " if "n)" in call else ""
    if dtype == "float16":
        number *= 0x3C00  # ONNX's text spells half precision in bits
    check(
        ArithmeticIdentityElimination(),
        before=f"g ({dtype}[N,2] x) => ({dtype}[N,2] y) <{dtype} c = {{{number}}}> "
        f"{{ {inner}a = {call}  y = Abs(a) }}",
        after="y = Abs(x)",
    )


@pytest.mark.parametrize(
    ("call", "number"),
    [
        ("Sub(c, x)", 0),
        ("Div(c, x)", 1),
        ("Pow(c, x)", 1),
        ("Mul(x, c)", 0),
        ("Add(x, c)", 1),
        ("Pow(x, c)", 0),
    ],
)
def test_what_is_no_unit_stays(call: str, number: int) -> None:
    check(
        ArithmeticIdentityElimination(),
        before=f"g (float[N,2] x) => (float[N,2] y) <float c = {{{number}}}> "
        f"{{ a = {call}  y = Abs(a) }}",
    )


def test_a_unit_that_raises_the_rank_stays() -> None:
    check(
        ArithmeticIdentityElimination(),
        before="g (float[N] x) => (float[1,N] y) <float[1,1] c = {0}> "
        "{ a = Add(x, c)  y = Abs(a) }",
    )


def test_ones_that_expand_a_dimension_stay() -> None:
    check(
        ArithmeticIdentityElimination(),
        before="g (float[N,1] x, float[N,M] z) => (float[N,M] y) <float c = {1}> "
        "{ s = Shape(z)  e = Expand(c, s)  a = Mul(x, e)  y = Abs(a) }",
    )


def test_ones_of_the_same_shape_go() -> None:
    check(
        ArithmeticIdentityElimination(),
        before="g (float[N,M] x) => (float[N,M] y) <int64 c = {1}> "
        "{ s = Shape(x)  f = Cast<to = 1>(c)  e = Expand(f, s)  a = Mul(e, x)  y = Abs(a) }",
        after="y = Abs(x)",
    )


def test_a_vector_of_ones_is_a_unit() -> None:
    check(
        ArithmeticIdentityElimination(),
        before="g (float[N,2] x) => (float[N,2] y) <float[2] c = {1, 1}> "
        "{ s = Sin(x)  a = Mul(s, c)  y = Abs(a) }",
        after="s = Sin(x)\ny = Abs(s)",
    )


def test_a_bias_of_zeros_after_numbers_that_got_their_scale_goes() -> None:
    check(
        ArithmeticIdentityElimination(),
        before="""
        g (float[N,4] x, float s) => (float[N,4] y) <float[4] zeros = {0, 0, 0, 0}> {
            m = Mul(x, s)
            b = Add(zeros, m)
            y = Relu(b)
        }
        """,
        after="m = Mul(x, s)\ny = Relu(m)",
    )


def test_the_scale_and_bias_of_a_normalization_spelled_out_stay() -> None:
    check(
        ArithmeticIdentityElimination(),
        before="g (float[N,2] x, float[N,1] d) => (float[N,2] y) "
        "<float[2] scale = {1, 1}, float[2] bias = {0, 0}> "
        "{ n = Div(x, d)  s = Mul(n, scale)  b = Add(s, bias)  y = Abs(b) }",
    )


def test_a_vector_that_fits_the_last_size_is_a_unit_whatever_the_others_are() -> None:
    check(
        ArithmeticIdentityElimination(),
        before="g (float[N,M,2] x) => (float[K,L,2] y) "
        "<float[2,2] W, float[2] bias = {0, 0}> "
        "{ p = MatMul(x, W)  b = Add(bias, p)  y = Abs(b) }",
        after="p = MatMul(x, *)\ny = Abs(p)",
    )


def test_a_default_that_a_caller_may_override_is_no_unit() -> None:
    check(
        ArithmeticIdentityElimination(),
        before="g (float[N] x, float c) => (float[N] y) <float c = {0}> "
        "{ a = Add(x, c)  y = Abs(a) }",
    )


@pytest.mark.parametrize(("call", "number"), [("And(x, c)", 1), ("Or(c, x)", 0), ("Xor(x, c)", 0)])
def test_units_of_logic_go(call: str, number: int) -> None:
    check(
        ArithmeticIdentityElimination(),
        before=f"g (bool[N] x, bool[N] z) => (bool[N] y) <bool c = {{{number}}}> "
        f"{{ a = {call}  y = And(a, z) }}",
        after="y = And(x, z)",
    )


@pytest.mark.parametrize("condition", [0, 1])
def test_a_constant_condition_chooses(condition: int) -> None:
    check(
        ArithmeticIdentityElimination(),
        before="g (float[N] p, float[N] q) => (float[N] y) "
        f"<bool c = {{{condition}}}> {{ a = Where(c, p, q)  y = Abs(a) }}",
        after=f"y = Abs({'qp'[condition]})",
    )


def test_a_choice_that_broadcasts_stays() -> None:
    check(
        ArithmeticIdentityElimination(),
        before="g (float[1] p, float[N] q) => (float[N] y) <bool c = {1}> "
        "{ a = Where(c, p, q)  y = Abs(a) }",
    )


@pytest.mark.parametrize("op_type", ["Abs", "Ceil", "Floor", "Relu", "Round", "Sign"])
def test_twice_is_once(op_type: str) -> None:
    check(
        ArithmeticIdentityElimination(),
        before=f"g (float[N] x) => (float[N] y) {{ a = {op_type}(x)  b = {op_type}(a)  y = Neg(b) }}",
        after=f"""
        a = {op_type}(x)
        y = Neg(a)
        """,
    )


def test_what_is_rounded_needs_no_rounding() -> None:
    check(
        ArithmeticIdentityElimination(),
        before="g (float[N] x) => (float[N] y) { a = Floor(x)  b = Round(a)  y = Neg(b) }",
        after="""
        a = Floor(x)
        y = Neg(a)
        """,
    )


def test_a_bias_of_zeros_goes_however_it_is_made() -> None:
    check(
        ArithmeticIdentityElimination(),
        before="""
        g (float[1,2,8,8] x) => (float[1,4,4,4] y)
        <float[4,2,3,3] w, float[4,4,3,3] v, float z = {0}, int64[1] s = {4}, float[4] b = {0,0,0,0}>
        { e = Expand(z, s)  a = Conv(x, w, e)  y = Conv(a, v, b) }
        """,
        after="""
        a = Conv(x, *)
        y = Conv(a, *)
        """,
    )


def test_a_bias_that_is_not_all_zeros_stays() -> None:
    check(
        ArithmeticIdentityElimination(),
        before="""
        g (float[1,2,8,8] x) => (float[1,4,6,6] y) <float[4,2,3,3] w, float[4] b = {0,1,0,0}>
        { y = Conv(x, w, b) }
        """,
    )


def test_gemm_needs_its_bias_before_opset_11() -> None:
    before = """
    g (float[N,2] x) => (float[N,4] y) <float[2,4] w, float[4] b = {0,0,0,0}>
    { y = Gemm(x, w, b) }
    """
    check(ArithmeticIdentityElimination(), before, after="y = Gemm(x, *)", opset=11)
    check(ArithmeticIdentityElimination(), before, opset=10)


def test_units_in_a_body_go() -> None:
    check(
        ArithmeticIdentityElimination(),
        before="""
        g (float[N] x, bool c) => (float[N] y) <float k = {1}> {
            y = If (c) <
                then_branch = t () => (float[N] p) { a = Mul(x, k)  p = Relu(a) },
                else_branch = e () => (float[N] q) { q = Mul(x, k) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            p = Relu(x)
          else_branch:
            q = Mul(x, *)
        """,
    )


@pytest.mark.parametrize(
    ("dtype", "call"),
    [
        ("bool", "And(x, x)"),
        ("bool", "Or(x, x)"),
        ("float16", "Max(x, x)"),
        ("float", "Min(x, x)"),
        ("float", "Where(c, x, x)"),
    ],
)
def test_a_value_and_itself(dtype: str, call: str) -> None:
    check(
        ArithmeticIdentityElimination(),
        before=f"""
        g ({dtype}[N,4] x, bool[4] c, {dtype}[N,4] u) => ({dtype}[N,4] y) {{ p = {call} y = Where(c, p, u) }}
        """,
        after="y = Where(c, x, u)",
    )


def test_a_value_and_itself_of_another_shape() -> None:
    check(
        ArithmeticIdentityElimination(),
        before="g (float[4] x, bool[N,4] c) => (float[N,4] y) { p = Where(c, x, x) y = Neg(p) }",
    )
