from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from onnxforge import Const, Decline, Match, Value

from .normalization import (
    Standardization,
    number,
    reciprocal_root,
    reduced_axes,
    sizes,
    square,
    unit_scale,
)

_DTYPES: dict[int, Any] = {TensorProto.FLOAT: np.float32, TensorProto.FLOAT16: np.float16}


class LayerNormalizationFusion(Standardization):
    """Normalize the last axes by one LayerNormalization, as of opset 17.

        (x - mean(x)) / sqrt(mean((x - mean(x)) ** 2) + eps)

    Its scale is of ones; `NormalizationAffineFusion` puts those that follow into it.  float64 is
    left as it is, for LayerNormalization computes its statistics in float32.
    """

    def pattern_tensorflow(
        self,
        op: Any,
        x: Value,
        axes: Const | None,
        axes2: Const | None,
        eps: Const,
        scale: Const,
        bias: Const,
    ) -> Any:
        """With scale and bias, multiplied out as TensorFlow's batchnorm does."""
        mean = op.ReduceMean(x, axes, keepdims=1)
        variance = op.ReduceMean(square(op, op.Sub(x, mean)), axes2, keepdims=1)
        k = op.Mul(reciprocal_root(op, variance, eps), scale)
        return op.Add(op.Mul(x, k), op.Sub(bias, op.Mul(mean, k)))

    def pattern_flax(
        self,
        op: Any,
        x: Value,
        axes: Const | None,
        axes2: Const | None,
        eps: Const,
        scale: Const,
        bias: Const,
    ) -> Any:
        """With the standard deviation and the scale multiplied first, as Flax writes it."""
        d = op.Sub(x, op.ReduceMean(x, axes, keepdims=1))
        variance = op.ReduceMean(square(op, d), axes2, keepdims=1)
        return op.Add(op.Mul(d, op.Mul(reciprocal_root(op, variance, eps), scale)), bias)

    def rewrite(
        self,
        op: Any,
        match: Match,
        x: Value,
        eps: Const,
        scale: Const | None,
        bias: Const | None,
    ) -> Any:
        """The operator, with a scale of ones if there is none."""
        if match.root.version < 17:
            raise Decline("LayerNormalization needs opset 17")
        dtype = _DTYPES.get(x.dtype or 0)
        if dtype is None:
            raise Decline("only float32 and float16 are normalized in a type as wide")
        axes = reduced_axes(match, x)
        rank = x.rank or 0
        if axes != tuple(range(axes[0], rank)):
            raise Decline("the axes are not the last ones")
        shape = sizes(x, axes)
        options = {"axis": axes[0] - rank, "epsilon": number(eps, x), "like": match.root}
        if scale is not None and bias is not None:
            if not scale.shape == bias.shape == shape:
                raise Decline("scale and bias have not the normalized shape")
            return op.LayerNormalization(x, scale, bias, **options)
        return op.LayerNormalization(x, unit_scale(match, shape, dtype), **options)
