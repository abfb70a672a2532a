from __future__ import annotations

from typing import Any

import numpy as np

from onnxforge import Const, Decline, Match, Node, RewritePass, Value

from .weights import along_inputs, require_own, rounded, scale_and_shift


class ConvInputFusion(RewritePass):
    """Fold constants that scale the channels a Conv or ConvTranspose reads into its weights.

    That is Mul and Div with one number for each input channel, or with one for all, and
    BatchNormalization with constant parameters.  What this one adds goes into the bias, so a Conv
    must not pad then: the padding is 0 before and after.

        W * (k * x + c) + B  =  (W * k) * x + (sum(W * c) + B)
    """

    def pattern(self, op: Any, x: Value, W: Const, B: Const | None, k: Const) -> Any:
        """A Conv of what was scaled."""
        return op.Conv(_scaled(op, x, k), W, B)

    def pattern_transposed(self, op: Any, x: Value, W: Const, B: Const | None, k: Const) -> Any:
        """The same with ConvTranspose."""
        return op.ConvTranspose(_scaled(op, x, k), W, B)

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

    def rewrite(self, op: Any, match: Match, x: Value, W: Const, B: Const | None) -> Any:
        """The convolution with its new weights and bias."""
        scaling, conv = match.nodes
        if x.producer is not None and x.producer.op_type in ("Mul", "Div"):
            raise Decline("it may be part of an activation or normalization, which would be lost")
        require_own(match, W)
        W_, dtype = W.numpy(np.float64), W.numpy().dtype
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
            new = rounded(total + (B.numpy(np.float64) if B is not None else 0), dtype)
        convolve = getattr(op, conv.op_type)
        return convolve(x, rounded(W_ * along_inputs(k, conv, W_), dtype), new, like=conv)


def _scaled(op: Any, x: Value, k: Const) -> Any:
    return op.any(op.Mul(x, k), op.Div(x, k))


def _is_unpadded(conv: Node) -> bool:
    auto = conv.attribute("auto_pad")
    return auto == "VALID" or (auto == "NOTSET" and not any(conv.attribute("pads") or ()))
