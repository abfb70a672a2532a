from __future__ import annotations

from typing import Any

import numpy as np

from onnxforge import Const, Decline, Match, Node, Value

from .fusion import Fusion
from .weights import Array, require_no_rounding, require_own, rounded

_Shape = tuple[int, ...]


class NormalizationAffineFusion(Fusion):
    """Put the constants that scale and shift a normalization into its own scale and bias.

        k * (scale * n + bias) + c  =  (k * scale) * n + (k * bias + c)

    That is for LayerNormalization, InstanceNormalization and RMSNormalization, which has no bias.
    The constants have to have the shape of the scale, one number for each normalized element or
    channel; new ones are computed in float64 and rounded once.
    """

    def pattern(self, op: Any, x: Value, scale: Const, bias: Const | None, k: Const) -> Any:
        """A normalization that is scaled."""
        return op.Mul(_normalization(op, x, scale, bias), k)

    def pattern_rms(self, op: Any, x: Value, scale: Const, k: Const) -> Any:
        """One without bias that is scaled."""
        return op.Mul(op.RMSNormalization(x, scale), k)

    def pattern_add(self, op: Any, x: Value, scale: Const, bias: Const | None, k: Const) -> Any:
        """A normalization that is shifted."""
        return op.Add(_normalization(op, x, scale, bias), k)

    def rewrite(
        self, op: Any, match: Match, x: Value, scale: Const, bias: Const | None, k: Const
    ) -> Any:
        """The normalization with its new scale and bias."""
        norm, arithmetic = match.nodes
        shape, padded = _shapes(norm, x)
        if scale.shape != shape or (bias is not None and bias.shape != shape):
            raise Decline("scale and bias broadcast")
        if k.shape is None or (1,) * (len(padded) - len(k.shape)) + k.shape != padded:
            raise Decline("the constant has not the shape of the scale")
        combine = _Combination(op, match, shape)
        if arithmetic.op_type == "Add":
            require_no_rounding(k.numpy(np.float64), k.numpy().dtype)
            parameters = [scale, combine(bias, k, 0, np.add)]
        else:
            parameters = [combine(scale, k, 1, np.multiply)]
            if bias is not None:
                parameters.append(combine(bias, k, None, np.multiply))
        return getattr(op, norm.op_type)(x, *parameters, like=norm)


class _Combination:
    """Makes one parameter of two."""

    def __init__(self, op: Any, match: Match, shape: _Shape) -> None:
        self.op, self.match, self.shape = op, match, shape

    def __call__(self, first: Value | None, second: Value, unit: Any, operation: Any) -> Any:
        """What *operation* makes of the two; the second itself if the first is all *unit*."""
        a = None if first is None else first.numpy(np.float64)
        exact = second.numpy(np.float64).reshape(self.shape)
        dtype = second.numpy().dtype
        if a is None or (unit is not None and (a == unit).all()):
            if second.shape == self.shape:
                return second
            require_own(self.match, second)
            return second.numpy().reshape(self.shape)
        if not a.any():
            return first  # a bias of zeros stays one, whatever scales it
        require_own(self.match, first)
        with np.errstate(all="ignore"):
            combined: Array = operation(a, exact)
        return rounded(combined, dtype)


def _normalization(op: Any, x: Value, scale: Const, bias: Const | None) -> Any:
    return op.any(op.LayerNormalization(x, scale, bias), op.InstanceNormalization(x, scale, bias))


def _shapes(norm: Node, x: Value) -> tuple[_Shape, _Shape]:
    """The shape of a parameter, and that which broadcasts it to *x*."""
    shape = x.shape
    if not shape:
        raise Decline("the rank is not known, or 0")
    if norm.op_type == "InstanceNormalization":
        axes = slice(1, 2)
        after = len(shape) - 2
    else:
        axes = slice(norm.attribute("axis") % len(shape), None)
        after = 0
    own = tuple(each for each in shape[axes] if isinstance(each, int))
    before = len(shape) - after - len(own)
    if len(own) != len(shape[axes]):
        raise Decline("the normalized sizes are not known numbers")
    return own, (1,) * before + own + (1,) * after
