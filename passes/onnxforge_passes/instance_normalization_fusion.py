from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from onnxforge import Const, Decline, Match, Value

from .normalization import Standardization, number, reduced_axes, sizes


class InstanceNormalizationFusion(Standardization):
    """Normalize all spatial axes of each channel by one InstanceNormalization.

        (x - mean(x)) / sqrt(mean((x - mean(x)) ** 2) + eps)

    Scale and bias are ones and zeros; `NormalizationAffineFusion` puts those that follow into them.
    If all the axes have known sizes it may be a LayerNormalization as well, and is left to be one
    unless a scale for each channel follows.
    """

    def rewrite(self, op: Any, match: Match, x: Value, eps: Const) -> Any:
        """The operator, with ones and zeros."""
        if match.root.version < 6:
            raise Decline("InstanceNormalization needs opset 6")
        if x.dtype != TensorProto.FLOAT:
            raise Decline("ONNX Runtime has InstanceNormalization for float32 alone")
        axes = reduced_axes(match, x)
        rank = x.rank or 0
        if rank < 3 or axes != tuple(range(2, rank)):
            raise Decline("the axes are not the spatial ones")
        (count,) = sizes(x, (1,))
        if not _is_scaled_by_channel(match.outputs[0], rank, count):
            sized = isinstance((x.shape or (None,))[-1], int)
            if sized or (rank == 3 and match.root.version < 17):
                raise Decline("it may be a LayerNormalization")
        scale, bias = np.ones(count, np.float32), np.zeros(count, np.float32)
        epsilon = number(eps, x)
        return op.InstanceNormalization(x, scale, bias, epsilon=epsilon, like=match.root)


def _is_scaled_by_channel(value: Value, rank: int, count: int) -> bool:
    """Whether the value is only read to be scaled by one constant for each channel."""
    readers = list(value.consumers)
    if len(readers) != 1 or readers[0].op_type != "Mul" or count == 1:
        return False
    shape = (1, count, *[1] * (rank - 2))
    return any(
        v is not None and v.is_constant and v.shape in (shape, shape[1:]) for v in readers[0].inputs
    )
