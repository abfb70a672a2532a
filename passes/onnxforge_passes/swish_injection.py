from __future__ import annotations

from typing import Any

from onnxforge import Match, RewritePass, Value


class SwishInjection(RewritePass):
    """Call one custom `com.example::Swish` where the graph spells out x * sigmoid(x).

    The pattern doubles as the operator's body: a runtime without a kernel for Swish runs the body,
    so the model still works everywhere.
    """

    def pattern(self, op: Any, x: Value) -> Any:
        """Swish, spelt out."""
        return op.Mul(x, op.Sigmoid(x))

    def rewrite(self, op: Any, match: Match, x: Value) -> Any:
        """A call of the custom operator."""
        return op.Swish(x, domain="com.example", body=self.pattern)
