from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from onnxforge import Model, PassManager
from onnxforge.storage import to_array
from onnxforge.testing import check, model
from onnxforge_passes.conv_batch_norm_fusion import ConvBatchNormFusion

NORM = "float[4] s, float[4] b, float[4] m, float[4] v"


def test_batch_norm_folds_into_the_conv_before_it() -> None:
    result = check(
        ConvBatchNormFusion(),
        before=f"""
        g (float[N,3,8,8] x) => (float[N,4,6,6] y) <float[4,3,3,3] W, {NORM}> {{
            c = Conv(x, W)
            n = BatchNormalization(c, s, b, m, v)
            y = Relu(n)
        }}
        """,
        after="""
        n = Conv(x, *, *)
        y = Relu(n)
        """,
    )
    assert len(result.proto.graph.initializer) == 2


def test_the_weights_are_computed_in_double_precision_and_rounded_once() -> None:
    proto = model(
        f"""
        g (float[1,3,8,8] x) => (float[1,4,6,6] y) <float[4,3,3,3] W, float[4] B, {NORM}> {{
            c = Conv(x, W, B)
            y = BatchNormalization <epsilon = 0.01> (c, s, b, m, v)
        }}
        """
    )
    arrays = {t.name: numpy_helper.to_array(t).astype(np.float64) for t in proto.graph.initializer}
    result = check(ConvBatchNormFusion(), before=proto, after="y = Conv(x, *, *)")
    k = arrays["s"] / np.sqrt(arrays["v"] + np.float64(np.float32(0.01)))
    weights, bias = (to_array(tensor, None) for tensor in result.to_proto().graph.initializer)
    np.testing.assert_array_equal(
        weights, (arrays["W"] * k[:, None, None, None]).astype(np.float32)
    )
    exact = k * (arrays["B"] - arrays["m"]) + arrays["b"]
    np.testing.assert_array_equal(bias, exact.astype(np.float32))


def test_a_batch_norm_that_is_the_output_leaves_its_name() -> None:
    check(
        ConvBatchNormFusion(),
        before=f"""
        g (float[N,3,8] x) => (float[N,4,6] y) <float[4,3,3] W, float[4] B, {NORM}> {{
            c = Conv(x, W, B)
            y = BatchNormalization(c, s, b, m, v)
        }}
        """,
        after="y = Conv(x, *, *)",
    )


def test_three_dimensions() -> None:
    check(
        ConvBatchNormFusion(),
        before=f"""
        g (float[N,3,5,6,7] x) => (float[N,4,3,4,5] y) <float[4,3,3,3,3] W, {NORM}> {{
            c = Conv(x, W)
            y = BatchNormalization(c, s, b, m, v)
        }}
        """,
        after="y = Conv(x, *, *)",
    )


@pytest.mark.parametrize(("group", "inputs"), [(2, 6), (4, 4)], ids=["grouped", "depthwise"])
def test_groups_keep_their_attributes(group: int, inputs: int) -> None:
    check(
        ConvBatchNormFusion(),
        before=f"""
        g (float[1,{inputs},8,8] x) => (float[1,4,4,4] y) <float[4,{inputs // group},3,3] W, {NORM}>
        {{
            c = Conv <group = {group}, pads = [1, 1, 1, 1], strides = [2, 2]> (x, W)
            y = BatchNormalization(c, s, b, m, v)
        }}
        """,
        after=f"y = Conv<group={group}, pads=[1,1,1,1], strides=[2,2]>(x, *, *)",
    )


@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize("bias", ["", ", B"])
def test_a_transposed_conv_has_its_output_channels_within_each_group(group: int, bias: str) -> None:
    attributes = f"group={group}, output_padding=[1,1], strides=[2,2]"
    check(
        ConvBatchNormFusion(),
        before=f"""
        g (float[1,8,4,4] x) => (float[1,4,10,10] y) <float[8,{4 // group},3,3] W, float[4] B, {NORM}>
        {{
            c = ConvTranspose <{attributes}> (x, W{bias})
            y = BatchNormalization(c, s, b, m, v)
        }}
        """,
        after=f"y = ConvTranspose<{attributes}>(x, *, *)",
    )


@pytest.mark.parametrize("kernel", ["3", "3,3,3"])
def test_a_transposed_conv_of_one_and_three_dimensions(kernel: str) -> None:
    size = kernel.replace("3", "4")
    out = kernel.replace("3", "6")
    check(
        ConvBatchNormFusion(),
        before=f"""
        g (float[1,2,{size}] x) => (float[1,4,{out}] y) <float[2,4,{kernel}] W, {NORM}> {{
            c = ConvTranspose(x, W)
            y = BatchNormalization(c, s, b, m, v)
        }}
        """,
        after="y = ConvTranspose(x, *, *)",
    )


def test_half_precision() -> None:
    check(
        ConvBatchNormFusion(),
        before="""
        g (float16[N,3,8,8] x) => (float16[N,4,6,6] y)
        <float16[4,3,3,3] W, float16[4] s, float16[4] b, float16[4] m, float16[4] v> {
            c = Conv(x, W)
            y = BatchNormalization(c, s, b, m, v)
        }
        """,
        after="y = Conv(x, *, *)",
    )


