from __future__ import annotations

from typing import Any

from onnx import TensorProto

from onnxforge import Const, Decline, Match, Value

from .fusion import Fusion
from .scalar import scalar

# Beyond the first, log(1 + exp(x)) is x in float32; beyond the second its exponential overflows.
_LEAST, _MOST = 16.0, 88.0


class SoftplusFusion(Fusion):
    """Call one Softplus where the graph spells one out that does not overflow.

        where(x > 20, x, log(1 + exp(x)))

    Without the condition it overflows where Softplus does not, and is left as it is.
    """

    def pattern(self, op: Any, x: Value, threshold: Const) -> Any:
        """Large numbers as they are, as torch defines it."""
        return op.Where(op.Greater(x, threshold), x, _softplus(op, x))

    def pattern_less(self, op: Any, x: Value, threshold: Const) -> Any:
        """The same, asked the other way around."""
        small = op.any(op.Less(x, threshold), op.LessOrEqual(x, threshold))
        return op.Where(small, _softplus(op, x), x)

    def rewrite(self, op: Any, match: Match, x: Value, threshold: Const) -> Any:
        """The operator."""
        if x.dtype != TensorProto.FLOAT:
            raise Decline("ONNX Runtime has Softplus for float32 alone")
        if not _LEAST <= scalar(threshold, x) <= _MOST:
            raise Decline("at the threshold it is not what it is beyond")
        return op.Softplus(x, like=match.root)


def _softplus(op: Any, x: Value) -> Any:
    return op.any(op.Softplus(x), op.Log(op.Add(op.Exp(x), 1.0)))
