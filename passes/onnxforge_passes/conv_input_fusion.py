from __future__ import annotations

from typing import Any

import numpy as np

from onnxforge import Const, Decline, Match, Node, RewritePass, Value

from .weights import (
    Array,
    along_inputs,
    require_broadcasting,
    require_own,
    rounded,
    scale_and_shift,
    scaled,
)


class ConvInputFusion(RewritePass):
    """Fold constants that scale the channels a Conv or ConvTranspose reads into its weights.

    That is Mul and Div with one number for each input channel, or with one for all, and
    BatchNormalization with constant parameters.  What this one adds goes into the bias, so a Conv
    must not pad then: the padding is 0 before and after.

        W * (k * x + c) + B  =  (W * k) * x + (sum(W * c) + B)

    Where a Conv pads, and an Add or Sub comes after the scale, as images are prepared, it is done
    ahead of it: W * (k * x + c) = (W * k) * (x + c / k).
    """

    def pattern(self, op: Any, x: Value, W: Const, B: Const | None, k: Const) -> Any:
        """A Conv of what was scaled."""
        return op.Conv(_scaled(op, x, k), W, B)

    def pattern_transposed(self, op: Any, x: Value, W: Const, B: Const | None, k: Const) -> Any:
        """The same with ConvTranspose."""
        return op.ConvTranspose(_scaled(op, x, k), W, B)

    def pattern_shifted(
        self, op: Any, x: Value, W: Const, B: Const | None, k: Const, c: Const
    ) -> Any:
        """A Conv of what was scaled and shifted."""
        y = _scaled(op, x, k)
        return op.Conv(op.any(op.Add(y, c), op.Sub(y, c)), W, B)

    def pattern_norm(
        self,
        op: Any,
        x: Value,
        W: Const,
        B: Const | None,
        scale: Const,
        bias: Const,
        mean: Const,
        var: Const,
    ) -> Any:
        """A Conv of what was normalized."""
        norm = op.BatchNormalization(x, scale, bias, mean, var, training_mode=0)
        return op.Conv(norm, W, B)

    def rewrite(
        self, op: Any, match: Match, x: Value, W: Const, B: Const | None, c: Const | None
    ) -> Any:
        """The convolution with its new weights and bias."""
        scaling, *shifting, conv = match.nodes
        if x.producer is not None and x.producer.op_type in ("Mul", "Div"):
            raise Decline("it may be part of an activation or normalization, which would be lost")
        require_own(match, W)
        W_ = W.numpy()
        count = W_.shape[1] * conv.attribute("group") if conv.op_type == "Conv" else len(W_)
        k, shift = scale_and_shift(scaling, x, W_.ndim, 1, count)
        if x.shape is None or len(x.shape) != W_.ndim or x.shape[1] != count:
            raise Decline("the input is not known to have the channels it is scaled to")
        if not np.isfinite(k).all():
            raise Decline("the constant has infinities, zeros to divide by, or no numbers")
        new: Any = B
        if shift.any():
            if not _is_unpadded(conv):
                raise Decline("the padding would be shifted, too")
            # W is [outputs, inputs / groups, kernel]: each group of outputs sees its own inputs.
            total = (W_ * along_inputs(shift, conv, W_)).reshape(len(W_), -1).sum(axis=1)
            new = rounded(total + (B.numpy(np.float64) if B is not None else 0), W_.dtype)
        if c is not None:
            require_broadcasting(*shifting)
            factor = next(v for v in scaling.inputs if v is not x and v is not None)
            x = getattr(op, shifting[0].op_type)(x, _unscaled(c, factor, scaling), like=shifting[0])
        convolve = getattr(op, conv.op_type)
        return convolve(x, scaled(W_, along_inputs(k, conv, W_)), new, like=conv)


def _scaled(op: Any, x: Value, k: Const) -> Any:
    return op.any(op.Mul(x, k), op.Div(x, k))


def _unscaled(c: Value, k: Value, scaling: Node) -> Array:
    """The constant to add ahead of the scaling, for that which is added after it."""
    added, factor = c.numpy(np.float64), k.numpy(np.float64)
    with np.errstate(all="ignore"):  # `rounded` looks at what came of it
        exact = added * factor if scaling.op_type == "Div" else added / factor
    if exact.size > max(added.size, factor.size):
        raise Decline("the constants are larger together")
    return rounded(exact, c.numpy().dtype)


def _is_unpadded(conv: Node) -> bool:
    auto = conv.attribute("auto_pad")
    return auto == "VALID" or (auto == "NOTSET" and not any(conv.attribute("pads") or ()))
