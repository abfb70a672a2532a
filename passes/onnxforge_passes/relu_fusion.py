from __future__ import annotations

from typing import Any

from onnx import TensorProto

from onnxforge import Const, Decline, Match, RewritePass, Value

from .scalar import scalar


class ReluFusion(RewritePass):
    """Call one Relu, or one ThresholdedRelu, where the graph spells one out.

        max(x, 0) = where(x <= 0, 0, x) = relu(x),   where(x > alpha, x, 0) = thresholded(x)

    What is no number Relu keeps as it is, and ThresholdedRelu takes for 0, as these do.
    """

    def pattern(self, op: Any, x: Value) -> Any:
        """The larger one."""
        return op.Max(x, 0.0)

    def pattern_where(self, op: Any, x: Value, alpha: Const) -> Any:
        """One or the other."""
        return op.Where(op.Greater(x, alpha), x, 0.0)

    def pattern_where_less(self, op: Any, x: Value) -> Any:
        """One or the other, asked the other way around."""
        return op.Where(op.LessOrEqual(x, 0.0), 0.0, x)

    def rewrite(self, op: Any, match: Match, x: Value, alpha: Const | None) -> Any:
        """The operator."""
        if x.is_constant:
            raise Decline("it is constant, and may be folded")
        if x.dtype != TensorProto.FLOAT:
            raise Decline("ONNX Runtime has ThresholdedRelu for float32 alone")
        if alpha is None:
            return op.Relu(x, like=match.root)
        if match.root.version < 10:
            raise Decline("ThresholdedRelu needs opset 10")
        return op.ThresholdedRelu(x, alpha=scalar(alpha, x), like=match.root)
