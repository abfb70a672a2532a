"""Patterns: a subgraph written as the Python function that would build it.

    def pattern(op, x, scale: Const):
        return op.Mul(op.Relu(x), scale)

The parameters are the pattern's variables and their annotations are its guards: `Const` binds only
to a constant, `Const | None` may also be absent.  Calling the function with a recording `op` yields
the pattern; calling it with a real builder yields the subgraph itself.
"""

from __future__ import annotations

from onnxforge.pattern.operands import Alternatives, Call, Const, Operand, Output, Variable
from onnxforge.pattern.tracing import Match, Pattern

__all__ = ["Alternatives", "Call", "Const", "Match", "Operand", "Output", "Pattern", "Variable"]
