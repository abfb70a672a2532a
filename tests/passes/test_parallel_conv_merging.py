from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper

from onnxforge.storage import to_array
from onnxforge.testing import check, model
from onnxforge_passes.parallel_conv_merging import ParallelConvMerging

NORM = "float[4] s, float[4] b, float[4] m, float[4] v"


@pytest.mark.parametrize("order", ["c, d", "d, c"])
@pytest.mark.parametrize("biases", [("", ""), (", A", ""), ("", ", B"), (", A", ", B")])
def test_a_kernel_of_one_goes_into_the_middle_of_another(
    biases: tuple[str, str], order: str
) -> None:
    check(
        ParallelConvMerging(),
        before=f"""
        g (float[N,3,8,8] x) => (float[N,4,8,8] y)
        <float[4,3,1,1] V, float[4] A, float[4,3,3,3] W, float[4] B> {{
            c = Conv(x, V{biases[0]})
            d = Conv <pads = [1,1,1,1]> (x, W{biases[1]})
            y = Add({order})
        }}
        """,
        after=f"y = Conv<pads=[1,1,1,1]>(x, *{', *' if any(biases) else ''})",
    )


@pytest.mark.parametrize("group", [1, 2, 4])
def test_the_branches_of_repvgg_are_one_conv(group: int) -> None:
    check(
        ParallelConvMerging(),
        before=f"""
        g (float[N,4,8,8] x) => (float[N,4,8,8] y)
        <float[4,{4 // group},1,1] V, float[4,{4 // group},3,3] W, float[4] B, {NORM}> {{
            n = BatchNormalization(x, s, b, m, v)
            c = Conv <group = {group}> (x, V)
            d = Conv <group = {group}, pads = [1,1,1,1]> (x, W, B)
            e = Add(n, c)
            y = Add(d, e)
        }}
        """,
        after=f"y = Conv<group={group}, pads=[1,1,1,1]>(x, *, *)",
    )


@pytest.mark.parametrize("group", [1, 4])
def test_a_residual_is_a_kernel_of_one(group: int) -> None:
    check(
        ParallelConvMerging(),
        before=f"""
        g (float[N,4,8] x) => (float[N,4,8] y) <float[4,{4 // group},3] W> {{
            c = Conv <group = {group}, pads = [1,1]> (x, W)
            y = Add(c, x)
        }}
        """,
        after=f"y = Conv<group={group}, pads=[1,1]>(x, *)",
    )


def test_kernels_of_one_size() -> None:
    check(
        ParallelConvMerging(),
        before="""
        g (float16[N,3,8] x) => (float16[N,4,3] y) <float16[4,3,3] V, float16[4,3,3] W> {
            c = Conv <strides = [2]> (x, V)
            d = Conv <strides = [2], auto_pad = "VALID"> (x, W)
            y = Add(c, d)
        }
        """,
        after="y = Conv<auto_pad=VALID, strides=[2]>(x, *)",
    )


def test_dilated_taps_lie_between() -> None:
    check(
        ParallelConvMerging(),
        before="""
        g (float[N,3,9,9,9] x) => (float[N,4,9,9,9] y)
        <float[4,3,3,3,1] V, float[4,3,5,3,3] W> {
            c = Conv <dilations = [2,1,1], pads = [2,1,0,2,1,0]> (x, V)
            d = Conv <pads = [2,1,1,2,1,1]> (x, W)
            y = Add(c, d)
        }
        """,
        after="y = Conv<pads=[2,1,1,2,1,1]>(x, *)",
    )


def test_an_off_center_kernel() -> None:
    check(
        ParallelConvMerging(),
        before="""
        g (float[N,3,8] x) => (float[N,4,7] y) <float[4,3,2] V, float[4,3,4] W> {
            c = Conv(x, V)
            d = Conv <pads = [2,0]> (x, W)
            y = Add(c, d)
        }
        """,
        after="y = Conv<pads=[2,0]>(x, *)",
    )


def test_sums_of_weights_are_rounded_once() -> None:
    proto = model(
        """
        g (float[1,3,8] x) => (float[1,4,8] y) <float[4,3,1] V, float[4,3,3] W> {
            c = Conv(x, V)
            d = Conv <pads = [1,1]> (x, W)
            y = Add(c, d)
        }
        """
    )
    arrays = {t.name: numpy_helper.to_array(t).astype(np.float64) for t in proto.graph.initializer}
    result = check(ParallelConvMerging(), before=proto, after="y = Conv<pads=[1,1]>(x, *)")
    (weights,) = (to_array(tensor, None) for tensor in result.to_proto().graph.initializer)
    arrays["W"][:, :, 1] += arrays["V"][:, :, 0]
    np.testing.assert_array_equal(weights, arrays["W"].astype("f4"))


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ("strides = [2]", "strides = [2], pads = [0,1]", "does not lie within"),
        ("strides = [8]", "strides = [9], pads = [1,1]", "groups or strides"),
        ("strides = [2]", 'strides = [2], auto_pad = "SAME_UPPER"', "auto_pad"),
    ],
)
def test_kernels_that_read_elsewhere_are_left_alone(first: str, second: str, reason: str) -> None:
    check(
        ParallelConvMerging(),
        before=f"""
        g (float[1,3,8] x) => (float[1,4,A] y) <float[4,3,1] V, float[4,3,3] W> {{
            c = Conv <{first}> (x, V)
            d = Conv <{second}> (x, W)
            y = Add(c, d)
        }}
        """,
        declined=reason,
    )


