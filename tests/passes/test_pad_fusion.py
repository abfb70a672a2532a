from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto

from onnxforge import Model, PassManager
from onnxforge.testing import check, model
from onnxforge_passes.pad_fusion import PadFusion

PADS = "int64[8] p = {0,0,1,2,0,0,3,0}"


@pytest.mark.parametrize("attributes", ["", "<pads = [1,0,0,2]>", '<auto_pad = "VALID">'])
@pytest.mark.parametrize("fill", ["", ", z", ", n"])
def test_a_conv_pads_by_itself(fill: str, attributes: str) -> None:
    pads = "2,2,3,2" if "pads" in attributes else "1,2,3,0"
    check(
        PadFusion(),
        before=f"""
        g (float[N,3,7,7] x) => (float[N,4,A,B] y)
        <float[4,3,3,3] W, float[4] b, {PADS}, float z = {{0}}, float n = {{-0.0}}> {{
            q = Pad(x, p{fill})
            y = Conv {attributes} (q, W, b)
        }}
        """,
        after=f"y = Conv<pads=[{pads}]>(x, *, *)",
    )


def test_axes_say_where_to_pad() -> None:
    check(
        PadFusion(),
        before="""
        g (float[N,3,7,7] x) => (float[N,4,A,B] y)
        <float[4,3,3,3] W, int64[4] p = {1,2,3,4}, int64[2] a = {-1,2}> {
            q = Pad(x, p, , a)
            y = Conv(q, W)
        }
        """,
        after="y = Conv<pads=[2,1,4,3]>(x, *)",
        opset=18,
    )


@pytest.mark.parametrize("opset", [7, 10])
def test_pads_were_an_attribute(opset: int) -> None:
    check(
        PadFusion(),
        before="""
        g (float[N,3,7] x) => (float[N,4,A] y) <float[4,3,3] W> {
            q = Pad <pads = [0,0,1,0,0,2]> (x)
            y = Conv(q, W)
        }
        """,
        after="y = Conv<pads=[1,2]>(x, *)",
        opset=opset,
    )


def test_weights_may_be_computed() -> None:
    check(
        PadFusion(),
        before=f"""
        g (float[1,3,7,7] x, float[4,3,3,3] W) => (float[1,4,A,B] y) <{PADS}> {{
            q = Pad(x, p)
            y = Conv(q, W)
        }}
        """,
        after="y = Conv<pads=[1,2,3,0]>(x, W)",
    )


@pytest.mark.parametrize(
    ("own", "count", "pads"),
    [("", 0, "1,0,0,2"), ("", 1, "1,0,0,2"), ("pads=[1,1,1,0],", 1, "2,1,1,2")],
)
def test_an_average_pool_counts_the_zeros(own: str, count: int, pads: str) -> None:
    check(
        PadFusion(),
        before=f"""
        g (float[N,3,7,7] x) => (float[N,3,A,B] y) <int64[8] p = {{0,0,1,0,0,0,0,2}}> {{
            q = Pad(x, p)
            y = AveragePool <kernel_shape=[3,3], {own} count_include_pad={count}> (q)
        }}
        """,
        after=f"y = AveragePool<count_include_pad=1, kernel_shape=[3,3], pads=[{pads}]>(x)",
    )


def test_a_max_pool_pads_with_minus_infinity() -> None:
    proto = model(
        """
        g (float[N,3,7,7] x) => (float[N,3,A,B] y) <int64[8] p = {0,0,1,0,0,0,0,2}, float z> {
            q = Pad(x, p, z)
            y = MaxPool <kernel_shape=[3,3], strides=[2,2]> (q)
        }
        """
    )
    set_infinite(proto, "z")
    check(
        PadFusion(),
        before=proto,
        after="y = MaxPool<kernel_shape=[3,3], pads=[1,0,0,2], strides=[2,2]>(x)",
    )


def set_infinite(proto: ModelProto, name: str) -> None:
    for tensor in proto.graph.initializer:
        if tensor.name == name:
            tensor.raw_data = np.array(-np.inf, "f4").tobytes()


@pytest.mark.parametrize(
    ("pad", "node", "reason"),
    [
        ("Pad(x, p)", "MaxPool <kernel_shape=[4,4]> (q)", "does not pad with this number"),
        ("Pad(x, p, five)", "Conv(q, W)", "does not pad with this number"),
        ("Pad(x, minus)", "Conv(q, W)", "takes away"),
        ("Pad(x, batch)", "Conv(q, W)", "samples or channels"),
        ("Pad(x, channel)", "Conv(q, V)", "samples or channels"),
        ("Pad(x, p)", 'Conv <auto_pad="SAME_UPPER"> (q, W)', "auto_pad"),
        ("Pad(x, p)", "AveragePool <kernel_shape=[3,3]> (q)", "in the padding alone"),
        (
            "Pad(x, p)",
            "AveragePool <kernel_shape=[6,6], pads=[1,1,1,1]> (q)",
            "but not what it adds itself",
        ),
    ],
)
def test_other_padding_is_left_alone(pad: str, node: str, reason: str) -> None:
    check(
        PadFusion(),
        before=f"""
        g (float[1,3,7,7] x) => (float[A,B,C,D] y)
        <float[4,3,3,3] W, float[4,5,3,3] V, {PADS}, float five = {{5}},
         int64[8] minus = {{0,0,1,-1,0,0,0,0}}, int64[8] batch = {{1,0,0,0,0,0,0,0}},
         int64[8] channel = {{0,1,0,0,0,1,0,0}}> {{
            q = {pad}
            y = {node}
        }}
        """,
        declined=reason,
    )


