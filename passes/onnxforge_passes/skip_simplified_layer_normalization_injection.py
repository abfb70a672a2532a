from __future__ import annotations

from typing import Any

from onnxforge import Const, Match, Value

from .fusion import Fusion
from .normalization import number, reciprocal_root, reduced_axes, square
from .skip_layer_normalization_injection import last_axes, skipping


class SkipSimplifiedLayerNormalizationInjection(Fusion):
    """Add a residual and divide by the root mean square by ONNX Runtime's own operator for both.

    That is `com.microsoft::SkipSimplifiedLayerNormalization`; the sum may be read elsewhere, too.
    """

    def pattern(self, op: Any, x: Value, skip: Value, scale: Const) -> Any:
        """A sum, and its RMSNormalization."""
        total = op.Add(x, skip)
        return total, op.RMSNormalization(total, scale)

    def pattern_spelled(
        self, op: Any, x: Value, skip: Value, scale: Const, axes: Const | None, eps: Const
    ) -> Any:
        """A sum, and its normalization spelled out."""
        total = op.Add(x, skip)
        mean = op.ReduceMean(square(op, total), axes, keepdims=1)
        normal = op.any(
            op.Div(total, op.Sqrt(op.Add(mean, eps))),
            op.Mul(total, reciprocal_root(op, mean, eps)),
        )
        return total, op.Mul(normal, scale)

    def rewrite(
        self, op: Any, match: Match, x: Value, skip: Value, scale: Const, eps: Const | None
    ) -> Any:
        """The operator, and its fourth output, the sum."""
        total = match.outputs[0]
        epsilon = match.root.attribute("epsilon") if eps is None else number(eps, total)
        axes = last_axes(match, total) if eps is None else reduced_axes(match, total)
        name = "SkipSimplifiedLayerNormalization"
        return skipping(op, name, total, (x, skip), (scale,), axes, epsilon)
