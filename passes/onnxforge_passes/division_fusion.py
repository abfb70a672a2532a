from __future__ import annotations

from typing import Any

from onnx import TensorProto

from onnxforge import Decline, Match, Value

from .fusion import Fusion


class DivisionFusion(Fusion):
    """Divide where the reciprocal is multiplied with.

        x * (1 / y)  =  x / y

    So a root mean square is divided by in the way in which ONNX Runtime knows the normalization it
    belongs to, and makes one operator of it.
    """

    def pattern(self, op: Any, x: Value, y: Value) -> Any:
        """A product with a reciprocal."""
        return op.Mul(x, op.any(op.Reciprocal(y), op.Div(1.0, y)))

    def rewrite(self, op: Any, match: Match, x: Value, y: Value) -> Any:
        """The quotient."""
        if match.root.version < 7:
            raise Decline("before opset 7 operators broadcast by other rules")
        if x.dtype not in (TensorProto.FLOAT, TensorProto.DOUBLE):
            raise Decline("ONNX Runtime divides only float32 and float64 without a Cast")
        if x.is_constant:
            raise Decline("a constant may be merged with other factors")
        if x.producer in match.nodes:
            raise Decline("it is the square of a reciprocal")
        return op.Div(x, y, like=match.root)
