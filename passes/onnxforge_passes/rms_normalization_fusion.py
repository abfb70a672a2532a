from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from onnxforge import Const, Decline, Match, Value

from .fusion import Fusion
from .normalization import number, reciprocal_root, reduced_axes, sizes, square, unit_scale

_DTYPES: dict[int, Any] = {TensorProto.FLOAT: np.float32, TensorProto.FLOAT16: np.float16}


class RmsNormalizationFusion(Fusion):
    """Divide by the root mean square of the last axes by one RMSNormalization, as of opset 23.

        x / sqrt(mean(x ** 2) + eps)

    Its scale is of ones; `NormalizationAffineFusion` puts the one that follows into it.
    """

    def pattern(self, op: Any, x: Value, axes: Const | None, eps: Const) -> Any:
        """The values divided by their root mean square."""
        mean = op.ReduceMean(square(op, x), axes, keepdims=1)
        return op.Div(x, op.any(op.Sqrt(op.Add(mean, eps)), op.Pow(op.Add(mean, eps), 0.5)))

    def pattern_reciprocal(self, op: Any, x: Value, axes: Const | None, eps: Const) -> Any:
        """The values times the reciprocal of it."""
        mean = op.ReduceMean(square(op, x), axes, keepdims=1)
        return op.Mul(x, reciprocal_root(op, mean, eps))

    def rewrite(self, op: Any, match: Match, x: Value, eps: Const) -> Any:
        """The operator, with a scale of ones."""
        if match.root.version < 23:
            raise Decline("RMSNormalization needs opset 23")
        dtype = _DTYPES.get(x.dtype or 0)
        if dtype is None:
            raise Decline("only float32 and float16 are normalized in a type as wide")
        axes = reduced_axes(match, x)
        rank = x.rank or 0
        if axes != tuple(range(axes[0], rank)):
            raise Decline("the axes are not the last ones")
        ones = unit_scale(match, sizes(x, axes), dtype)
        axis = axes[0] - rank
        return op.RMSNormalization(x, ones, axis=axis, epsilon=number(eps, x), like=match.root)
