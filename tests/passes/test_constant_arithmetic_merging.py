from __future__ import annotations

import numpy as np
import pytest
from onnx.numpy_helper import from_array

from onnxforge.storage import to_array
from onnxforge.testing import check, model
from onnxforge_passes.constant_arithmetic_merging import ConstantArithmeticMerging


@pytest.mark.parametrize("first", ["Add(x, a)", "Add(a, x)", "Sub(x, a)"])
@pytest.mark.parametrize("second", ["Add(u, b)", "Add(b, u)", "Sub(u, b)"])
@pytest.mark.parametrize("dtype", ["float", "float16", "double"])
def test_sums(dtype: str, second: str, first: str) -> None:
    check(
        ConstantArithmeticMerging(),
        before=f"""
        g ({dtype}[N,3] x) => ({dtype}[N,3] y) <{dtype}[3] a, {dtype}[3] b> {{
            u = {first}
            y = {second}
        }}
        """,
        after="y = Add(x, *)",
    )


@pytest.mark.parametrize("first", ["Mul(x, a)", "Mul(a, x)", "Div(x, a)"])
@pytest.mark.parametrize("second", ["Mul(u, b)", "Mul(b, u)", "Div(u, b)"])
def test_products(second: str, first: str) -> None:
    operator = "Div" if "Div" in first and "Div" in second else "Mul"
    check(
        ConstantArithmeticMerging(),
        before=f"""
        g (float[N,3] x) => (float[N,3] y) <float[3] a, float b> {{
            u = {first}
            y = {second}
        }}
        """,
        after=f"y = {operator}(x, *)",
    )


def test_a_chain_and_constants_that_raise_the_rank() -> None:
    check(
        ConstantArithmeticMerging(),
        before="""
        g (float[N] x) => (float[1,2,N] y) <float[2,1] a, float[1,2,1] b, float c> {
            u = Mul(x, a)
            v = Div(u, b)
            y = Mul(c, v)
        }
        """,
        after="y = Mul(x, *)",
    )


def test_the_new_constant_is_rounded_once() -> None:
    result = check(
        ConstantArithmeticMerging(),
        before="""
        g (float[N] x) => (float[N] y) <float a = {0.1}, float b = {0.3}> {
            u = Mul(x, a)
            y = Div(u, b)
        }
        """,
        after="y = Mul(x, *)",
    )
    (constant,) = (to_array(tensor, None) for tensor in result.to_proto().graph.initializer)
    exact = np.float64(np.float32(0.1)) / np.float64(np.float32(0.3))
    assert constant == np.float32(exact)


@pytest.mark.parametrize("a", ["100000000.0", "1e30"])
def test_a_sum_that_loses_digits_is_left_alone(a: str) -> None:
    check(
        ConstantArithmeticMerging(),
        before=f"""
        g (float[N] x) => (float[N] y) <float a = {{{a}}}, float b = {{0.001}}> {{
            u = Add(x, a)
            y = Add(u, b)
        }}
        """,
        declined="loses digits",
    )


def test_a_sum_that_loses_none_may_be_of_numbers_far_apart() -> None:
    check(
        ConstantArithmeticMerging(),
        before="""
        g (float[N] x) => (float[N] y) <float a = {4096.0}, float b = {0.5}> {
            u = Add(x, a)
            y = Sub(u, b)
        }
        """,
        after="y = Add(x, *)",
    )


@pytest.mark.parametrize(
    ("dtype", "a"), [("float", "12582912.0"), ("float16", "26112")]
)  # the bits of 1536
@pytest.mark.parametrize(("first", "second"), [("Add", "Sub"), ("Sub", "Add")])
def test_a_sum_that_rounds_is_left_alone(first: str, second: str, dtype: str, a: str) -> None:
    check(
        ConstantArithmeticMerging(),
        before=f"""
        g ({dtype}[N] x) => ({dtype}[N] y) <{dtype} a = {{{a}}}, {dtype} b = {{{a}}}> {{
            u = {first}(x, a)
            y = {second}(u, b)
        }}
        """,
        declined="added to round",
    )


def test_what_is_added_ahead_of_rounding_is_left_alone() -> None:
    check(
        ConstantArithmeticMerging(),
        before="""
        g (float[N] x) => (float[N] y) <float a = {0.3}, float b = {12582912.0}> {
            u = Add(x, a)
            y = Add(u, b)
        }
        """,
        declined="added to round",
    )


