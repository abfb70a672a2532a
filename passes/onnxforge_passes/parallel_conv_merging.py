from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxforge import Const, Decline, Match, Node, RewritePass, Value

from .weights import Array, require_own, rounded, scale_and_shift


class ParallelConvMerging(RewritePass):
    """Convolve once where two convolutions of the same input are added.

    The smaller kernel is placed inside the larger, which must be at least as large along every
    axis, so that the model does not grow.  The input itself, or a BatchNormalization of it, counts
    as a convolution with a kernel of 1: thus the branches that RepVGG and MobileOne train become
    the one Conv they are.  The sums of weights are computed in float64 and rounded once.
    """

    def pattern(
        self, op: Any, x: Value, V: Const, A: Const | None, W: Const, B: Const | None
    ) -> Any:
        """A sum of two convolutions."""
        return op.Add(op.Conv(x, V, A), op.Conv(x, W, B))

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
        """A sum of a normalization and a convolution."""
        norm = op.BatchNormalization(x, scale, bias, mean, var, training_mode=0)
        return op.Add(norm, op.Conv(x, W, B))

    def pattern_residual(self, op: Any, x: Value, W: Const, B: Const | None) -> Any:
        """A convolution added to its input."""
        return op.Add(x, op.Conv(x, W, B))

    def rewrite(
        self,
        op: Any,
        match: Match,
        x: Value,
        V: Const | None,
        A: Const | None,
        W: Const,
        B: Const | None,
    ) -> Any:
        """The one convolution."""
        *branches, _ = match.nodes
        conv = branches[-1]
        require_own(match, V, W)
        large = _kernel(conv, W, B)
        if V is not None:
            small = _kernel(branches[0], V, A)
            if small.weights.size > large.weights.size:
                conv, small, large = branches[0], large, small
        else:
            small = _identity(conv, x, large.weights, branches[0] if branches[:-1] else None)
        weights = rounded(_placed(small, large), large.dtype)
        bias = small.bias + large.bias
        has_bias = A is not None or B is not None or bias.any()
        return op.Conv(x, weights, rounded(bias, large.dtype) if has_bias else None, like=conv)


@dataclass(frozen=True, slots=True)
class _Kernel:
    """What a Conv does, in float64 whatever its *dtype*; `pads` are ahead of each axis, then behind."""

    dtype: np.dtype[Any]
    weights: Array
    bias: Array
    group: int
    strides: list[int]
    dilations: list[int]
    pads: list[int]


def _kernel(conv: Node, W: Const, B: Const | None) -> _Kernel:
    written = W.numpy()
    weights = written.astype(np.float64)
    axes = weights.ndim - 2
    auto = conv.attribute("auto_pad")
    if auto not in ("NOTSET", "VALID"):
        raise Decline("the padding is left to be computed (auto_pad)")
    return _Kernel(
        written.dtype,
        weights,
        B.numpy(np.float64) if B is not None else np.zeros(len(weights)),
        conv.attribute("group"),
        conv.attribute("strides") or [1] * axes,
        conv.attribute("dilations") or [1] * axes,
        (auto == "NOTSET" and conv.attribute("pads")) or [0] * (2 * axes),
    )


def _identity(conv: Node, x: Value, W: Array, norm: Node | None) -> _Kernel:
    """The input, or a normalization of it, as a convolution like *conv*."""
    group, count = conv.attribute("group"), len(W)
    inputs = W.shape[1]
    if inputs * group != count or x.shape is None or len(x.shape) != W.ndim:
        raise Decline("the input is not known to have the shape of the convolution")
    weights = np.zeros((count, inputs, *[1] * (W.ndim - 2)))
    k, shift = np.ones(count), np.zeros(count)
    if norm is not None:
        k, shift = scale_and_shift(norm, x, W.ndim, 1, count)
    every = np.arange(count)
    weights.reshape(count, inputs)[every, every % inputs] = k
    axes = W.ndim - 2
    return _Kernel(weights.dtype, weights, shift, group, [1] * axes, [1] * axes, [0] * (2 * axes))


def _placed(small: _Kernel, large: _Kernel) -> Array:
    """The sum of two kernels, made of *large*, each tap where it reads the same element."""
    if (small.group, small.strides) != (large.group, large.strides):
        raise Decline("the convolutions differ in groups or strides")
    if small.weights.shape[:2] != large.weights.shape[:2]:
        raise Decline("the convolutions differ in channels")
    axes = len(large.strides)
    places: list[Any] = [...]
    for axis in range(axes):
        size, whole = small.weights.shape[2 + axis], large.weights.shape[2 + axis]
        step, inner = large.dilations[axis], small.dilations[axis] if size > 1 else 1
        ahead = large.pads[axis] - small.pads[axis]
        behind = large.pads[axis + axes] - small.pads[axis + axes]
        start, rest = divmod(ahead, step)
        every, uneven = divmod(inner, step) if size > 1 else (1, 0)
        stop = start + every * (size - 1) + 1
        # Both must end where they read the last element, lest one makes more of them.
        same_length = ahead + behind == (whole - 1) * step - (size - 1) * inner
        if rest or uneven or start < 0 or stop > whole or not same_length:
            raise Decline("the one kernel does not lie within the other")
        places.append(slice(start, stop, every))
    large.weights[tuple(places)] += small.weights
    return large.weights
