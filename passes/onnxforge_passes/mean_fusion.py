from __future__ import annotations

from math import prod
from typing import Any

from onnx import TensorProto

from onnxforge import Const, Decline, Match, Value

from .fusion import Fusion
from .normalization import reduced_axes, sizes
from .scalar import scalar


class MeanFusion(Fusion):
    """Take a mean by one ReduceMean where a sum is divided by the number of its terms."""

    def pattern(self, op: Any, x: Value, axes: Const | None, count: Const) -> Any:
        """A sum that is divided."""
        return op.Div(op.ReduceSum(x, axes), count)

    def pattern_mul(self, op: Any, x: Value, axes: Const | None, part: Const) -> Any:
        """A sum that is multiplied."""
        return op.Mul(op.ReduceSum(x, axes), part)

    def rewrite(
        self,
        op: Any,
        match: Match,
        x: Value,
        axes: Const | None,
        count: Const | None,
        part: Const | None,
    ) -> Any:
        """The operator."""
        total, root = match.nodes
        if root.version < 7:
            raise Decline("before opset 7 operators broadcast by other rules")
        if x.dtype not in (TensorProto.FLOAT, TensorProto.DOUBLE):
            raise Decline("ONNX Runtime reduces in float32 and float64 alone")
        over = reduced_axes(match, x)
        terms = prod(sizes(x, over))
        given = count or part
        assert given is not None
        number = scalar(given, total.output)
        if abs((number if count is not None else number and 1 / number) - terms) > 1e-6 * terms:
            raise Decline("the sum is not divided by the number of its terms")
        keepdims = total.attribute("keepdims")
        if root.version >= 18:
            return op.ReduceMean(x, axes, keepdims=keepdims)
        return op.ReduceMean(x, keepdims=keepdims, axes=list(over))