def test_kernels_of_which_neither_is_the_larger_are_left_alone() -> None:
    check(
        ParallelConvMerging(),
        before="""
        g (float[1,3,8,8] x) => (float[1,4,8,8] y) <float[4,3,1,3] V, float[4,3,3,1] W> {
            c = Conv <pads = [0,1,0,1]> (x, V)
            d = Conv <pads = [1,0,1,0]> (x, W)
            y = Add(c, d)
        }
        """,
        declined="does not lie within",
    )


def test_other_groups_are_left_alone() -> None:
    check(
        ParallelConvMerging(),
        before="""
        g (float[1,4,8] x) => (float[1,4,8] y) <float[4,4,1] V, float[4,1,3] W> {
            c = Conv(x, V)
            d = Conv <pads = [1,1], group = 4> (x, W)
            y = Add(c, d)
        }
        """,
        declined="groups or strides",
    )


def test_one_channel_that_is_added_to_several_is_left_alone() -> None:
    check(
        ParallelConvMerging(),
        before="""
        g (float[1,4,8] x) => (float[1,4,8] y) <float[1,4,1] V, float[4,4,3] W> {
            c = Conv(x, V)
            d = Conv <pads = [1,1]> (x, W)
            y = Add(c, d)
        }
        """,
        declined="differ in channels",
    )


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 4), (4, 1)])
def test_a_residual_that_broadcasts_is_left_alone(inputs: int, outputs: int) -> None:
    check(
        ParallelConvMerging(),
        before=f"""
        g (float[1,{inputs},8] x) => (float[1,4,8] y) <float[{outputs},{inputs},3] W> {{
            c = Conv <pads = [1,1]> (x, W)
            y = Add(c, x)
        }}
        """,
        declined="not known to have the shape",
    )


def test_a_residual_of_one_element_is_left_alone() -> None:
    check(
        ParallelConvMerging(),
        before="""
        g (float[1,4,1] x) => (float[1,4,3] y) <float[4,4,1] W> {
            c = Conv <pads = [1,1]> (x, W)
            y = Add(c, x)
        }
        """,
        declined="does not lie within",
    )


def test_a_norm_that_trains_is_left_alone() -> None:
    check(
        ParallelConvMerging(),
        before=f"""
        g (float[2,4,8] x) => (float[2,4,8] y) <float[4,4,3] W, {NORM}> {{
            n, p, q = BatchNormalization <training_mode = 1> (x, s, b, m, v)
            c = Conv <pads = [1,1]> (x, W)
            y = Add(c, n)
        }}
        """,
    )


def test_different_inputs_are_left_alone() -> None:
    check(
        ParallelConvMerging(),
        before="""
        g (float[1,4,8] x, float[1,4,8] z) => (float[1,4,8] y) <float[4,4,1] V, float[4,4,1] W> {
            c = Conv(x, V)
            d = Conv(z, W)
            y = Add(c, d)
        }
        """,
    )


def test_a_conv_that_is_read_elsewhere_is_left_alone() -> None:
    check(
        ParallelConvMerging(),
        before="""
        g (float[1,4,8] x) => (float[1,4,8] y, float[1,4,8] c)
        <float[4,4,1] V, float[4,4,1] W> {
            c = Conv(x, V)
            d = Conv(x, W)
            y = Add(c, d)
        }
        """,
    )


def test_weights_that_are_read_elsewhere_are_not_doubled() -> None:
    check(
        ParallelConvMerging(),
        before="""
        g (float[1,4,8] x, float[1,4,8] z) => (float[1,4,8] y, float[1,4,8] u)
        <float[4,4,1] V, float[4,4,1] W> {
            c = Conv(x, V)
            d = Conv(x, W)
            y = Add(c, d)
            u = Conv(z, W)
        }
        """,
        declined="the model would grow",
    )


def test_in_a_body() -> None:
    check(
        ParallelConvMerging(),
        before="""
        g (float[1,4,8] x, bool c) => (float[1,4,8] y) <float[4,4,3] W> {
            y = If (c) <
                then_branch = t () => (float[1,4,8] p) {
                    n = Conv <pads = [1,1]> (x, W)
                    p = Add(n, x)
                },
                else_branch = e () => (float[1,4,8] q) { q = Relu(x) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            p = Conv<pads=[1,1]>(x, *)
          else_branch:
            q = Relu(x)
        """,
    )
