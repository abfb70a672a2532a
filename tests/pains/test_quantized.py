from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import onnxforge
from onnxforge import Model
from onnxforge.testing import model
from onnxforge.verify import Baseline
from pains.promises import all_keep, nodes, optimized, outputs

FLOAT8 = TensorProto.FLOAT8E4M3FN


def size(proto: onnx.ModelProto) -> int:
    return len(proto.SerializeToString())


def test_quantized_weights_stay_quantized():
    """F71, A24: dq_weight_big; the file must not grow four times."""
    proto = model(
        """g (float[N,256] x) => (float[N,256] y)
        <int8[256,256] W, float s = {0.02}, int8 z = {3}>
        { w = DequantizeLinear(W, s, z) y = MatMul(x, w) }"""
    )
    results = optimized(proto)
    all_keep(results, DequantizeLinear=1)
    for name, result in results.items():
        assert size(result) <= size(proto), name


def test_weights_quantized_by_channel_stay_quantized_ahead_of_a_convolution():
    """F71: qdq_per_channel_weight_conv."""
    results = optimized(
        """g (float[N,3,6,6] x) => (float[N,4,4,4] y)
        <int8[4,3,3,3] W, float[4] s, int8[4] z, float[4] b>
        { w = DequantizeLinear<axis=0>(W, s, z) y = Conv(x, w, b) }"""
    )
    all_keep(results, DequantizeLinear=1)


def test_normalization_does_not_undo_the_quantization_of_weights():
    """F71: Conv+BN across DequantizeLinear may rescale the scale, and nothing else."""
    proto = model(
        """g (float[N,8,6,6] x) => (float[N,16,4,4] y)
        <int8[16,8,3,3] W, float[16] s, int8[16] z, float[16] g, float[16] b, float[16] m,
         float[16] v>
        { w = DequantizeLinear<axis=0>(W, s, z) c = Conv(x, w)
          y = BatchNormalization(c, g, b, m, v) }"""
    )
    results = optimized(proto)
    all_keep(results, DequantizeLinear=1)
    for name, result in results.items():
        assert size(result) <= size(proto), name


def test_pairs_of_quantization_are_barriers():
    """F71: qdq_relu_chain."""
    results = optimized(
        """g (float[N,8] x) => (float[N,8] y)
        <float s = {0.05}, uint8 z = {128}, float t = {0.02}, uint8 u = {0}>
        { a = QuantizeLinear(x, s, z) b = DequantizeLinear(a, s, z) c = Relu(b)
          d = QuantizeLinear(c, t, u) e = DequantizeLinear(d, t, u)
          f = QuantizeLinear(e, t, u) y = DequantizeLinear(f, t, u) }"""
    )
    for name, result in results.items():
        for operator in ("QuantizeLinear", "DequantizeLinear"):
            assert nodes(result, operator), name


def test_a_constant_quantized_dynamically_keeps_its_numbers():
    """F71: dynamic_quantize_const."""
    optimized(
        """g (float[N,4] x) => (float[N,4] y) <float[4,4] W>
        { q, s, z = DynamicQuantizeLinear(W) w = DequantizeLinear(q, s, z) y = MatMul(x, w) }"""
    )


def test_a_constant_quantized_dynamically_may_be_an_output():
    """F71."""
    optimized(
        """g (float[N,4] x) => (float[N,4] y, uint8[4,4] q, float s, uint8 z) <float[4,4] W>
        { q, s, z = DynamicQuantizeLinear(W) y = MatMul(x, W) }"""
    )


def test_weights_of_four_bits_stay_so():
    """A24, B47: int4_dq_blocked."""
    proto = model(
        """g (float[N,64] x) => (float[N,16] y) <float[2,16] s>
        { w = DequantizeLinear<axis=0, block_size=32>(W, s) y = MatMul(x, w) }""",
        opset=21,
    )
    values = np.random.default_rng(0).integers(-8, 8, (64, 16))
    weight = helper.make_tensor("W", TensorProto.INT4, [64, 16], values.reshape(-1))
    results = optimized(proto, W=weight)
    all_keep(results, DequantizeLinear=1)
    for name, result in results.items():
        assert weight in result.graph.initializer, name


def test_eight_bit_floats_are_opaque_bytes():
    """B47: fp8_zero_points_qdq; 'no supported data type: 17'."""
    proto = model(
        """g (float[N,4] x) => (float[N,4] y) <float s = {0.5}>
        { i = Identity(x) q = QuantizeLinear(i, s, z) y = DequantizeLinear(q, s, z) }""",
        opset=19,
    )
    zero = helper.make_tensor("z", FLOAT8, [], b"\0", raw=True)
    results = optimized(proto, z=zero)
    for name, result in results.items():
        assert zero in result.graph.initializer, name


@pytest.mark.parametrize(
    "data_type", [TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT4E2M1, TensorProto.UINT4]
)
def test_tensors_of_types_numpy_does_not_know_pass_through(data_type: int):
    """B47."""
    proto = model("g (float[2] x) => (float[2] y) { i = Identity(x) y = Relu(i) }")
    odd = proto.graph.initializer.add(name="odd", data_type=data_type, dims=[2])
    odd.raw_data = b"\1" if data_type in (TensorProto.FLOAT4E2M1, TensorProto.UINT4) else b"\1\2"
    kept = odd.SerializeToString()
    proto.graph.node.append(helper.make_node("Mystery", ["odd"], ["m"], domain="d"))
    proto.graph.output.append(helper.make_value_info("m", onnx.TypeProto()))
    proto.opset_import.append(helper.make_opsetid("d", 1))
    for name, result in optimized(proto, compare=None).items():
        assert [each.SerializeToString() for each in result.graph.initializer] == [kept], name


