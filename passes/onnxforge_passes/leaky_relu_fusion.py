from __future__ import annotations

from typing import Any

from onnx import TensorProto

from onnxforge import Const, Decline, Match, RewritePass, Value


class LeakyReluFusion(RewritePass):
    """Call one LeakyRelu where the graph spells one out.

    max(x, alpha * x) of an alpha between 0 and 1,   where(x > 0, x, alpha * x)
    """

    def pattern(self, op: Any, x: Value, alpha: Const) -> Any:
        """The larger one."""
        return op.Max(x, op.Mul(x, alpha))

    def pattern_where(self, op: Any, x: Value, alpha: Const) -> Any:
        """One or the other."""
        return op.Where(op.any(op.Greater(x, 0.0), op.GreaterOrEqual(x, 0.0)), x, op.Mul(x, alpha))

    def pattern_where_less(self, op: Any, x: Value, alpha: Const) -> Any:
        """One or the other, asked the other way around."""
        return op.Where(op.any(op.Less(x, 0.0), op.LessOrEqual(x, 0.0)), op.Mul(x, alpha), x)

    def rewrite(self, op: Any, match: Match, x: Value, alpha: Const) -> Any:
        """The operator."""
        if match.root.version < 8:
            raise Decline("before opset 8 Max does not broadcast")
        if x.dtype != TensorProto.FLOAT:
            raise Decline("ONNX Runtime has LeakyRelu for float32 alone")
        array = alpha.numpy()
        if array.size != 1 or x.rank is None or array.ndim > x.rank:
            raise Decline("alpha is not one number")
        slope = float(array.reshape(()))
        if not 0 < slope < 1:
            raise Decline("alpha is not between 0 and 1")
        return op.LeakyRelu(x, alpha=slope)
