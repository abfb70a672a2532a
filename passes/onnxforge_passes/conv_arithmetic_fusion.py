from __future__ import annotations

from typing import Any

import numpy as np

from onnxforge import Const, Decline, Match, RewritePass, Value

from .weights import along_outputs, channels, require_own, rounded, scale_and_shift, scaled


class ConvArithmeticFusion(RewritePass):
    """Fold constants into the Conv or ConvTranspose whose channels they scale or shift.

    That is Neg, and Add, Sub, Mul and Div with one number for each output channel, or with one for all.

        k * (W * x + B) + c  =  (k * W) * x + (k * B + c)

    The new weights are computed in float64 and rounded once, to the type the old ones have.
    """

    def pattern(self, op: Any, x: Value, W: Const, B: Const | None, k: Const) -> Any:
        """A bias for each channel."""
        return op.Add(_conv(op, x, W, B), k)

    def pattern_sub(self, op: Any, x: Value, W: Const, B: Const | None, k: Const) -> Any:
        """A bias to take away."""
        return op.Sub(_conv(op, x, W, B), k)

    def pattern_sub_from(self, op: Any, x: Value, W: Const, B: Const | None, k: Const) -> Any:
        """A constant to take the channels from."""
        return op.Sub(k, _conv(op, x, W, B))

    def pattern_mul(self, op: Any, x: Value, W: Const, B: Const | None, k: Const) -> Any:
        """A scale for each channel."""
        return op.Mul(_conv(op, x, W, B), k)

    def pattern_div(self, op: Any, x: Value, W: Const, B: Const | None, k: Const) -> Any:
        """A divisor for each channel."""
        return op.Div(_conv(op, x, W, B), k)

    def pattern_neg(self, op: Any, x: Value, W: Const, B: Const | None) -> Any:
        """The opposite."""
        return op.Neg(_conv(op, x, W, B))

    def rewrite(self, op: Any, match: Match, x: Value, W: Const, B: Const | None) -> Any:
        """The convolution with its new weights and bias."""
        conv, arithmetic = match.nodes
        W_ = W.numpy()
        count = channels(conv, W_)
        k, shift = scale_and_shift(arithmetic, conv.output, W_.ndim, 1, count)
        if not np.isfinite(k).all():
            raise Decline("the constant has infinities, zeros to divide by, or no numbers")
        if B is not None:
            shift = shift + k * B.numpy(np.float64)
        has_bias = B is not None or arithmetic.op_type not in ("Mul", "Div", "Neg")
        weights: Any = W
        if not (k == 1).all():
            require_own(match, W)
            weights = scaled(W_, along_outputs(k, conv, W_))
        convolve = getattr(op, conv.op_type)
        return convolve(x, weights, rounded(shift, W_.dtype) if has_bias else None, like=conv)


def _conv(op: Any, x: Value, W: Const, B: Const | None) -> Any:
    return op.any(op.Conv(x, W, B), op.ConvTranspose(x, W, B))
