from __future__ import annotations

from typing import Any

from onnxforge import Decline, Match, Value

from .fusion import Fusion
from .hard_sigmoid_fusion import clipped, require_hard_sigmoid


class HardSwishFusion(Fusion):
    """Call one HardSwish, as of opset 14, where the graph spells one out.

        x * clip(x + 3, 0, 6) / 6

    in whatever order the factors are.  Before opset 14 it is a HardSigmoid to multiply with.
    """

    def pattern(self, op: Any, x: Value) -> Any:
        """Divided in the end, as Paddle writes it."""
        return op.Div(op.Mul(x, _relu6(op, x)), 6.0)

    def pattern_mul(self, op: Any, x: Value) -> Any:
        """Multiplied in the end."""
        return op.Mul(op.Mul(x, _relu6(op, x)), 1 / 6)

    def pattern_gate(self, op: Any, x: Value) -> Any:
        """Divided within a factor."""
        relu6 = _relu6(op, x)
        return op.Mul(x, op.any(op.Div(relu6, 6.0), op.Mul(relu6, 1 / 6)))

    def pattern_input(self, op: Any, x: Value) -> Any:
        """The input divided."""
        return op.Mul(op.any(op.Div(x, 6.0), op.Mul(x, 1 / 6)), _relu6(op, x))

    def pattern_hard_sigmoid(self, op: Any, x: Value) -> Any:
        """A HardSigmoid to multiply with."""
        return op.Mul(x, op.HardSigmoid(x, alpha=1 / 6, beta=0.5))

    def rewrite(self, op: Any, match: Match, x: Value) -> Any:
        """The operator, or the two that make one."""
        require_hard_sigmoid(match, x)
        if match.root.version >= 14:
            return op.HardSwish(x, like=match.root)
        if len(match.nodes) == 2:
            raise Decline("HardSwish needs opset 14")
        return op.Mul(x, op.HardSigmoid(x, alpha=1 / 6, beta=0.5), like=match.root)


def _relu6(op: Any, x: Value) -> Any:
    return clipped(op, op.Add(x, 3.0), 6.0)
