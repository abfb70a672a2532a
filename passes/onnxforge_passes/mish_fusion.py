from __future__ import annotations

from typing import Any

from onnx import TensorProto

from onnxforge import Decline, Match, Value

from .fusion import Fusion


class MishFusion(Fusion):
    """Call one Mish, as of opset 18, where the graph spells out x * tanh(softplus(x)).

    Softplus may be spelt out, too: where its exponential overflows, tanh is 1 all the same.
    """

    def pattern(self, op: Any, x: Value) -> Any:
        """Mish, spelt out."""
        softplus = op.any(op.Softplus(x), op.Log(op.Add(op.Exp(x), 1.0)))
        return op.Mul(x, op.Tanh(softplus))

    def rewrite(self, op: Any, match: Match, x: Value) -> Any:
        """The operator."""
        if match.root.version < 18:
            raise Decline("Mish needs opset 18")
        if x.dtype != TensorProto.FLOAT:
            raise Decline("ONNX Runtime has the Softplus in Mish for float32 alone")
        return op.Mish(x, like=match.root)