@pytest.mark.parametrize(("a", "b"), [("3e38", "10.0"), ("1e-30", "1e-30")])
def test_a_product_out_of_range_is_left_alone(a: str, b: str) -> None:
    check(
        ConstantArithmeticMerging(),
        before=f"""
        g (float[N] x) => (float[N] y) <float a = {{{a}}}, float b = {{{b}}}> {{
            u = Mul(x, a)
            y = Mul(u, b)
        }}
        """,
        declined="out of the range",
    )


def test_division_by_zero_is_left_alone() -> None:
    check(
        ConstantArithmeticMerging(),
        before="""
        g (float[N] x) => (float[N] y) <float a, float b = {0}> {
            u = Mul(x, a)
            y = Div(u, b)
        }
        """,
        declined="out of the range",
    )


def test_division_by_infinity_is_left_alone() -> None:
    proto = model(
        """
        g (float[N] x) => (float[N] y) <float a, float b> {
            u = Mul(x, a)
            y = Div(u, b)
        }
        """
    )
    (b,) = (tensor for tensor in proto.graph.initializer if tensor.name == "b")
    b.CopyFrom(from_array(np.array(np.inf, np.float32), "b"))
    check(ConstantArithmeticMerging(), before=proto, declined="out of the range")


def test_constants_that_are_larger_together_are_left_alone() -> None:
    check(
        ConstantArithmeticMerging(),
        before="""
        g (float[3,4] x) => (float[3,4] y) <float[3,1] a, float[4] b> {
            u = Mul(x, a)
            y = Mul(u, b)
        }
        """,
        declined="larger together",
    )


@pytest.mark.parametrize("reader", ["Sin(y)", "Floor(y)"])
def test_a_phase_keeps_its_last_digit(reader: str) -> None:
    check(
        ConstantArithmeticMerging(),
        before=f"""
        g (float[N] x) => (float[N,1] z) <float a = {{0.1}}, float b = {{0.3}}, int64[1] one = {{1}}>
        {{
            u = Mul(x, a)
            v = Mul(u, b)
            y = Unsqueeze(v, one)
            z = {reader}
        }}
        """,
        declined="the last digit counts",
    )


@pytest.mark.parametrize("reader", ["Floor(y)", "Cast<to=7>(y)"])
def test_factors_that_cancel_do_not_where_numbers_become_whole(reader: str) -> None:
    check(
        ConstantArithmeticMerging(),
        before=f"""
        g (float[N] x) => ({"int64" if "Cast" in reader else "float"}[N] z)
        <float a = {{49.0}}, float b = {{49.0}}> {{
            u = Div(x, a)
            y = Mul(u, b)
            z = {reader}
        }}
        """,
        declined="the last digit counts",
    )


def test_a_phase_may_be_multiplied_exactly() -> None:
    check(
        ConstantArithmeticMerging(),
        before="""
        g (float[N] x) => (float[N] z) <float a = {0.1}, float b = {2.0}> {
            u = Mul(x, a)
            y = Mul(u, b)
            z = Sin(y)
        }
        """,
        after="""
        y = Mul(x, *)
        z = Sin(y)
        """,
    )


def test_integers_are_left_alone() -> None:
    check(
        ConstantArithmeticMerging(),
        before="""
        g (int64[N] x) => (int64[N] y) <int64 a = {3}, int64 b = {2}> {
            u = Mul(x, a)
            y = Div(u, b)
        }
        """,
        declined="not one of floats",
    )


def test_what_is_taken_from_or_divides_a_constant_is_left_alone() -> None:
    check(
        ConstantArithmeticMerging(),
        before="""
        g (float[N] x) => (float[N] y, float[N] z) <float a, float b> {
            u = Sub(a, x)
            y = Add(u, b)
            v = Div(a, x)
            z = Mul(v, b)
        }
        """,
    )


def test_what_is_read_in_between_is_left_alone() -> None:
    check(
        ConstantArithmeticMerging(),
        before="""
        g (float[N] x) => (float[N] y, float[N] u) <float a, float b> {
            u = Add(x, a)
            y = Add(u, b)
        }
        """,
    )


def test_in_a_body() -> None:
    check(
        ConstantArithmeticMerging(),
        before="""
        g (float[3] x, bool c) => (float[3] y) <float a, float b> {
            y = If (c) <
                then_branch = t () => (float[3] p) { m = Add(x, a) p = Add(m, b) },
                else_branch = e () => (float[3] q) { q = Relu(x) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            p = Add(x, *)
          else_branch:
            q = Relu(x)
        """,
    )
