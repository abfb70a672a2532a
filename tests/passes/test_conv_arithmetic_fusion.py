from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper

from onnxforge.storage import to_array
from onnxforge.testing import check, model
from onnxforge_passes.conv_arithmetic_fusion import ConvArithmeticFusion


@pytest.mark.parametrize("bias", ["", ", B"])
@pytest.mark.parametrize("shape", ["4,1,1", "1,4,1,1", "1,1,1", "1", ""])
@pytest.mark.parametrize("operator", ["Add(c, k)", "Add(k, c)", "Sub(c, k)", "Sub(k, c)"])
def test_a_constant_for_each_channel_is_a_bias(operator: str, shape: str, bias: str) -> None:
    constant = f"float[{shape}]" if shape else "float"
    check(
        ConvArithmeticFusion(),
        before=f"""
        g (float[N,3,8,8] x) => (float[N,4,6,6] y)
        <float[4,3,3,3] W, float[4] B, {constant} k> {{
            c = Conv(x, W{bias})
            y = {operator}
        }}
        """,
        after="y = Conv(x, *, *)",
    )


@pytest.mark.parametrize("bias", ["", ", B"])
@pytest.mark.parametrize("operator", ["Mul(c, k)", "Mul(k, c)", "Div(c, k)"])
def test_a_scale_for_each_channel_goes_into_the_weights(operator: str, bias: str) -> None:
    check(
        ConvArithmeticFusion(),
        before=f"""
        g (float[N,3,8,8] x) => (float[N,4,6,6] y)
        <float[4,3,3,3] W, float[4] B, float[4,1,1] k> {{
            c = Conv(x, W{bias})
            y = {operator}
        }}
        """,
        after=f"y = Conv(x, *{', *' if bias else ''})",
    )


def test_a_chain_becomes_one_node() -> None:
    check(
        ConvArithmeticFusion(),
        before="""
        g (float[N,3,8] x) => (float[N,4,6] y)
        <float[4,3,3] W, float[4,1] k, float[4,1] b, float two = {2}> {
            c = Conv(x, W)
            d = Mul(c, k)
            e = Add(b, d)
            y = Div(e, two)
        }
        """,
        after="y = Conv(x, *, *)",
    )


@pytest.mark.parametrize("group", [1, 2, 4])
def test_a_transposed_conv_has_its_output_channels_within_each_group(group: int) -> None:
    check(
        ConvArithmeticFusion(),
        before=f"""
        g (float[1,8,4,4] x) => (float[1,4,6,6] y)
        <float[8,{4 // group},3,3] W, float[4,1,1] k, float[1,4,1,1] b> {{
            c = ConvTranspose <group = {group}> (x, W)
            d = Mul(c, k)
            y = Add(d, b)
        }}
        """,
        after=f"y = ConvTranspose<group={group}>(x, *, *)",
    )


def test_three_dimensions_and_half_precision() -> None:
    check(
        ConvArithmeticFusion(),
        before="""
        g (float16[N,3,5,5,5] x) => (float16[N,4,3,3,3] y)
        <float16[4,3,3,3,3] W, float16[4,1,1,1] k> {
            c = Conv(x, W)
            y = Div(c, k)
        }
        """,
        after="y = Conv(x, *)",
    )


def test_weights_are_computed_in_double_precision_and_rounded_once() -> None:
    proto = model(
        """
        g (float[1,3,8,8] x) => (float[1,4,6,6] y) <float[4,3,3,3] W, float[4] B, float[4,1,1] k> {
            c = Conv(x, W, B)
            y = Div(c, k)
        }
        """
    )
    arrays = {t.name: numpy_helper.to_array(t).astype(np.float64) for t in proto.graph.initializer}
    result = check(ConvArithmeticFusion(), before=proto, after="y = Conv(x, *, *)")
    weights, bias = (to_array(tensor, None) for tensor in result.to_proto().graph.initializer)
    factor = 1 / arrays["k"]
    np.testing.assert_array_equal(weights, (arrays["W"] * factor[..., None]).astype("f4"))
    np.testing.assert_array_equal(bias, (arrays["B"] * factor.reshape(4)).astype("f4"))


@pytest.mark.parametrize("k", [1e-39, 3e38])
def test_a_factor_beyond_float32_s_usual_range_scales_as_exactly(k: float) -> None:
    proto = model(
        """
        g (float[1,1,4] x) => (float[1,2,3] y) <float[2,1,2] W, float[2,1] k> {
            c = Conv(x, W)
            y = Mul(c, k)
        }
        """
    )
    W, factor = np.array([[[1e30, 1]], [[1e-10, 2]]], np.float32), np.array([[k], [1]], np.float32)
    if k > 1:
        W[0] = 1e-20
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(map(numpy_helper.from_array, (W, factor), "Wk"))
    result = check(ConvArithmeticFusion(), before=proto, after="y = Conv(x, *)")
    weights = to_array(result.to_proto().graph.initializer[0], None)
    np.testing.assert_array_equal(weights, (W * factor[..., None].astype("f8")).astype("f4"))


def test_in_a_body() -> None:
    check(
        ConvArithmeticFusion(),
        before="""
        g (float[1,3,8] x, bool c) => (float[1,4,6] y) <float[4,3,3] W, float[4,1] k> {
            y = If (c) <
                then_branch = t () => (float[1,4,6] p) { n = Conv(x, W) p = Add(n, k) },
                else_branch = e () => (float[1,4,6] q) { q = Conv(x, W) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            p = Conv(x, *, *)
          else_branch:
            q = Conv(x, *)
        """,
    )


