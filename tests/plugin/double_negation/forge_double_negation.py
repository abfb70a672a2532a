"""All it takes to give onnxforge a pass from another package: this file and an entry point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from onnxforge import Decline, Match, RewritePass


@dataclass
class DoubleNegation(RewritePass):
    """Read past two negations in a row."""

    enabled: bool = True

    def pattern(self, op: Any, x: Any) -> Any:
        """-(-x)."""
        return op.Neg(op.Neg(x))

    def rewrite(self, op: Any, match: Match, x: Any) -> Any:
        """x."""
        if not self.enabled:
            raise Decline("it is switched off")
        return x