def test_parameters_of_another_type_leave_the_type_of_the_weights() -> None:
    result = check(
        ConvBatchNormFusion(),
        before=f"""
        g (float16[N,3,8,8] x) => (float16[N,4,6,6] y) <float16[4,3,3,3] W, {NORM}> {{
            c = Conv(x, W)
            y = BatchNormalization(c, s, b, m, v)
        }}
        """,
        after="y = Conv(x, *, *)",
    )
    types = {tensor.data_type for tensor in result.proto.graph.initializer}
    assert types == {onnx.TensorProto.FLOAT16}


def test_inside_a_body_with_weights_from_outside() -> None:
    check(
        ConvBatchNormFusion(),
        before=f"""
        g (float[1,3,8] x, bool c) => (float[1,4,6] y) <float[4,3,3] W, float[4,3,3] V, {NORM}> {{
            y = If (c) <
                then_branch = t () => (float[1,4,6] p) {{
                    n = Conv(x, W)
                    p = BatchNormalization(n, s, b, m, v)
                }},
                else_branch = e () => (float[1,4,6] q) {{ q = Conv(x, V) }}
            >
        }}
        """,
        after="""
        y = If(c)
          then_branch:
            p = Conv(x, *, *)
          else_branch:
            q = Conv(x, *)
        """,
    )


def test_a_conv_does_not_move_into_a_body_which_may_run_it_often() -> None:
    check(
        ConvBatchNormFusion(),
        before=f"""
        g (float[1,3,8] x, int64 i, bool k) => (float[I,1,4,6] y) <float[4,3,3] W, {NORM}> {{
            c = Conv(x, W)
            y = Loop (i, k) <
                body = l (int64 j, bool kin) => (bool kout, float[1,4,6] p) {{
                    kout = Identity(kin)
                    p = BatchNormalization(c, s, b, m, v)
                }}
            >
        }}
        """,
    )


def test_inside_a_function_whose_constants_are_nodes() -> None:
    scalars = " ".join(f"{n} = Constant <value = float[2] {{1.5, 0.5}}> ()" for n in "sbmv")
    result = check(
        ConvBatchNormFusion(),
        before=f"""
        <ir_version: 10, opset_import: ["" : 17, "my" : 1]>
        g (float[1,1,4] x) => (float[1,2,4] y) {{ y = my.Block(x) }}
        <domain: "my", opset_import: ["" : 17]>
        Block (x) => (y) {{
            W = Constant <value = float[2,1,1] {{2.0, 3.0}}> ()
            {scalars}
            c = Conv(x, W)
            y = BatchNormalization(c, s, b, m, v)
        }}
        """,
        after="y = my.Block(x)",
        unchecked="type",
    )
    found = [node.op_type for node in result.proto.functions[0].node]
    assert found == ["Constant", "Constant", "Conv"]


def test_convs_that_share_weights_keep_them() -> None:
    check(
        ConvBatchNormFusion(),
        before=f"""
        g (float[1,3,8] x) => (float[1,4,6] y, float[1,4,6] z, float[1,4,6] u)
        <float[4,3,3] W, {NORM}, float[4] s2, float[4] b2, float[4] m2, float[4] v2> {{
            c = Conv(x, W)
            y = BatchNormalization(c, s, b, m, v)
            d = Conv(x, W)
            z = BatchNormalization(d, s2, b2, m2, v2)
            u = Conv(x, W)
        }}
        """,
        declined="the model would grow",
    )


@pytest.mark.parametrize("opset", [7, 8, 9, 13, 14, 15, 22])
def test_any_opset_from_seven_on(opset: int) -> None:
    check(
        ConvBatchNormFusion(),
        before=f"""
        g (float[1,3,8] x) => (float[1,4,6] y) <float[4,3,3] W, {NORM}> {{
            c = Conv(x, W)
            y = BatchNormalization(c, s, b, m, v)
        }}
        """,
        after="y = Conv(x, *, *)",
        opset=opset,
    )


def test_training_is_left_alone() -> None:
    check(
        ConvBatchNormFusion(),
        before=f"""
        g (float[2,3,8] x) => (float[2,4,6] y) <float[4,3,3] W, {NORM}> {{
            c = Conv(x, W)
            y, m1, v1 = BatchNormalization <training_mode = 1> (c, s, b, m, v)
        }}
        """,
        opset=15,
    )


def test_statistics_that_are_read_are_left_alone() -> None:
    check(
        ConvBatchNormFusion(),
        before=f"""
        g (float[2,3,8] x) => (float[2,4,6] y, float[4] m1, float[4] v1) <float[4,3,3] W, {NORM}> {{
            c = Conv(x, W)
            y, m1, v1 = BatchNormalization <training_mode = 1> (c, s, b, m, v)
        }}
        """,
        opset=15,
    )


