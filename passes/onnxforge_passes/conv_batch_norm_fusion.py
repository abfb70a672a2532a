from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from onnxforge import Const, Decline, Match, Node, RewritePass, Value


class ConvBatchNormFusion(RewritePass):
    """Fold an inference-mode BatchNormalization into the Conv or ConvTranspose that feeds it.

    BatchNormalization scales and shifts each output channel by constants, which the convolution's
    own weights and bias can absorb:

        k = scale / sqrt(var + epsilon)        W' = k * W        B' = k * (B - mean) + bias

    The new weights are computed in float64 and rounded once, to the type the old ones have.
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

    def rewrite(
        self,
        op: Any,
        match: Match,
        x: Value,
        W: Const,
        B: Const | None,
        scale: Const,
        bias: Const,
        mean: Const,
        var: Const,
    ) -> Any:
        """The convolution with its new weights and bias."""
        conv, norm = match.nodes
        # Before opset 7 training was the default; until 14, asking for statistics turned it on.
        if norm.version < 7 or any(output.name for output in norm.outputs[1:]):
            raise Decline("the BatchNormalization is in training mode")
        if norm.attribute("spatial") == 0:
            raise Decline("the BatchNormalization has statistics for every element (spatial=0)")
        W_, scale_, bias_, mean_, var_ = (v.numpy(np.float64) for v in (W, scale, bias, mean, var))
        B_ = B.numpy(np.float64) if B is not None else np.zeros_like(mean_)
        if {a.shape for a in (scale_, bias_, mean_, var_, B_)} != {(_channels(conv, W_),)}:
            raise Decline("the BatchNormalization has not one parameter for each channel")
        with np.errstate(all="ignore"):  # `_rounded` looks at what came of it
            k = scale_ / np.sqrt(var_ + norm.attribute("epsilon"))
            weights = W_ * _along_channels(k, conv, W_)
            shift = k * (B_ - mean_) + bias_
        dtype = W.numpy().dtype
        convolve = getattr(op, conv.op_type)
        return convolve(x, _rounded(weights, dtype), _rounded(shift, dtype), like=conv)


Array = npt.NDArray[Any]


def _channels(conv: Node, W: Array) -> int:
    """The number of output channels."""
    if conv.op_type == "ConvTranspose":
        return int(W.shape[1] * conv.attribute("group"))
    return len(W)


def _along_channels(k: Array, conv: Node, W: Array) -> Array:
    """One factor for each output channel, shaped to scale the weights of that channel."""
    if conv.op_type == "ConvTranspose":  # W is [inputs, outputs / groups, kernel]
        groups = conv.attribute("group")
        k = k.reshape(groups, -1).repeat(len(W) // groups, axis=0)
    return k.reshape(*k.shape, *[1] * (W.ndim - k.ndim))


def _rounded(exact: Array, dtype: np.dtype[Any]) -> Array:
    """The nearest weights of *dtype*, unless they are infinite, no numbers, or vanish."""
    with np.errstate(all="ignore"):
        weights = exact.astype(dtype)
        error = np.abs(weights - exact).max(initial=0)
    # The coarsest type, bfloat16, rounds by half of this; NaN compares as False.
    if not error <= 2**-8 * np.abs(exact).max(initial=0):
        raise Decline(f"the fused weights are out of the range of {dtype}")
    return weights
