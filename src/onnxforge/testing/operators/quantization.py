"""Rules for operators that quantize."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st
from onnx import TensorProto

from onnxforge.testing.operators.rules import FLOAT, rule

if TYPE_CHECKING:
    from onnxforge.testing.sketch import Sketch, Tensor


@rule("QuantizeLinear")
def _quantize(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick((FLOAT,))
    if x is None:
        return None
    scale, zero = sketch.array(np.float32(0.25)), sketch.array(np.int8(3))
    return sketch.add(op_type, [x, scale, zero], TensorProto.INT8, x.shape)


@rule("DequantizeLinear")
def _dequantize(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick((TensorProto.INT8,))
    if x is None:
        shape = sketch.draw(st.sampled_from([(), (3,), (2, 3)]))
        x = sketch.constant(TensorProto.INT8, shape, low=-9, high=9)
    scale, zero = sketch.array(np.float32(0.5)), sketch.array(np.int8(-1))
    return sketch.add(op_type, [x, scale, zero], FLOAT, x.shape)


@rule("DynamicQuantizeLinear")
def _dynamic(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick((FLOAT,), empty=False)
    extra = [(FLOAT, ()), (TensorProto.UINT8, ())]
    return x and sketch.add(op_type, [x], TensorProto.UINT8, x.shape, extra=extra)
