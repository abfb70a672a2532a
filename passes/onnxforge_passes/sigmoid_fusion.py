from __future__ import annotations

from typing import Any

from onnx import TensorProto

from onnxforge import Decline, Match, Value

from .fusion import Fusion

_PRODUCTS = frozenset({"Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul"})
# Where what is next to nothing is not next to zero.
_STEEP = frozenset({"Log", "Pow", "Reciprocal", "Sqrt"})
# As far as one looks for such.
_MOST_VALUES = 32
_MOVES = frozenset(
    {"Expand", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
)


class SigmoidFusion(Fusion):
    """Call one Sigmoid where the graph spells out 1 / (1 + exp(-x)), or (1 + tanh(x / 2)) / 2.

    They agree where the exponential overflows, too: it is 0 there.  What is divided by
    1 + exp(-x) is multiplied by a Sigmoid.

    ONNX Runtime's Sigmoid is right to within 1e-7, which is nothing to a factor; but it is 0 below
    -18, where 1 / (1 + exp(-x)) is small, and its logarithm finite.  So that is left alone unless
    it is a factor, or taken from something, and no logarithm is taken of the product.
    """

    def pattern(self, op: Any, x: Value) -> Any:
        """One divided by."""
        return op.Div(1.0, op.Add(op.Exp(op.Neg(x)), 1.0))

    def pattern_reciprocal(self, op: Any, x: Value) -> Any:
        """The reciprocal of."""
        return op.Reciprocal(op.Add(op.Exp(op.Neg(x)), 1.0))

    def pattern_numerator(self, op: Any, x: Value, y: Value) -> Any:
        """Something else divided by."""
        return op.Div(y, op.Add(op.Exp(op.Neg(x)), 1.0))

    def pattern_tanh(self, op: Any, x: Value) -> Any:
        """As a Tanh, moved and scaled."""
        tanh = op.Tanh(op.any(op.Mul(x, 0.5), op.Div(x, 2.0)))
        half = op.any(op.Mul(tanh, 0.5), op.Div(tanh, 2.0))
        return op.Add(half, 0.5)

    def pattern_tanh_first(self, op: Any, x: Value) -> Any:
        """The same, moved ahead of scaling."""
        moved = op.Add(op.Tanh(op.any(op.Mul(x, 0.5), op.Div(x, 2.0))), 1.0)
        return op.Mul(moved, 0.5)

    def rewrite(self, op: Any, match: Match, x: Value, y: Value | None) -> Any:
        """The operator."""
        if match.root.version < 7:
            raise Decline("before opset 7 operators broadcast by other rules")
        if x.dtype not in (TensorProto.FLOAT, TensorProto.DOUBLE):
            raise Decline("ONNX Runtime has Sigmoid for float32 and float64 alone")
        is_exact = not any(node.op_type == "Tanh" for node in match.nodes)
        is_scaled = y is not None and not y.is_constant
        if is_exact and y is not x and not _is_factor(match.outputs[0], is_scaled):
            raise Decline("ONNX Runtime's Sigmoid is 0 where this is small, and no mere factor")
        gate = op.Sigmoid(x)
        if y is None:
            return gate
        if y.producer in match.nodes:
            raise Decline("what is divided is part of the divisor")
        return op.Mul(y, gate, like=match.root)


def _is_factor(value: Value, is_scaled: bool) -> bool:
    """Whether all that is done with a value is to multiply by it, or take it from something.

    If it *is_scaled*, that has been done, and only what tells the smallest numbers apart is not.
    """
    pending = [(value, is_scaled)]
    for each, scaled in pending:
        if each.is_output and not scaled:
            return False
        for node in each.consumers:
            op_type = "" if node.domain else node.op_type
            if op_type == "Mul" or op_type in _MOVES:
                becomes_scaled = scaled or op_type == "Mul"
                if not becomes_scaled or len(pending) < _MOST_VALUES:
                    pending.append((node.output, becomes_scaled))
            elif scaled:
                if op_type in _STEEP or (op_type == "Div" and node.inputs[1] is each):
                    return False
            elif op_type == "Sub":
                if node.inputs[0] is each:
                    return False
            elif op_type not in _PRODUCTS:
                return False
    return True
