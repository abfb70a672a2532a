from __future__ import annotations

import numpy as np
import onnx
import pytest

from onnxforge.testing import model
from pains.promises import optimized


@pytest.mark.parametrize(
    "graph",
    [
        pytest.param(text, id=f"D58-{name}")
        for name, text in {
            "constantofshape_big": """g (float[256,256] x) => (float[256,256] y)
                <int64[2] s = {256, 256}> { c = ConstantOfShape(s) y = Add(x, c) }""",
            "expand_const_big": """g (float[256,256] x) => (float[256,256] y)
                <float k = {2}, int64[2] s = {256, 256}> { c = Expand(k, s) y = Add(x, c) }""",
            "tile_const_big": """g (float[256,256] x) => (float[256,256] y)
                <float[1,256] k, int64[2] s = {256, 1}> { c = Tile(k, s) y = Add(x, c) }""",
            "outer_product_big": """g (float[256,256] x) => (float[256,256] y)
                <float[256,1] a, float[1,256] b> { c = Mul(a, b) y = Add(x, c) }""",
        }.items()
    ],
)
def test_what_is_small_to_compute_is_not_made_large_to_store(graph: str):
    for name, result in optimized(graph).items():
        assert len(result.SerializeToString()) < 20_000, name


@pytest.mark.parametrize(
    "graph",
    [
        pytest.param(text, id=f"D59-{name}")
        for name, text in {
            "shared_weight_transpose_big": """g (float[4,128] x) => (float[4,128] y, float[4,128] z)
                <float[128,128] W>
                { t = Transpose(W) y = MatMul(x, t) z = MatMul(x, W) }""",
            "cast_fp16_weight_big": """g (float[4,128] x) => (float[4,128] y)
                <float16[128,128] W> { t = Cast<to=1>(W) y = MatMul(x, t) }""",
            "cast_int8_mul_weight_big": """g (float[4,128] x) => (float[4,128] y)
                <int8[128,128] W, float s = {0.02}>
                { t = Cast<to=1>(W) u = Mul(t, s) y = MatMul(x, u) }""",
        }.items()
    ],
)
def test_weights_are_not_stored_twice_nor_wider(graph: str):
    proto = model(graph)
    size = len(proto.SerializeToString())
    for name, result in optimized(proto).items():
        assert len(result.SerializeToString()) <= size, name


def test_a_weight_may_be_folded_if_nothing_else_reads_it():
    """D59: the net counts."""
    proto = model(
        """g (float[4,128] x) => (float[4,128] y) <float[128,128] W>
        { t = Transpose(W) y = MatMul(x, t) }"""
    )
    result = optimized(proto)["standard"]
    assert [node.op_type for node in result.graph.node] == ["MatMul"]
    assert len(result.SerializeToString()) <= len(proto.SerializeToString())


def test_rounding_of_normalized_weights_is_that_of_single_precision():
    """A5: max |dW| is half a unit in the last place of float64's result."""
    proto = model(
        """g (float[1,8,3,3] x) => (float[1,8,1,1] y)
        <float[8,8,3,3] W, float[8] s, float[8] b, float[8] m, float[8] v>
        { c = Conv(x, W) y = BatchNormalization(c, s, b, m, v) }"""
    )
    w = {each.name: onnx.numpy_helper.to_array(each) for each in proto.graph.initializer}
    result = optimized(proto)["standard"]
    found = {each.name: onnx.numpy_helper.to_array(each) for each in result.graph.initializer}
    weight = found[result.graph.node[0].input[1]]
    scale = w["s"].astype(np.float64) / np.sqrt(w["v"].astype(np.float64) + np.float32(1e-5))
    exact = w["W"].astype(np.float64) * scale.reshape(-1, 1, 1, 1)
    ulp = np.spacing(np.abs(weight))
    assert (np.abs(weight - exact) <= 0.5001 * ulp).all()
