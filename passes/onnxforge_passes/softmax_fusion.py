from __future__ import annotations

from typing import Any

from onnx import TensorProto

from onnxforge import Const, Decline, Match, Value

from .fusion import Fusion
from .normalization import reduced_axes


class SoftmaxFusion(Fusion):
    """Call one Softmax, or LogSoftmax, where the graph spells one out that cannot overflow.

        exp(d) / sum(exp(d)),   d - log(sum(exp(d))),   d = x - max(x)

    Without the maximum it may overflow where Softmax does not, and is left as it is; so is the
    logarithm of a Softmax, which may be infinite where LogSoftmax is not.  In float64 ONNX Runtime's
    LogSoftmax is minus infinity beside an infinity, where nothing is a number; so it is float32 alone.
    """

    def pattern(self, op: Any, x: Value, axes: Const | None, axes2: Const | None) -> Any:
        """The exponentials divided by their sum."""
        e = op.Exp(op.Sub(x, op.ReduceMax(x, axes, keepdims=1)))
        return op.Div(e, op.ReduceSum(e, axes2, keepdims=1))

    def pattern_log(self, op: Any, x: Value, axes: Const | None, axes2: Const | None) -> Any:
        """The deviations less the logarithm of the sum of their exponentials."""
        d = op.Sub(x, op.ReduceMax(x, axes, keepdims=1))
        return op.Sub(d, op.Log(op.ReduceSum(op.Exp(d), axes2, keepdims=1)))

    def rewrite(self, op: Any, match: Match, x: Value) -> Any:
        """The operator."""
        if match.root.version < 13:
            raise Decline("before opset 13 Softmax is over all axes from one on")
        if x.dtype not in (TensorProto.FLOAT, TensorProto.DOUBLE):
            raise Decline("ONNX Runtime has Softmax for float32 and float64 alone")
        if match.root.op_type == "Sub" and x.dtype == TensorProto.DOUBLE:
            raise Decline("ONNX Runtime's LogSoftmax of float64 makes numbers of infinities")
        axes = reduced_axes(match, x)
        if len(axes) != 1:
            raise Decline("Softmax is over one axis")
        softmax = op.Softmax if match.root.op_type == "Div" else op.LogSoftmax
        return softmax(x, axis=axes[0] - (x.rank or 0), like=match.root)
