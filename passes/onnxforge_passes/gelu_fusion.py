from __future__ import annotations

from math import pi, sqrt
from typing import Any

from onnx import TensorProto

from onnxforge import Decline, Match, Value

from .fusion import Fusion


class GeluFusion(Fusion):
    """Call one Gelu, as of opset 20, where the graph spells one out.

        0.5 * x * (1 + erf(x / sqrt(2)))
        0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3)))

    in whatever order the factors are.
    """

    def pattern(self, op: Any, x: Value) -> Any:
        """Halved in the end, as the TorchScript exporter writes it."""
        return op.Mul(op.Mul(x, _gate(op, x)), 0.5)

    def pattern_div(self, op: Any, x: Value) -> Any:
        """Divided by two in the end."""
        return op.Div(op.Mul(x, _gate(op, x)), 2.0)

    def pattern_half_first(self, op: Any, x: Value) -> Any:
        """The input halved, as the dynamo exporter writes it."""
        return op.Mul(_half(op, x), _gate(op, x))

    def pattern_half_gate(self, op: Any, x: Value) -> Any:
        """The factor halved, as TensorFlow writes it."""
        halved = op.Add(_half(op, _sigmoid_like(op, x)), 0.5)
        return op.Mul(x, op.any(_half(op, _gate(op, x)), halved))

    def rewrite(self, op: Any, match: Match, x: Value) -> Any:
        """The operator."""
        if match.root.version < 20:
            raise Decline("Gelu needs opset 20")
        if x.dtype != TensorProto.FLOAT:
            raise Decline("ONNX Runtime has Gelu for float32 alone")
        is_exact = any(node.op_type == "Erf" for node in match.nodes)
        return op.Gelu(x, approximate="none" if is_exact else "tanh", like=match.root)


def _half(op: Any, x: Any) -> Any:
    return op.any(op.Mul(x, 0.5), op.Div(x, 2.0))


def _gate(op: Any, x: Value) -> Any:
    return op.Add(_sigmoid_like(op, x), 1.0)


def _sigmoid_like(op: Any, x: Value) -> Any:
    scaled = op.any(op.Div(x, sqrt(2)), op.Mul(x, sqrt(0.5)))
    squared = op.any(op.Mul(x, x), op.Pow(x, 2.0))
    cubed = op.any(op.Pow(x, 3.0), op.Mul(x, squared))
    slope = op.Add(op.any(op.Mul(squared, 0.044715), op.Mul(op.Mul(x, 0.044715), x)), 1.0)
    c = sqrt(2 / pi)
    return op.any(
        op.Erf(scaled),
        op.Tanh(op.Mul(op.Add(x, op.Mul(cubed, 0.044715)), c)),
        op.Tanh(op.Mul(op.Mul(x, c), slope)),
        op.Tanh(op.Mul(x, op.Mul(slope, c))),
        op.Tanh(op.Mul(op.Mul(x, slope), c)),
    )
