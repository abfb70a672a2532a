from __future__ import annotations

from typing import Any

from onnx import TensorProto

from onnxforge import Const, Decline, Match, Value

from .fusion import Fusion
from .normalization import square


class ReductionFusion(Fusion):
    """Reduce by the one operator that also computes the terms, and the root of their sum.

        sqrt(sum(x ** 2)) = ReduceL2,   sum(x ** 2) = ReduceSumSquare,   sum(|x|) = ReduceL1

    A logarithm of the sum of exponentials is left as it is, for it may overflow where
    ReduceLogSumExp does not.
    """

    def pattern(self, op: Any, x: Value, axes: Const | None) -> Any:
        """A norm."""
        squares = op.ReduceSum(square(op, x), axes)
        return op.Sqrt(op.any(squares, op.ReduceSumSquare(x, axes)))

    def pattern_squares(self, op: Any, x: Value, axes: Const | None) -> Any:
        """A sum of squares."""
        return op.ReduceSum(square(op, x), axes)

    def pattern_absolutes(self, op: Any, x: Value, axes: Const | None) -> Any:
        """A sum of absolute values."""
        return op.ReduceSum(op.Abs(x), axes)

    def rewrite(self, op: Any, match: Match, x: Value, axes: Const | None) -> Any:
        """The operator."""
        if match.root.version < 7:
            raise Decline("before opset 7 operators broadcast by other rules")
        if x.dtype not in (TensorProto.FLOAT, TensorProto.DOUBLE):
            raise Decline("ONNX Runtime reduces in float32 and float64 alone")
        old = next(node for node in match.nodes if node.op_type.startswith("ReduceSum"))
        if old.attribute("noop_with_empty_axes"):
            raise Decline("without axes nothing is reduced")
        kinds = {"Sqrt": "ReduceL2", "Abs": "ReduceL1"}
        found = [kinds[node.op_type] for node in match.nodes if node.op_type in kinds]
        reduce = getattr(op, found[0] if found else "ReduceSumSquare")
        keepdims = old.attribute("keepdims")
        if match.root.version >= 18:
            return reduce(x, axes, keepdims=keepdims)
        listed = old.attribute("axes") if axes is None else axes.numpy().reshape(-1).tolist()
        return reduce(x, keepdims=keepdims, **({"axes": listed} if listed else {}))
