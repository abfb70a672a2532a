from __future__ import annotations

import platform

import pytest

from onnxforge.testing import check
from onnxforge_passes.conv_input_fusion import ConvInputFusion


@pytest.mark.parametrize("bias", ["", ", B"])
@pytest.mark.parametrize("shape", ["4,1,1", "1,4,1,1", "1,1,1", ""])
@pytest.mark.parametrize("operator", ["Mul(x, k)", "Mul(k, x)", "Div(x, k)"])
def test_a_scale_for_each_channel_goes_into_the_weights(
    operator: str, shape: str, bias: str
) -> None:
    constant = f"float[{shape}]" if shape else "float"
    check(
        ConvInputFusion(),
        before=f"""
        g (float[N,4,8,8] x) => (float[N,6,8,8] y)
        <float[6,4,3,3] W, float[6] B, {constant} k> {{
            s = {operator}
            y = Conv <pads = [1,1,1,1]> (s, W{bias})
        }}
        """,
        after=f"y = Conv<pads=[1,1,1,1]>(x, *{', *' if bias else ''})",
    )


@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize("op_type", ["Conv", "ConvTranspose"])
def test_groups_each_read_their_own_channels(op_type: str, group: int) -> None:
    shape = f"8,{4 // group}" if op_type == "Conv" else f"4,{8 // group}"
    check(
        ConvInputFusion(),
        before=f"""
        g (float[N,4,5] x) => (float[N,8,A] y) <float[{shape},3] W, float[4,1] k> {{
            s = Mul(x, k)
            y = {op_type} <group = {group}> (s, W)
        }}
        """,
        after=f"y = {op_type}<group={group}>(x, *)",
    )


NORM = "float[4] s, float[4] b, float[4] m, float[4] v"


UNSTEADY = pytest.mark.skipif(
    platform.machine() == "aarch64",
    reason="there ONNX Runtime 1.31 gives something else at each run: docs/arm64.md",
)


@pytest.mark.parametrize("bias", ["", ", B"])
@pytest.mark.parametrize("group", [1, pytest.param(2, marks=UNSTEADY)])
@pytest.mark.parametrize("padding", ["strides = [2]", 'auto_pad = "VALID"', "pads = [0,0]"])
def test_a_batch_norm_ahead_of_a_conv_that_does_not_pad(
    padding: str, group: int, bias: str
) -> None:
    check(
        ConvInputFusion(),
        before=f"""
        g (float16[N,4,5] x) => (float16[N,6,A] y)
        <float16[6,{4 // group},3] W, float16[6] B, {NORM.replace("float", "float16")}> {{
            n = BatchNormalization(x, s, b, m, v)
            y = Conv <group = {group}, {padding}> (n, W{bias})
        }}
        """,
        after=f"y = Conv<{_sorted(f'group={group}', padding)}>(x, *, *)",
    )


def _sorted(*attributes: str) -> str:
    written = [each.replace(" ", "").replace('"', "") for each in attributes]
    return ", ".join(sorted(written))


@pytest.mark.parametrize("padding", ["pads = [1,1]", 'auto_pad = "SAME_UPPER"'])
def test_a_batch_norm_ahead_of_padding_is_left_alone(padding: str) -> None:
    check(
        ConvInputFusion(),
        before=f"""
        g (float[N,4,5] x) => (float[N,6,A] y) <float[6,4,3] W, {NORM}> {{
            n = BatchNormalization(x, s, b, m, v)
            y = Conv <{padding}> (n, W)
        }}
        """,
        declined="padding would be shifted",
    )


def test_a_batch_norm_that_trains_is_left_alone() -> None:
    check(
        ConvInputFusion(),
        before=f"""
        g (float[N,4,5] x) => (float[N,6,A] y) <float[6,4,3] W, {NORM}> {{
            n, p, q = BatchNormalization <training_mode = 1> (x, s, b, m, v)
            y = Conv(n, W)
        }}
        """,
    )


@pytest.mark.parametrize("type_", ["float[N,1,8]", "float[N,C,8]", "float[4,8]"])
def test_an_input_not_known_to_have_the_channels_is_left_alone(type_: str) -> None:
    check(
        ConvInputFusion(),
        before=f"""
        g ({type_} x) => (float[A,6,B] y) <float[6,4,3] W, float[1,4,1] k> {{
            s = Mul(x, k)
            y = Conv(s, W)
        }}
        """,
        declined="not known to have the channels",
    )


