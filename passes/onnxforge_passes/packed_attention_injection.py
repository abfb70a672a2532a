from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from onnxforge import Const, Decline, Match, Value

from .fusion import Fusion


class PackedAttentionInjection(Fusion):
    """Let ONNX Runtime's own `com.microsoft::Attention` compute queries, keys and values as well.

        q, k, v = split(x @ W + b)

    They must be of the same width, and the weights constant.
    """

    def pattern(
        self, op: Any, x: Value, W: Const, b: Const | None, widths: Const, mask: Value | None
    ) -> Any:
        """Attention to the parts of one product."""
        q, k, v = op.Split(op.MatMul(x, W), widths, outputs=3)
        return op.MultiHeadAttention(q, k, v, b, None, mask, domain="com.microsoft")

    def pattern_sum(
        self, op: Any, x: Value, W: Const, b: Const, widths: Const, mask: Value | None
    ) -> Any:
        """Attention to the parts of a product and a bias."""
        q, k, v = op.Split(op.Add(op.MatMul(x, W), b), widths, outputs=3)
        return op.MultiHeadAttention(q, k, v, None, None, mask, domain="com.microsoft")

    def rewrite(
        self, op: Any, match: Match, x: Value, W: Const, b: Const | None, mask: Value | None
    ) -> Any:
        """The operator."""
        split, attention = match.nodes[-2:]
        width = None if W.shape is None else W.shape[-1]
        if x.rank != 3 or W.rank != 2 or x.dtype != TensorProto.FLOAT or not isinstance(width, int):
            raise Decline("the operator multiplies rows of float32 with a matrix")
        if split.attribute("axis") not in (2, -1) or any(
            part.shape is None or part.shape[-1] != width // 3 for part in split.outputs
        ):
            raise Decline("queries, keys and values are not of the same width")
        if b is not None and b.shape != (width,):
            raise Decline("the bias has not one number for each channel")
        return op.Attention(
            x,
            W,
            np.zeros(width, np.float32) if b is None else b,
            None,
            None,
            mask,
            domain="com.microsoft",
            like=attention,
        )