def unrun(before: str, opset: int) -> str:
    """The reason the pass gives where ONNX Runtime has no kernel to compare with."""
    subject = Model(model(before, opset=opset))
    report = PassManager([ConvBatchNormFusion()]).run(subject)
    assert report.changes == 0
    (reason,) = [reason for step in report.steps for reason in step.declined]
    return reason


def test_before_opset_14_asking_for_statistics_is_training() -> None:
    reason = unrun(
        f"""
        g (float[2,3,8] x) => (float[2,4,6] y) <float[4,3,3] W, {NORM}> {{
            c = Conv(x, W)
            y, m1, v1, m2, v2 = BatchNormalization(c, s, b, m, v)
        }}
        """,
        opset=9,
    )
    assert "training mode" in reason


def test_before_opset_7_training_is_the_default() -> None:
    reason = unrun(
        f"""
        g (float[2,3,8] x) => (float[2,4,6] y) <float[4,3,3] W, {NORM}> {{
            c = Conv(x, W)
            y = BatchNormalization(c, s, b, m, v)
        }}
        """,
        opset=6,
    )
    assert "training mode" in reason


def test_statistics_of_every_element_are_left_alone() -> None:
    reason = unrun(
        f"""
        g (float[2,3,8] x) => (float[2,4,6] y) <float[4,3,3] W, {NORM}> {{
            c = Conv(x, W)
            y = BatchNormalization <spatial = 0> (c, s, b, m, v)
        }}
        """,
        opset=8,
    )
    assert "spatial=0" in reason


def test_parameters_of_another_length_are_left_alone() -> None:
    reason = unrun(
        """
        g (float[2,3,8] x) => (float[2,4,6] y)
        <float[4,3,3] W, float[1] s, float[1] b, float[1] m, float[1] v> {
            c = Conv(x, W)
            y = BatchNormalization(c, s, b, m, v)
        }
        """,
        opset=15,
    )
    assert "one parameter for each channel" in reason


@pytest.mark.parametrize("bad", [-1.0, float("nan")])
def test_a_variance_without_a_root_is_left_alone(bad: float) -> None:
    proto = model(
        f"""
        g (float[1,3,8] x) => (float[1,4,6] y) <float[4,3,3] W, {NORM}> {{
            c = Conv(x, W)
            y = BatchNormalization(c, s, b, m, v)
        }}
        """
    )
    set_constant(proto, "v", [1, bad, 1, 1])
    check(ConvBatchNormFusion(), before=proto, declined="out of the range of float32")


@pytest.mark.parametrize(
    ("scale", "weight"), [(1e3, 100.0), (1e-5, 1e-3)], ids=["overflow", "underflow"]
)
def test_weights_that_half_precision_cannot_hold_are_left_alone(
    scale: float, weight: float
) -> None:
    proto = model(
        f"""
        g (float16[1,1,3] x) => (float16[1,4,3] y) <float16[4,1,1] W, {NORM}> {{
            c = Conv(x, W)
            y = BatchNormalization(c, s, b, m, v)
        }}
        """
    )
    set_constant(proto, "s", [scale] * 4)
    set_constant(proto, "W", np.full((4, 1, 1), weight))
    check(ConvBatchNormFusion(), before=proto, declined="out of the range of float16")


def set_constant(proto: onnx.ModelProto, name: str, data: object) -> None:
    for tensor in proto.graph.initializer:
        if tensor.name == name:
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
            tensor.CopyFrom(numpy_helper.from_array(np.asarray(data, dtype), name))


@pytest.mark.parametrize("output", ["c", "z"])
def test_a_conv_that_is_read_elsewhere_is_left_alone(output: str) -> None:
    check(
        ConvBatchNormFusion(),
        before=f"""
        g (float[1,3,8] x) => (float[1,4,6] y, float[1,4,6] {output}) <float[4,3,3] W, {NORM}> {{
            c = Conv(x, W)
            y = BatchNormalization(c, s, b, m, v)
            z = Relu(c)
        }}
        """,
    )


@pytest.mark.parametrize("name", ["W", "B", "s", "b", "m", "v"])
def test_parameters_a_caller_may_set_are_left_alone(name: str) -> None:
    """An initializer that is an input too is only a default."""
    proto = model(
        f"""
        g (float[1,3,8] x) => (float[1,4,6] y) <float[4,3,3] W, float[4] B, {NORM}> {{
            c = Conv(x, W, B)
            y = BatchNormalization(c, s, b, m, v)
        }}
        """
    )
    (tensor,) = [tensor for tensor in proto.graph.initializer if tensor.name == name]
    proto.graph.input.append(
        onnx.helper.make_tensor_value_info(name, tensor.data_type, tensor.dims)
    )
    check(ConvBatchNormFusion(), before=proto)


def test_quantized_weights_are_left_alone() -> None:
    check(
        ConvBatchNormFusion(),
        before=f"""
        g (float[1,3,8] x) => (float[1,4,6] y) <int8[4,3,3] Q, float q = {{0.1}}, {NORM}> {{
            W = DequantizeLinear(Q, q)
            c = Conv(x, W)
            y = BatchNormalization(c, s, b, m, v)
        }}
        """,
    )
