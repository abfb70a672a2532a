from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from onnxforge import Const, Decline, Match, Value

from .fusion import Fusion
from .scalar import scalar


class HardSigmoidFusion(Fusion):
    """Call one HardSigmoid where the graph spells out one of a slope and an offset.

    clip(x + 3, 0, 6) / 6,   clip(alpha * x + beta, 0, 1)
    """

    def pattern(self, op: Any, x: Value) -> Any:
        """Relu6, divided."""
        return op.Div(clipped(op, op.Add(x, 3.0), 6.0), 6.0)

    def pattern_mul(self, op: Any, x: Value) -> Any:
        """Relu6, multiplied."""
        return op.Mul(clipped(op, op.Add(x, 3.0), 6.0), 1 / 6)

    def pattern_attributes(self, op: Any, x: Value, alpha: Const, beta: Const) -> Any:
        """Any slope and offset, before opset 11."""
        return op.Clip(_line(op, x, alpha, beta), min=0.0, max=1.0)

    def pattern_inputs(self, op: Any, x: Value, alpha: Const, beta: Const) -> Any:
        """Any slope and offset."""
        return op.Clip(_line(op, x, alpha, beta), 0.0, 1.0)

    def rewrite(
        self, op: Any, match: Match, x: Value, alpha: Const | None, beta: Const | None
    ) -> Any:
        """The operator."""
        require_hard_sigmoid(match, x)
        slope, offset = 1 / 6, 0.5
        if alpha is not None and beta is not None:
            slope, offset = scalar(alpha, x), scalar(beta, x)
            if any(node.op_type == "Div" for node in match.nodes):
                slope = 1 / slope if slope else np.nan
        if not np.isfinite([slope, offset]).all():
            raise Decline("slope or offset is no number")
        return op.HardSigmoid(x, alpha=slope, beta=offset)


def clipped(op: Any, x: Any, high: float) -> Any:
    """A value between 0 and *high*."""
    return op.any(op.Clip(x, 0.0, high), op.Clip(x, min=0.0, max=high))


def require_hard_sigmoid(match: Match, x: Value) -> None:
    """Raise `Decline` unless ONNX Runtime has a HardSigmoid for the value."""
    # Before opset 7 operators broadcast by other rules.
    if match.root.version < 7:
        raise Decline("needs opset 7")
    if x.dtype != TensorProto.FLOAT:
        raise Decline("ONNX Runtime has HardSigmoid for float32 alone")


def _line(op: Any, x: Value, alpha: Const, beta: Const) -> Any:
    return op.Add(op.any(op.Mul(x, alpha), op.Div(x, alpha)), beta)