@pytest.mark.parametrize("shape", ["5", "1,1,5", "4,5"])
def test_a_constant_along_another_axis_is_left_alone(shape: str) -> None:
    check(
        ConvInputFusion(),
        before=f"""
        g (float[N,4,5] x) => (float[N,6,3] y) <float[6,4,3] W, float[{shape}] k> {{
            s = Mul(x, k)
            y = Conv(s, W)
        }}
        """,
        declined="not one number for each channel",
    )


def test_a_constant_over_the_input_is_left_alone() -> None:
    check(
        ConvInputFusion(),
        before="""
        g (float[N,4,5] x) => (float[N,6,3] y) <float[6,4,3] W, float k> {
            s = Div(k, x)
            y = Conv(s, W)
        }
        """,
    )


def test_division_by_zero_is_left_alone() -> None:
    check(
        ConvInputFusion(),
        before="""
        g (float[N,4,5] x) => (float[N,6,3] y) <float[6,4,3] W, float k = {0}> {
            s = Div(x, k)
            y = Conv(s, W)
        }
        """,
        declined="zeros to divide by",
    )


def test_what_is_read_elsewhere_is_left_alone() -> None:
    check(
        ConvInputFusion(),
        before="""
        g (float[N,4,5] x) => (float[N,6,3] y, float[N,4,5] z) <float[6,4,3] W, float k> {
            s = Mul(x, k)
            y = Conv(s, W)
            z = Relu(s)
        }
        """,
    )


def test_weights_that_are_read_elsewhere_are_not_doubled() -> None:
    check(
        ConvInputFusion(),
        before="""
        g (float[N,4,5] x) => (float[N,6,3] y, float[N,6,3] z) <float[6,4,3] W, float k> {
            s = Mul(x, k)
            y = Conv(s, W)
            z = Conv(x, W)
        }
        """,
        declined="the model would grow",
    )


def test_in_a_body() -> None:
    check(
        ConvInputFusion(),
        before="""
        g (float[1,4,5] x, bool c) => (float[1,6,3] y) <float[6,4,3] W, float k, float[1,6,3] z> {
            y = If (c) <
                then_branch = t () => (float[1,6,3] p) { s = Mul(x, k) p = Conv(s, W) },
                else_branch = e () => (float[1,6,3] q) { q = Relu(z) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            p = Conv(x, *)
          else_branch:
            q = Relu(*)
        """,
    )


@pytest.mark.parametrize("shape", ["3,1,1", "1,1,1", "1,3,1,1"])
@pytest.mark.parametrize("shift", ["Sub(s, c)", "Add(s, c)"])
@pytest.mark.parametrize("scaling", ["Div(x, k)", "Mul(x, k)"])
def test_an_image_is_shifted_before_it_is_scaled(scaling: str, shift: str, shape: str) -> None:
    check(
        ConvInputFusion(),
        before=f"""
        g (float[N,3,8,8] x) => (float[N,4,8,8] y)
        <float[{shape}] k, float[3,1,1] c, float[4,3,3,3] W, float[4] B> {{
            s = {scaling}
            t = {shift}
            y = Conv <pads = [1,1,1,1]> (t, W, B)
        }}
        """,
        after=f"t1 = {shift[:3]}(x, *)\ny = Conv<pads=[1,1,1,1]>(t1, *, *)",
    )


@pytest.mark.parametrize(
    ("shift", "constants", "reason"),
    [
        ("Sub(c, s)", "float[3,1,1] k, float[3,1,1] c", None),
        ("Add(s, c)", "float[3,1,1] k, float[8,1] c", "larger together"),
        ("Add(s, c)", "float[1] k = {0}, float[3,1,1] c", "out of the range"),
    ],
)
def test_shifts_that_stay(shift: str, constants: str, reason: str | None) -> None:
    check(
        ConvInputFusion(),
        before=f"""
        g (float[N,3,8,8] x) => (float[N,4,8,8] y) <{constants}, float[4,3,3,3] W> {{
            s = Mul(x, k)
            t = {shift}
            y = Conv <pads = [1,1,1,1]> (t, W)
        }}
        """,
        declined=reason,
    )
