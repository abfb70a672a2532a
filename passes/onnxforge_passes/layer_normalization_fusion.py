from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from onnxforge import Const, Decline, Match, Value

from .normalization import Standardization, number, reduced_axes, sizes

_DTYPES: dict[int, Any] = {TensorProto.FLOAT: np.float32, TensorProto.FLOAT16: np.float16}

# LayerNormalization must have a scale: where there is none to come, ones are only worth it while
# they weigh less than the nodes that go.
_MOST_ONES = 4096


class LayerNormalizationFusion(Standardization):
    """Normalize the last axes by one LayerNormalization, as of opset 17.

        (x - mean(x)) / sqrt(mean((x - mean(x)) ** 2) + eps)

    Its scale is of ones; `NormalizationAffineFusion` puts those that follow into it.  float64 is
    left as it is, for LayerNormalization computes its statistics in float32.
    """

    def rewrite(self, op: Any, match: Match, x: Value, eps: Const) -> Any:
        """The operator, with a scale of ones."""
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
        if np.prod(shape) > _MOST_ONES and not _is_scaled(match.outputs[0], shape):
            raise Decline("a scale of ones would weigh more than the nodes that go")
        ones = np.ones(shape, dtype)
        axis = axes[0] - rank
        return op.LayerNormalization(x, ones, axis=axis, epsilon=number(eps, x), like=match.root)


def _is_scaled(value: Value, shape: tuple[int, ...]) -> bool:
    """Whether the value is only read to be scaled by a constant of that shape."""
    readers = list(value.consumers)
    return len(readers) == 1 and any(
        v is not None and v.is_constant and v.shape == shape
        for v in readers[0].inputs
        if readers[0].op_type == "Mul"
    )
