"""Shape functions for ONNX Runtime's own operators, which ONNX knows no schema of.

Source: ContribOperators.md of ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TypeAlias

from onnx import NodeProto, TensorProto, TypeProto, helper

from onnxforge.shapes.call import KnownInput, broadcast
from onnxforge.shapes.custom import ShapeFunction, register
from onnxforge.shapes.dims import Shape
from onnxforge.shapes.refine import output_shapes
from onnxforge.shapes.types import dtype_of, shape_of, tensor_type

MICROSOFT = "com.microsoft"
Types: TypeAlias = Sequence[TypeProto | None]
"""Of the inputs or the outputs of a node, in order."""


def _like_first(_: NodeProto, inputs: Types) -> Types:
    return inputs[:1]


def _skip_normalization(_: NodeProto, inputs: Types) -> Types:
    # Output, mean, inverse deviation, and the sum that was normalized.
    return [inputs[0], None, None, inputs[0]]


def _as(op_type: str, node: NodeProto, inputs: Types) -> Shape | None:
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    known = [KnownInput(shape_of(type), dtype_of(type)) for type in inputs]
    return output_shapes(op_type, "", attributes, 21, known)[0]


def _fused_conv(node: NodeProto, inputs: Types) -> Types:
    return [tensor_type(dtype_of(inputs[0]), _as("Conv", node, inputs[:2]))]


def _fused_gemm(node: NodeProto, inputs: Types) -> Types:
    return [tensor_type(dtype_of(inputs[0]), _as("Gemm", node, inputs[:2]))]


def _fused_matmul(node: NodeProto, inputs: Types) -> Types:
    flags = {a.name: a.i for a in node.attribute if a.type == a.INT}
    left, right = shape_of(inputs[0]), shape_of(inputs[1])
    if left is None or right is None or min(len(left), len(right)) < 2:
        return []
    if flags.get("transBatchA") or flags.get("transBatchB"):
        return [tensor_type(dtype_of(inputs[0]), (None,) * max(len(left), len(right)))]
    rows = left[-1] if flags.get("transA") else left[-2]
    columns = right[-2] if flags.get("transB") else right[-1]
    return [tensor_type(dtype_of(inputs[0]), (*broadcast(left[:-2], right[:-2]), rows, columns))]


def _quantized_matmul(node: NodeProto, inputs: Types) -> Types:
    shape = _as("MatMul", node, inputs[:2])
    scale = inputs[2] if len(inputs) > 2 else None
    return [tensor_type(dtype_of(scale) or TensorProto.FLOAT, shape)]


def _dynamic_quantize_matmul(node: NodeProto, inputs: Types) -> Types:
    return [tensor_type(dtype_of(inputs[0]), _as("MatMul", node, inputs[:2]))]


def _dynamic_quantize_lstm(node: NodeProto, inputs: Types) -> Types:
    sequence, weights = shape_of(inputs[0]), shape_of(inputs[1])
    hidden = [a.i for a in node.attribute if a.name == "hidden_size"]
    if sequence is None or weights is None or len(sequence) != 3 or len(weights) != 3 or not hidden:
        return []
    state = (weights[0], sequence[1], hidden[0])
    shapes = [(sequence[0], *state), state, state]
    return [tensor_type(dtype_of(inputs[0]), shape) for shape in shapes]


def _matmul_n_bits(node: NodeProto, inputs: Types) -> Types:
    shape = shape_of(inputs[0])
    columns = [a.i for a in node.attribute if a.name == "N"]
    if shape is None or not columns:
        return []
    return [tensor_type(dtype_of(inputs[0]), (*shape[:-1], columns[0]))]


def _multi_head_attention(_: NodeProto, inputs: Types) -> Types:
    q, v = shape_of(inputs[0]), shape_of(inputs[2] if len(inputs) > 2 else None)
    if q is None or len(q) != 3 or v is None:
        return []
    if len(v) == 4:  # heads apart
        heads, size = v[1], v[3]
        width = None if heads is None or size is None else heads * size
    else:
        width = v[2]
    return [tensor_type(dtype_of(inputs[0]), (*q[:2], width))]


def _packed_attention(node: NodeProto, inputs: Types) -> Types:
    x, weights = shape_of(inputs[0]), shape_of(inputs[1])
    widths = [a.ints for a in node.attribute if a.name == "qkv_hidden_sizes"]
    if x is None or len(x) != 3:
        return []
    width = widths[0][2] if widths else None
    if not widths and weights is not None and isinstance(weights[-1], int):
        width = weights[-1] // 3
    return [tensor_type(dtype_of(inputs[0]), (*x[:2], width))]


def _quantized_binary(_: NodeProto, inputs: Types) -> Types:
    left, right = shape_of(inputs[0]), shape_of(inputs[3] if len(inputs) > 3 else None)
    if left is None or right is None:
        return [tensor_type(dtype_of(inputs[0]), None)]
    return [tensor_type(dtype_of(inputs[0]), broadcast(left, right))]


def _quantize(node: NodeProto, inputs: Types) -> Types:
    zero_point = inputs[2] if len(inputs) > 2 else None
    dtype = dtype_of(zero_point) if len(node.input) > 2 else TensorProto.UINT8
    return [tensor_type(dtype, shape_of(inputs[0]))]


def _dequantize(_: NodeProto, inputs: Types) -> Types:
    return [tensor_type(dtype_of(inputs[1]), shape_of(inputs[0]))]


def _register(op_type: str, function: ShapeFunction, domain: str = MICROSOFT) -> None:
    def tolerant(node: NodeProto, inputs: Types) -> Types:
        # Nodes that are wrong in themselves trip over what should be there, anywhere.
        with suppress(ArithmeticError, LookupError, TypeError, ValueError):
            return function(node, inputs)
        return []

    register(domain, op_type, tolerant)


for _op_type in (
    "BiasAdd", "BiasDropout", "BiasGelu", "BiasSoftmax", "FastGelu", "Gelu", "GroupNorm",
    "QLinearLeakyRelu", "QLinearSigmoid", "QLinearSoftmax", "QuickGelu",
    "RotaryEmbedding",
):  # fmt: skip
    _register(_op_type, _like_first)
for _op_type in ("SkipLayerNormalization", "SkipSimplifiedLayerNormalization"):
    _register(_op_type, _skip_normalization)
for _domain in ("", MICROSOFT):
    _register("SimplifiedLayerNormalization", _like_first, _domain)
_register("Attention", _packed_attention)
_register("DynamicQuantizeLSTM", _dynamic_quantize_lstm)
_register("DynamicQuantizeMatMul", _dynamic_quantize_matmul)
_register("FusedConv", _fused_conv)
_register("FusedGemm", _fused_gemm)
_register("FusedMatMul", _fused_matmul)
_register("MatMulIntegerToFloat", _quantized_matmul)
_register("MatMulNBits", _matmul_n_bits)
_register("MultiHeadAttention", _multi_head_attention)
_register("QLinearAdd", _quantized_binary)
_register("QLinearMul", _quantized_binary)
_register("QuantizeLinear", _quantize)
_register("DequantizeLinear", _dequantize)
