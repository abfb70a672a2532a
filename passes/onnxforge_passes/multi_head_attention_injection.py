from __future__ import annotations

from typing import Any

from onnx import TensorProto

from onnxforge import Decline

from .attention import Attention, Heads, as_heads, as_rows
from .attention_fusion import guard
from .attention_mask import full_mask


class MultiHeadAttentionInjection(Attention):
    """Attend by ONNX Runtime's own `com.microsoft::MultiHeadAttention`.

        softmax(scale * q @ k.T + mask) @ v

    The queries must be split into heads by a Transpose, which the operator does itself; keys and
    values are read either way.  Its CPU kernel is for float32 alone.
    """

    def fused(self, op: Any, heads: Heads) -> Any:
        """The operator, and torch's guard against rows that are masked as a whole."""
        q, k, v = heads.q, heads.k, heads.v
        if q.dtype != TensorProto.FLOAT:
            raise Decline("the kernel is for float32 alone")
        rows = [as_rows(op, each) for each in (q, k, v)]
        mask = full_mask(op, heads, rows[0])
        if rows[0] is None:
            raise Decline("the queries are not split into heads by a Transpose")
        if None in rows:
            if k.shape is None or k.shape[3] != heads.size:
                raise Decline("keys and values that are apart have to be of one size")
            rows[1:] = k, v
        attended = op.MultiHeadAttention(
            *rows,
            None,
            None,
            mask,
            domain="com.microsoft",
            num_heads=heads.count,
            scale=heads.scale,
        )
        return as_heads(op, guard(op, attended, heads), heads.count, heads.size)
