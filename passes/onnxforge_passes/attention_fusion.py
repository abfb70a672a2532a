from __future__ import annotations

from typing import Any

import numpy as np

from onnxforge import Decline

from .attention import FLOATS, Attention, Heads, as_heads, as_rows
from .attention_mask import full_mask, leaves_something


class AttentionFusion(Attention):
    """Attend by one Attention, as of opset 23.

        softmax(scale * q @ k.T + mask) @ v

    Where Transposes took the heads apart, the operator reads and writes them side by side.
    """

    def fused(self, op: Any, heads: Heads) -> Any:
        """The operator, and torch's guard against rows that are masked as a whole."""
        q, k, v = heads.q, heads.k, heads.v
        if op.graph.opset_imports.get("", 1) < 23:
            raise Decline("Attention needs opset 23")
        if q.dtype not in FLOATS:
            raise Decline("ONNX Runtime has Attention for float32 and float16 alone")
        if heads.mask is not None and not heads.guarded and not leaves_something(heads.mask):
            # Zeros in ONNX Runtime, and no numbers in what the graph spells out.
            raise Decline("a row that is masked as a whole would be attended to otherwise")
        rows = [as_rows(op, each) for each in (q, k, v)]
        mask = full_mask(op, heads, rows[0])
        if None in rows:
            return guard(op, op.Attention(q, k, v, mask, scale=heads.scale), heads)
        assert q.shape is not None
        attended = op.Attention(
            *rows, mask, scale=heads.scale, q_num_heads=q.shape[1], kv_num_heads=q.shape[1]
        )
        return as_heads(op, guard(op, attended, heads), like=v)


def guard(op: Any, attended: Any, heads: Heads) -> Any:
    """Zeros where nothing was attended to, which is where the weights would be no numbers."""
    if not heads.guarded:
        return attended
    zero = np.zeros((), np.float32 if heads.q.dtype == FLOATS[0] else np.float16)
    return op.Where(op.IsNaN(attended), zero, attended)
