from __future__ import annotations

from typing import Any

import numpy as np

from onnxforge import Const, Match, RewritePass, Value

from .weights import along_outputs, channels, require_own, rounded, scale_and_shift, scaled


class ConvBatchNormFusion(RewritePass):
    """Fold an inference-mode BatchNormalization into the Conv or ConvTranspose that feeds it.

    BatchNormalization scales and shifts each output channel by constants, which the convolution's
    own weights and bias can absorb:

        k = scale / sqrt(var + epsilon)        W' = k * W        B' = k * (B - mean) + bias

    The new weights are computed in float64 and rounded once, to the type the old ones have.
    Weights that another node reads, too, are left alone: each would get a copy of its own.
    """

    def pattern(
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
        """A BatchNormalization that reads a convolution."""
        conv = op.any(op.Conv(x, W, B), op.ConvTranspose(x, W, B))
        return op.BatchNormalization(conv, scale, bias, mean, var, training_mode=0)

    def rewrite(self, op: Any, match: Match, x: Value, W: Const, B: Const | None) -> Any:
        """The convolution with its new weights and bias."""
        require_own(match, W)
        conv, norm = match.nodes
        W_ = W.numpy()
        count = channels(conv, W_)
        B_ = B.numpy(np.float64) if B is not None else np.zeros(count)
        k, shift = scale_and_shift(norm, conv.output, W_.ndim, 1, count)
        with np.errstate(all="ignore"):  # `rounded` looks at what came of it
            shift = shift + k * B_
        weights = scaled(W_, along_outputs(k, conv, W_))
        return getattr(op, conv.op_type)(x, weights, rounded(shift, W_.dtype), like=conv)
