from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from onnxforge import Const, Decline, Match, RewritePass, Value

from .weights import Array, rounded


class LeakyReluFusion(RewritePass):
    """Call one LeakyRelu where the graph spells one out, or a PRelu if the slopes differ.

        where(x > 0, x, slope * x),   max(x, slope * x) of slopes between 0 and 1
        relu(x) - slope * relu(-x),   relu(x) + (x - |x|) * slope / 2

    as torch, Keras and TensorFlow write them.
    """

    def pattern(self, op: Any, x: Value, slope: Const) -> Any:
        """The larger one."""
        return op.Max(x, op.Mul(x, slope))

    def pattern_where(self, op: Any, x: Value, slope: Const) -> Any:
        """One or the other."""
        return op.Where(op.any(op.Greater(x, 0.0), op.GreaterOrEqual(x, 0.0)), x, op.Mul(x, slope))

    def pattern_where_less(self, op: Any, x: Value, slope: Const) -> Any:
        """One or the other, asked the other way around."""
        return op.Where(op.any(op.Less(x, 0.0), op.LessOrEqual(x, 0.0)), op.Mul(x, slope), x)

    def pattern_difference(self, op: Any, x: Value, slope: Const) -> Any:
        """The positive part less that of the opposite."""
        return op.Sub(op.Relu(x), op.Mul(op.Relu(op.Neg(x)), slope))

    def pattern_sum(self, op: Any, x: Value, opposite: Const) -> Any:
        """The positive part and that of the opposite, by the opposite of the slope."""
        return op.Add(op.Relu(x), op.Mul(op.Relu(op.Neg(x)), opposite))

    def pattern_negative_part(self, op: Any, x: Value, half: Const) -> Any:
        """The positive part and twice the negative one, by half of the slope."""
        return op.Add(op.Relu(x), op.Mul(op.Sub(x, op.Abs(x)), half))

    def rewrite(
        self,
        op: Any,
        match: Match,
        x: Value,
        slope: Const | None,
        opposite: Const | None,
        half: Const | None,
    ) -> Any:
        """The operator."""
        if match.root.version < 8:
            raise Decline("before opset 8 Max does not broadcast")
        if x.dtype != TensorProto.FLOAT:
            raise Decline("ONNX Runtime has LeakyRelu for float32 alone")
        factor = -1.0 if opposite is not None else 2.0 if half is not None else 1.0
        constant = opposite or half or slope
        assert constant is not None
        slopes = factor * constant.numpy(np.float64)
        if not np.isfinite(slopes).all():
            raise Decline("a slope is infinite, or no number")
        if match.root.op_type == "Max" and not ((slopes > 0) & (slopes < 1)).all():
            raise Decline("a slope is not between 0 and 1")
        if x.rank is None or slopes.ndim > x.rank:
            raise Decline("the slopes are not known to broadcast to the input")
        if slopes.size == 1:
            return op.LeakyRelu(x, alpha=float(slopes.reshape(())), like=match.root)
        if not _broadcasts(slopes, x):
            raise Decline("the slopes are not known to broadcast to the input")
        return op.PRelu(x, rounded(slopes, np.dtype(np.float32)), like=match.root)


def _broadcasts(slopes: Array, x: Value) -> bool:
    """Whether the slopes broadcast to *x*, as they must for PRelu, and not the reverse."""
    sizes = reversed(x.shape or ())
    return all(n in (1, size) for n, size in zip(reversed(slopes.shape), sizes, strict=False))
