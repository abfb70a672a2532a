"""Rules for linear algebra, and for images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st

from onnxforge.testing.operators.rules import FLOAT, rule

if TYPE_CHECKING:
    from onnxforge.testing.sketch import Sketch, Tensor


@rule("MatMul")
def _matmul(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick((FLOAT,), ranks=range(2, 5), static=(-1,))
    if x is None:
        return None
    product = None
    for _ in range(sketch.draw(st.sampled_from([1, 1, 3]))):  # as queries, keys and values are
        columns = sketch.draw(st.integers(1, 4))
        weights = sketch.constant(FLOAT, (x.shape[-1], columns))
        product = sketch.add(op_type, [x, weights], FLOAT, (*x.shape[:-1], columns))
    return product


@rule("Attention")
def _attention(sketch: Sketch, op_type: str) -> Tensor | None:
    q = sketch.pick((FLOAT,), ranks=(4,), static=(1, 2, 3), empty=False)
    if q is None:
        return None
    k = sketch.pick((FLOAT,), like=lambda t: t.shape == q.shape)
    v = sketch.pick((FLOAT,), like=lambda t: t.shape == q.shape)
    return sketch.add(op_type, [q, k, v], FLOAT, q.shape)


@rule("Einsum")
def _einsum(sketch: Sketch, op_type: str) -> Tensor | None:
    # ONNX Runtime dies of a sum over nothing.
    x = sketch.pick((FLOAT,), ranks=(2,), static=(-1,), empty=False)
    if x is None:
        return None
    rows, columns = x.shape
    other = sketch.draw(st.sampled_from([None, (columns, 3), (3, columns), (columns,)]))
    if other is None:
        kept = sketch.draw(st.sampled_from(["ij", "ji", "i", "j", ""]))
        shape = tuple({"i": rows, "j": columns}[letter] for letter in kept)
        return sketch.add(op_type, [x], FLOAT, shape, equation=f"ij->{kept}")
    term = {(columns, 3): "jk", (3, columns): "kj"}.get(other, "j")
    result = "ik" if "k" in term else sketch.draw(st.sampled_from(["i", "ij"]))
    shape = tuple({"i": rows, "j": columns, "k": 3}[letter] for letter in result)
    equation = f"ij,{term}->{result}"
    return sketch.add(op_type, [x, sketch.constant(FLOAT, other)], FLOAT, shape, equation=equation)


@rule("Gemm")
def _gemm(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick((FLOAT,), ranks=(2,), static=(-1,))
    if x is None:
        return None
    columns, flip = sketch.draw(st.integers(1, 4)), sketch.draw(st.integers(0, 1))
    weights = sketch.constant(FLOAT, (columns, x.shape[1]) if flip else (x.shape[1], columns))
    bias = sketch.draw(st.sampled_from([None, (columns,), (1, columns), ()]))
    inputs = [x, weights, *([] if bias is None else [sketch.constant(FLOAT, bias)])]
    scale = sketch.draw(st.sampled_from([1.0, 0.5]))
    return sketch.add(op_type, inputs, FLOAT, (x.shape[0], columns), transB=flip, alpha=scale)


@rule("Conv", "ConvTranspose")
def _conv(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.image()
    if x is None:
        return None
    n, c, h, w = x.shape
    group = sketch.draw(st.sampled_from([g for g in (1, 2, c) if c % g == 0]))
    out = group * sketch.draw(st.integers(1, 2))
    kernel = sketch.draw(st.sampled_from([k for k in (1, 3) if k <= min(h, w)]))
    pad = kernel // 2
    shape = (out, c // group) if op_type == "Conv" else (c, out // group)
    weights = sketch.constant(FLOAT, (*shape, kernel, kernel))
    inputs = [x, weights, *([sketch.constant(FLOAT, (out,))] if sketch.draw(st.booleans()) else [])]
    return sketch.add(
        op_type,
        inputs,
        FLOAT,
        (n, out, h, w),
        group=group,
        pads=[pad] * 4,
        kernel_shape=[kernel] * 2,
    )


@rule("MaxPool", "AveragePool")
def _pool(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.image()
    if x is None or min(x.sizes[2:]) < 2:
        return None
    n, c, h, w = x.shape
    return sketch.add(op_type, [x], FLOAT, (n, c, h - 1, w - 1), kernel_shape=[2, 2])


@rule("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.image()
    return x and sketch.add(op_type, [x], FLOAT, (*x.shape[:2], 1, 1))


@rule("BatchNormalization")
def _batch_norm(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick((FLOAT,), ranks=range(2, 5), static=(1,))
    if x is None:
        return None
    parameters = [sketch.constant(FLOAT, x.shape[1:2]) for _ in range(4)]
    return sketch.add(op_type, [x, *parameters], FLOAT, x.shape)


@rule("InstanceNormalization")
def _instance_norm(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.image()
    if x is None:
        return None
    return sketch.add(
        op_type, [x, *(sketch.constant(FLOAT, x.shape[1:2]) for _ in range(2))], FLOAT, x.shape
    )


@rule("LRN")
def _normalize(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.image()
    return x and sketch.add(op_type, [x], FLOAT, x.shape, size=3)


@rule("Resize")
def _resize(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.image()
    if x is None:
        return None
    n, c, h, w = x.shape
    scales = sketch.array(np.array([1, 1, 2, 2], np.float32))
    return sketch.add(op_type, [x, None, scales], FLOAT, (n, c, h * 2, w * 2), mode="nearest")