@pytest.mark.parametrize("mode", ["reflect", "edge"])
def test_other_modes_are_left_alone(mode: str) -> None:
    check(
        PadFusion(),
        before=f"""
        g (float[1,3,7,7] x) => (float[1,4,A,B] y) <float[4,3,3,3] W, {PADS}> {{
            q = Pad <mode = "{mode}"> (x, p)
            y = Conv(q, W)
        }}
        """,
    )


def test_a_pool_that_rounds_up_is_left_alone() -> None:
    check(
        PadFusion(),
        before="""
        g (float[1,3,7,7] x) => (float[1,3,A,B] y) <int64[8] p = {0,0,1,1,0,0,0,0}> {
            q = Pad(x, p)
            y = AveragePool <kernel_shape=[3,3], strides=[2,2], ceil_mode=1> (q)
        }
        """,
    )


def test_the_places_of_the_maxima_are_those_in_what_was_padded() -> None:
    proto = model(
        """
        g (float[1,3,7,7] x) => (float[1,3,A,B] y, int64[1,3,A,B] i)
        <int64[8] p = {0,0,1,1,0,0,0,0}, float z> {
            q = Pad(x, p, z)
            y, i = MaxPool <kernel_shape=[3,3]> (q)
        }
        """
    )
    set_infinite(proto, "z")
    check(PadFusion(), before=proto)


def test_a_pad_with_two_readers_is_left_alone() -> None:
    check(
        PadFusion(),
        before=f"""
        g (float[1,3,7,7] x) => (float[1,4,A,B] y, float[1,3,C,D] z)
        <float[4,3,3,3] W, {PADS}> {{
            q = Pad(x, p)
            y = Conv(q, W)
            z = Relu(q)
        }}
        """,
    )


def test_pads_that_are_not_constant_are_left_alone() -> None:
    subject = Model(
        model(
            """
            g (float[1,3,7,7] x, int64[8] p) => (float[1,4,A,B] y) <float[4,3,3,3] W> {
                q = Pad(x, p)
                y = Conv(q, W)
            }
            """
        )
    )
    assert PassManager([PadFusion()]).run(subject).changes == 0


def test_in_a_body() -> None:
    check(
        PadFusion(),
        before="""
        g (float16[1,3,7] x, bool c) => (float16[1,4,7] y)
        <float16[4,3,3] W, int64[6] p = {0,0,1,0,0,1}> {
            y = If (c) <
                then_branch = t () => (float16[1,4,7] a) { q = Pad(x, p) a = Conv(q, W) },
                else_branch = e () => (float16[1,4,7] b) { b = Conv <pads = [1,1]> (x, W) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            a = Conv<pads=[1,1]>(x, *)
          else_branch:
            b = Conv<pads=[1,1]>(x, *)
        """,
    )


MAX = """
g ({dtype}[1,3,8,8] x) => ({dtype}[1,3,?,?] y) <int64[8] p = {{0,0,1,1,0,0,1,1}}> {{
    r = {maker}(x)
    q = Pad(r, p)
    y = MaxPool <kernel_shape=[3,3], strides=[2,2]> (q)
}}
"""


@pytest.mark.parametrize("dtype", ["float", "float16"])
def test_zeros_are_no_maximum_where_nothing_is_less(dtype: str) -> None:
    check(
        PadFusion(),
        before=MAX.format(dtype=dtype, maker="Relu"),
        after="""
        r = Relu(x)
        y = MaxPool<kernel_shape=[3,3], pads=[1,1,1,1], strides=[2,2]>(r)
        """,
    )
    check(PadFusion(), before=MAX.format(dtype=dtype, maker="LeakyRelu"), declined="pad with this")


@pytest.mark.parametrize("size", [2, 3])
def test_a_window_that_steps_over_all_but_padding_has_a_maximum_too(size: int) -> None:
    before = f"""
    g (float[1,1,{size}] x) => (float[1,1,?] y) <int64[6] p = {{0,0,1,0,0,1}}> {{
        r = Relu(x)
        q = Pad(r, p)
        y = MaxPool <kernel_shape=[2], dilations=[3]> (q)
    }}
    """
    if size < 3:
        check(PadFusion(), before=before, declined="may skip")
    else:
        after = "r = Relu(x)\ny = MaxPool<dilations=[3], kernel_shape=[2], pads=[1,1]>(r)"
        check(PadFusion(), before=before, after=after)
