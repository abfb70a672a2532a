from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from onnxforge import Const, Decline, Match, RewritePass, Value

# What ONNX Runtime clips, by the opset from which on.
_SINCE: dict[int, int] = {TensorProto.FLOAT: 7, TensorProto.DOUBLE: 12, TensorProto.FLOAT16: 12}


class ClipFusion(RewritePass):
    """Clip once where a float is bounded from below by a Max, and from above by a Min.

    In whatever order they are, one of them being a Relu perhaps.  ONNX computes
    min(max(x, low), high), which is max(min(x, high), low) only if low is not above high.
    """

    def pattern(self, op: Any, x: Value, low: Const, high: Const) -> Any:
        """From below first."""
        return op.Min(op.Max(x, low), high)

    def pattern_relu(self, op: Any, x: Value, high: Const) -> Any:
        """From below by a Relu."""
        return op.Min(op.Relu(x), high)

    def pattern_max(self, op: Any, x: Value, low: Const, high: Const) -> Any:
        """From above first."""
        return op.Max(op.Min(x, high), low)

    def pattern_relu_last(self, op: Any, x: Value, high: Const) -> Any:
        """From above first, and from below by a Relu."""
        return op.Relu(op.Min(x, high))

    def rewrite(self, op: Any, match: Match, x: Value, low: Const | None, high: Const) -> Any:
        """The operator."""
        version = match.root.version
        if version < _SINCE.get(x.dtype or 0, version + 1):
            raise Decline("ONNX Runtime has no Clip for this type at this opset")
        maker = x.producer.op_type if x.producer is not None else None
        if maker == "Relu" and x.dtype == TensorProto.DOUBLE:
            raise Decline("ONNX Runtime loads no Clip of a Relu in float64")
        upper = _number(high, x)
        lower = np.zeros((), upper.dtype) if low is None else _number(low, x)
        if not lower <= upper:
            raise Decline("the bounds cross")
        if version >= 11:
            return op.Clip(x, lower, upper)
        if not np.isfinite([lower, upper]).all():
            raise Decline("a bound is infinite")
        return op.Clip(x, min=float(lower), max=float(upper))


def _number(constant: Value, x: Value) -> Any:
    array = constant.numpy()
    if array.size != 1 or (array.ndim and (x.rank is None or array.ndim > x.rank)):
        raise Decline("a bound is not one number")
    return array.reshape(())
