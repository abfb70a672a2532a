from __future__ import annotations

from typing import Any

from onnx import TensorProto

from onnxforge import Decline, Match, Value

from .gelu_fusion import GeluFusion


class GeluInjection(GeluFusion):
    """Call ONNX Runtime's own `com.microsoft::Gelu` or `FastGelu` where ONNX has no Gelu yet.

    That is before opset 20; `FastGelu` is the one by way of the hyperbolic tangent.
    """

    def rewrite(self, op: Any, match: Match, x: Value) -> Any:
        """The operator."""
        if match.root.version >= 20:
            raise Decline("ONNX has a Gelu of its own from opset 20 on")
        if x.dtype != TensorProto.FLOAT:
            raise Decline("the kernel is for float32 alone")
        is_exact = any(node.op_type == "Erf" for node in match.nodes)
        if not is_exact and not x.rank:
            raise Decline("FastGelu takes no scalar")
        gelu = op.Gelu if is_exact else op.FastGelu
        return gelu(x, domain="com.microsoft", like=match.root)