@pytest.mark.parametrize(
    ("shape", "out"),
    [
        ("4", "N,4,4,4"),
        ("1,1,1,4", "N,4,4,4"),
        ("4,1", "N,4,4,4"),
        ("4,4,1", "N,4,4,4"),
        ("4,1,1,1,1", "4,N,4,4,4"),
        ("1,1,1,1,1", "1,N,4,4,4"),
    ],
)
@pytest.mark.parametrize("operator", ["Mul", "Add"])
def test_what_does_not_lie_along_the_channels_is_left_alone(
    operator: str, shape: str, out: str
) -> None:
    check(
        ConvArithmeticFusion(),
        before=f"""
        g (float[N,3,4,4] x) => (float[{out}] y) <float[4,3,3,3] W, float[{shape}] k> {{
            c = Conv <pads = [1,1,1,1]> (x, W)
            y = {operator}(c, k)
        }}
        """,
        declined="not one number for each channel",
    )


def test_one_channel_that_becomes_several_is_left_alone() -> None:
    check(
        ConvArithmeticFusion(),
        before="""
        g (float[N,3,4] x) => (float[N,5,4] y) <float[1,3,1] W, float[5,1] k> {
            c = Conv(x, W)
            y = Add(c, k)
        }
        """,
        declined="not one number for each channel",
    )


def test_a_constant_over_a_conv_is_left_alone() -> None:
    check(
        ConvArithmeticFusion(),
        before="""
        g (float[N,3,4] x) => (float[N,4,4] y) <float[4,3,1] W, float[4,1] k> {
            c = Conv(x, W)
            y = Div(k, c)
        }
        """,
    )


def test_division_by_zero_is_left_alone() -> None:
    check(
        ConvArithmeticFusion(),
        before="""
        g (float[N,3,4] x) => (float[N,4,4] y) <float[4,3,1] W, float k = {0}> {
            c = Conv(x, W)
            y = Div(c, k)
        }
        """,
        declined="zeros to divide by",
    )


def test_a_number_that_is_added_to_round_is_left_alone() -> None:
    check(
        ConvArithmeticFusion(),
        before="""
        g (float[N,3,4] x) => (float[N,4,4] y) <float[4,3,1] W, float k = {12582912.0}> {
            c = Conv(x, W)
            u = Add(c, k)
            y = Sub(u, k)
        }
        """,
        declined="added to round",
    )


def test_weights_out_of_range_are_left_alone() -> None:
    proto = model(
        """
        g (float16[N,3,4] x) => (float16[N,4,4] y) <float16[4,3,1] W, float16 k> {
            c = Conv(x, W)
            y = Mul(c, k)
        }
        """
    )
    for tensor in proto.graph.initializer:
        array = numpy_helper.to_array(tensor) * np.float16(1e3)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    check(ConvArithmeticFusion(), before=proto, declined="out of the range of float16")


@pytest.mark.parametrize("operator", ["Add", "Mul"])
def test_a_conv_that_is_read_elsewhere_is_left_alone(operator: str) -> None:
    check(
        ConvArithmeticFusion(),
        before=f"""
        g (float[N,3,4] x) => (float[N,4,4] y, float[N,4,4] c) <float[4,3,1] W, float[4,1] k> {{
            c = Conv(x, W)
            y = {operator}(c, k)
        }}
        """,
    )


def test_weights_that_are_read_elsewhere_are_not_doubled() -> None:
    check(
        ConvArithmeticFusion(),
        before="""
        g (float[N,3,4] x) => (float[N,4,4] y, float[N,4,4] z)
        <float[4,3,1] W, float[4,1] k> {
            c = Conv(x, W)
            y = Mul(c, k)
            z = Conv(x, W)
        }
        """,
        declined="the model would grow",
    )


def test_a_bias_leaves_weights_shared() -> None:
    result = check(
        ConvArithmeticFusion(),
        before="""
        g (float[N,3,4] x) => (float[N,4,4] y, float[N,4,4] z)
        <float[4,3,1] W, float[4,1] k> {
            c = Conv(x, W)
            y = Add(c, k)
            z = Conv(x, W)
        }
        """,
        after="""
        y = Conv(x, *, *)
        z = Conv(x, *)
        """,
    )
    assert len(result.proto.graph.initializer) == 2


def test_weights_that_are_computed_are_left_alone() -> None:
    check(
        ConvArithmeticFusion(),
        before="""
        g (float[N,3,4] x, float[4,3,1] W) => (float[N,4,4] y) <float[4,1] k> {
            c = Conv(x, W)
            y = Mul(c, k)
        }
        """,
    )


@pytest.mark.parametrize("bias", ["", ", B"])
def test_the_opposite_of_a_convolution(bias: str) -> None:
    check(
        ConvArithmeticFusion(),
        before=f"""
        g (float[N,3,8,8] x) => (float[N,4,6,6] y) <float[4,3,3,3] W, float[4] B> {{
            c = Conv(x, W{bias})
            y = Neg(c)
        }}
        """,
        after=f"y = Conv(x, *{', *' if bias else ''})",
    )
