"""Shapes of what works element by element, or keeps its input's shape."""

from __future__ import annotations

from onnxforge.shapes.call import Call, Rules, axis_of, broadcast
from onnxforge.shapes.dims import Shape

rules: Rules[Shape] = Rules()


@rules(
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Cast", "CastLike",
    "Ceil", "Celu", "Clip", "Cos", "Cosh", "CumSum", "DequantizeLinear", "Elu", "Erf", "Exp",
    "Floor", "Gelu", "GroupNormalization", "HardSigmoid", "HardSwish", "Hardmax", "Identity",
    "InstanceNormalization", "IsInf", "IsNaN", "LRN", "LeakyRelu", "Log", "LogSoftmax",
    "LpNormalization", "MeanVarianceNormalization", "Mish", "Neg", "Not", "PRelu",
    "QuantizeLinear", "RMSNormalization", "Reciprocal", "Relu", "Round", "Scatter",
    "ScatterElements", "ScatterND", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softmax",
    "Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh", "ThresholdedRelu", "Trilu",
)  # fmt: skip
def _same(call: Call) -> list[Shape]:
    return [call.shape()]


@rules("BatchNormalization")
def _batch_normalization(call: Call) -> list[Shape | None]:
    return [call.shape(), *[None] * (call.outputs - 1)]


@rules("Dropout")
def _dropout(call: Call) -> list[Shape]:
    return [call.shape()] * 2


@rules("DynamicQuantizeLinear")
def _dynamic_quantize(call: Call) -> list[Shape]:
    return [call.shape(), (), ()]


@rules("LayerNormalization")
def _layer_normalization(call: Call) -> list[Shape]:
    shape = call.shape()
    axis = axis_of(call.integer("axis", -1), len(shape))
    statistics = (*shape[:axis], *[1] * (len(shape) - axis))
    return [shape, statistics, statistics]


@rules(
    "Add", "And", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater",
    "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "Pow",
    "Sub", "Sum", "Where", "Xor",
)  # fmt: skip
def _broadcast(call: Call) -> list[Shape]:
    if call.opset < 7 and call.op_type not in ("Max", "Mean", "Min", "Sum"):
        # The second operand was stretched to the first, along `axis` if need be.
        return [call.shape()]
    return [broadcast(*(call.shape(index) for index in range(len(call.inputs))))]
