"""What rules are registered in, and the names they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from onnx import TensorProto

if TYPE_CHECKING:
    from onnxforge.testing.sketch import Sketch, Tensor

Rule = Callable[["Sketch"], "Tensor | None"]
RULES: dict[str, Rule] = {}

FLOAT, FLOAT16 = TensorProto.FLOAT, TensorProto.FLOAT16
INT64, INT32, BOOL = TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL
FLOATS = (FLOAT, FLOAT16)
NUMBERS = (FLOAT, FLOAT16, INT32, INT64)

UNARY = [
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "Ceil",
    "Cos",
    "Cosh",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "Log",
    "Mish",
    "Neg",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
    "Celu",
]
BINARY = ("Add", "Div", "Max", "Mean", "Min", "Mul", "PRelu", "Pow", "Sub", "Sum")
COMPARISONS = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
LOGIC = ("And", "Or", "Xor")
BITS = ("BitwiseAnd", "BitwiseOr", "BitwiseXor", "Mod")
REDUCTIONS = [
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
]


def rule(*op_types: str) -> Callable[[Callable[[Sketch, str], Tensor | None]], None]:
    """Register a function of the sketch and the operator's name."""

    def add(function: Callable[[Sketch, str], Tensor | None]) -> None:
        for op_type in op_types:
            RULES[op_type] = lambda sketch, op_type=op_type: function(sketch, op_type)  # type: ignore[misc]  # binds the loop's variable

    return add
