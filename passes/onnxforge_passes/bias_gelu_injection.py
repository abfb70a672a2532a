from __future__ import annotations

from typing import Any

from onnx import TensorProto

from onnxforge import Const, Decline, Match, RewritePass, Value


class BiasGeluInjection(RewritePass):
    """Let ONNX Runtime's own `com.microsoft::BiasGelu` or `FastGelu` add the bias."""

    def pattern(self, op: Any, x: Value, bias: Const) -> Any:
        """The Gelu of a sum, as of opset 20."""
        return op.Gelu(op.Add(x, bias))

    def pattern_own(self, op: Any, x: Value, bias: Const) -> Any:
        """The same by the operator for earlier opsets."""
        return op.Gelu(op.Add(x, bias), domain="com.microsoft")

    def pattern_fast(self, op: Any, x: Value, bias: Const) -> Any:
        """The approximation."""
        return op.FastGelu(op.Add(x, bias), domain="com.microsoft")

    def rewrite(self, op: Any, match: Match, x: Value, bias: Const) -> Any:
        """The operator."""
        if x.dtype != TensorProto.FLOAT or not x.shape:
            raise Decline("the kernel is for float32 alone, and a known rank that is not 0")
        if not isinstance(x.shape[-1], int) or bias.shape != x.shape[-1:]:
            raise Decline("the bias has not one number for each channel")
        is_exact = match.root.op_type == "Gelu" and match.root.attribute("approximate") in (
            "none",
            None,
        )
        gelu = op.BiasGelu if is_exact else op.FastGelu
        return gelu(x, bias, domain="com.microsoft")
