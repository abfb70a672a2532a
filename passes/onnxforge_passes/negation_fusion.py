from __future__ import annotations

from typing import Any

from onnxforge import Decline, Match, RewritePass, Value


class NegationFusion(RewritePass):
    """Do without a Neg or a Not where what reads it can take the opposite.

    x + -y = x - y,   x - -y = x + y,   where(not c, x, y) = where(c, y, x)
    """

    def pattern(self, op: Any, x: Value, y: Value) -> Any:
        """A sum with an opposite."""
        return op.Add(x, op.Neg(y))

    def pattern_sub(self, op: Any, x: Value, y: Value) -> Any:
        """A difference with an opposite."""
        return op.Sub(x, op.Neg(y))

    def pattern_where(self, op: Any, c: Value, x: Value, y: Value) -> Any:
        """A choice by an opposite."""
        return op.Where(op.Not(c), x, y)

    def rewrite(self, op: Any, match: Match, c: Value | None, x: Value, y: Value) -> Any:
        """The opposite."""
        first, root = match.nodes
        if c is not None:
            return op.Where(c, y, x, like=root)
        if root.version < 7:
            raise Decline("before opset 7 operators broadcast by other rules")
        if x is first.output:
            raise Decline("the opposite is read twice")
        return getattr(op, "Sub" if root.op_type == "Add" else "Add")(x, y, like=root)
