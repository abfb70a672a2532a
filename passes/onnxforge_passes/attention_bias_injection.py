from __future__ import annotations

from typing import Any

import numpy as np

from onnxforge import Const, Decline, Match, Value

from .fusion import Fusion


class AttentionBiasInjection(Fusion):
    """Let `com.microsoft::MultiHeadAttention` add the biases of queries, keys and values.

    Where one of the three has none, as in Whisper, it is of zeros.
    """

    def pattern(
        self,
        op: Any,
        q: Value,
        k: Value,
        v: Value,
        q_bias: Const,
        k_bias: Const,
        v_bias: Const,
        mask: Value | None,
    ) -> Any:
        """Attention to sums."""
        return op.MultiHeadAttention(
            op.any(op.Add(q, q_bias), q),
            op.any(op.Add(k, k_bias), k),
            op.any(op.Add(v, v_bias), v),
            None,
            None,
            mask,
            domain="com.microsoft",
        )

    def rewrite(
        self,
        op: Any,
        match: Match,
        q: Value,
        k: Value,
        v: Value,
        q_bias: Const | None,
        k_bias: Const | None,
        v_bias: Const | None,
        mask: Value | None,
    ) -> Any:
        """Attention with one bias, one after the other."""
        biases = []
        for rows, bias in zip((q, k, v), (q_bias, k_bias, v_bias), strict=True):
            if rows.rank != 3 or not isinstance(width := (rows.shape or ())[2], int):
                raise Decline("the heads are not side by side")
            if bias is not None and bias.shape != (width,):
                raise Decline("a bias has not one number for each channel")
            biases.append(np.zeros(width, np.float32) if bias is None else bias.numpy())
        if q_bias is k_bias is v_bias is None:
            raise Decline("there are no biases")
        attention = match.root
        return op.MultiHeadAttention(
            q, k, v, np.concatenate(biases), None, mask, domain="com.microsoft", like=attention
        )