def test_the_scales_of_a_resize_stay_single_precision():
    """F72: in a model of float16."""
    optimized(
        """g (float16[1,1,4,4] x) => (float16[1,1,8,8] y) <float[4] s = {1, 1, 2, 2}>
        { a = Identity(x) r = Resize<mode="nearest">(a, , s) y = Relu(r) }"""
    )


def test_float16_in_bodies_stays_float16():
    """F72: #304, bodies with types of their own."""
    optimized(
        """g (float16[3] x, bool c) => (float[3] y) <float16[3] k>
        { i = Identity(x)
          t = If(c) <then_branch = t () => (float16[3] a) <float16[3] m = {1, 2, 3}>
                       { a = Mul(i, m) },
                     else_branch = e () => (float16[3] b) { b = Add(i, k) }>
          y = Cast<to=1>(t) }"""
    )


def test_float16_sums_are_not_folded_to_other_numbers():
    """F72: what is folded is computed in the type it is in."""
    optimized(
        """g (float16[3] x) => (float16[3] y)
        { c = Add(a, b) d = Mul(c, b) y = Add(x, d) }""",
        a=np.array([1000, 0.001, 60000], "f2"),
        b=np.array([0.4, 0.0001, 60000], "f2"),
    )


def test_opset_7_and_its_attributes_are_understood():
    """F76: opset7_bn_and_old_attrs."""
    proto = onnx.parser.parse_model(
        """<ir_version: 3, opset_import: ["" : 7]>
        g (float[2,3,4,4] x) => (float[2,3] y)
        { c = Conv<kernel_shape=[2,2], strides=[2,2]>(x, W) n = BatchNormalization(c, s, b, m, v)
          d = Dropout<ratio=0.5>(n) p = AveragePool<kernel_shape=[2,2]>(d)
          q = Squeeze<axes=[2,3]>(p) u = Unsqueeze<axes=[0]>(q) z = Squeeze<axes=[0]>(u)
          y = Softmax(z) }"""
    )
    random = np.random.default_rng(0)
    weights = {"W": (3, 3, 2, 2), "s": (3,), "b": (3,), "m": (3,), "v": (3,)}
    for name, shape in weights.items():
        array = random.uniform(0.5, 1.5, shape).astype("f4")
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        proto.graph.input.append(helper.make_tensor_value_info(name, 1, shape))
    for name, result in optimized(proto).items():
        assert len(result.graph.input) == 6, name
        assert all(each.version == 7 for each in result.opset_import if not each.domain), name


@pytest.mark.parametrize("opset", [7, 8, 9, 10, 11, 12, 13, 15])
def test_every_opset_since_7_keeps_its_meaning_and_its_number(opset: int):
    """F75, F76: nothing is converted on the way."""
    results = optimized(
        """g (float[2,3,4,4] x) => (float[2,3,4,4] y)
        <float[3,3,1,1] W, float[3] s, float[3] b, float[3] m, float[3] v, int64[4] r = {2,3,4,4}>
        { c = Conv(x, W) n = BatchNormalization(c, s, b, m, v) i = Identity(n)
          e = Reshape(i, r) y = Relu(e) }""",
        opset=opset,
    )
    for name, result in results.items():
        assert all(each.version == opset for each in result.opset_import if not each.domain), name


def test_a_resize_without_region_keeps_its_empty_inputs():
    """F76: resize_empty_roi."""
    optimized(
        """g (float[1,1,4,4] x) => (float[1,1,8,8] y, float[1,1,2,2] z)
        <float[0] roi = {}, float[0] none = {}, float[4] s = {1, 1, 2, 2}, int64[4] t = {1,1,2,2}>
        { y = Resize(x, roi, s) z = Resize(x, roi, none, t) }""",
        opset=11,
    )


def test_scales_and_shapes_computed_from_shapes_stay_exact():
    """F76: the sizes of a Resize as torch exports them."""
    optimized(
        """g (float[1,1,H,V] x) => (float[] y)
        <int64[1] zero = {0}, int64[1] two = {2}, int64[1] end = {4}, float[2] k = {2, 2}>
        { s = Shape(x) c = Slice(s, zero, two) d = Slice(s, two, end) f = Cast<to=1>(d)
          g = Mul(f, k) h = Floor(g) i = Cast<to=7>(h) j = Concat<axis=0>(c, i)
          y = Resize<mode="nearest">(x, , , j) }"""
    )


def test_the_baseline_of_a_comparison_is_without_optimizations():
    """A23, A24: ONNX Runtime's own rewrites are no error of ours, and hide none."""
    proto = model(
        """g (float[N,64] x) => (float[N,64] y) <int8[64,64] W, float s = {0.02}>
        { w = DequantizeLinear(W, s) i = Identity(x) y = MatMul(i, w) }"""
    )
    result = onnxforge.optimize(proto, verify="edits")
    assert result.report is not None
    assert not result.report.refused
    assert Baseline(Model(proto)).compare(result).is_equivalent
    x = {"x": np.ones((2, 64), "f4")}
    np.testing.assert_array_equal(outputs(proto, [x])[0], outputs(result.to_proto(), [x])[0])
