from __future__ import annotations

from typing import Any

from onnx import TensorProto

from onnxforge import Decline, Match, Value

from .fusion import Fusion


class SigmoidFusion(Fusion):
    """Call one Sigmoid where the graph spells out 1 / (1 + exp(-x)).

    The two agree where the exponential overflows, too: both are 0 there.
    """

    def pattern(self, op: Any, x: Value) -> Any:
        """One divided by."""
        return op.Div(1.0, op.Add(op.Exp(op.Neg(x)), 1.0))

    def pattern_reciprocal(self, op: Any, x: Value) -> Any:
        """The reciprocal of."""
        return op.Reciprocal(op.Add(op.Exp(op.Neg(x)), 1.0))

    def rewrite(self, op: Any, match: Match, x: Value) -> Any:
        """The operator."""
        if match.root.version < 7:
            raise Decline("before opset 7 operators broadcast by other rules")
        if x.dtype not in (TensorProto.FLOAT, TensorProto.DOUBLE):
            raise Decline("ONNX Runtime has Sigmoid for float32 and float64 alone")
        return op.Sigmoid(x)
