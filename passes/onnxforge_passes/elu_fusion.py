from __future__ import annotations

from typing import Any

from onnx import TensorProto

from onnxforge import Const, Decline, Match, Value

from .fusion import Fusion
from .scalar import scalar


class EluFusion(Fusion):
    """Call one Elu, Selu or Celu where the graph spells one out.

    where(x > 0, x, alpha * (exp(x) - 1)),   relu(x) + alpha * (exp(min(x, 0)) - 1)
    gamma * elu(x) = Selu,                   alpha * elu(x / alpha) = Celu, as of opset 12
    """

    def pattern(self, op: Any, x: Value, alpha: Const) -> Any:
        """One or the other."""
        positive = op.any(op.Greater(x, 0.0), op.GreaterOrEqual(x, 0.0))
        return op.Where(positive, x, _scaled(op, _exponential(op, x), alpha))

    def pattern_sum(self, op: Any, x: Value, alpha: Const) -> Any:
        """The sum of the positive and the negative part."""
        negative = op.any(op.Min(x, 0.0), op.Clip(x, None, 0.0))
        return op.Add(op.Relu(x), _scaled(op, _exponential(op, negative), alpha))

    def pattern_celu(self, op: Any, x: Value, slope: Const, gamma: Const) -> Any:
        """An Elu of what is scaled, scaled back."""
        return op.Mul(op.Elu(op.any(op.Div(x, slope), op.Mul(x, slope)), alpha=1.0), gamma)

    def pattern_selu(self, op: Any, x: Value, gamma: Const) -> Any:
        """An Elu that is scaled."""
        return op.Mul(op.Elu(x), gamma)

    def rewrite(
        self,
        op: Any,
        match: Match,
        x: Value,
        alpha: Const | None,
        slope: Const | None,
        gamma: Const | None,
    ) -> Any:
        """The operator."""
        if match.root.version < 8:
            raise Decline("before opset 8 Max and Min do not broadcast")
        if x.dtype != TensorProto.FLOAT:
            raise Decline("ONNX Runtime has Elu for float32 alone")
        if gamma is None:
            return op.Elu(x, alpha=1.0 if alpha is None else scalar(alpha, x), like=match.root)
        factor = scalar(gamma, x)
        if slope is None:
            elu = match.nodes[0]
            return op.Selu(x, alpha=elu.attribute("alpha"), gamma=factor, like=match.root)
        divisor = scalar(slope, x)
        if match.nodes[0].op_type == "Mul":
            divisor = 1 / divisor if divisor else 0.0
        if match.root.version < 12 or not (factor > 0 and abs(factor - divisor) <= 1e-6 * factor):
            raise Decline("it is not scaled back by what it was divided by")
        return op.Celu(x, alpha=factor, like=match.root)


def _exponential(op: Any, x: Any) -> Any:
    return op.any(op.Sub(op.Exp(x), 1.0), op.Add(op.Exp(x), -1.0))


def _scaled(op: Any, x: Any, alpha: Const) -> Any:
    return op.any(op.Mul(x, alpha), x)
