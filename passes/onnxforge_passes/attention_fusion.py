from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from onnxforge import Decline

from .attention import FLOATS, SWAPPED, Attention, Heads, as_heads, as_rows
from .attention_mask import full_mask, readable_mask


class AttentionFusion(Attention):
    """Attend by one Attention, as of opset 23.

        softmax(scale * q @ k.T + mask) @ v

    `AttentionLayoutFusion` then lets it take the heads apart itself.  ONNX Runtime's operator takes
    no batch and no sequence that is empty.
    """

    def fused(self, op: Any, heads: Heads) -> Any:
        """The operator, and torch's guard against rows that are masked as a whole."""
        q, k, v = heads.q, heads.k, heads.v
        if op.graph.opset_imports.get("", 1) < 23:
            raise Decline("Attention needs opset 23")
        if q.dtype not in FLOATS:
            raise Decline("ONNX Runtime has Attention for float32 and float16 alone")
        heads = replace(heads, mask=readable_mask(op, heads))
        rows = as_rows(op, q)
        attended = op.Attention(q, k, v, full_mask(op, heads, rows), scale=heads.scale)
        if not heads.guarded or rows is None:
            return guard(op, attended, heads)
        # Guarded side by side, they may be left so.
        moved = op.Transpose(attended, perm=SWAPPED)
        together = op.Reshape(moved, np.array([0, 0, heads.count * heads.size]))
        return as_heads(op, guard(op, together, heads), heads.count, heads.size)


def guard(op: Any, attended: Any, heads: Heads) -> Any:
    """Zeros where nothing was attended to, which is where the weights would be no numbers."""
    if not heads.guarded:
        return attended
    zero = np.zeros((), np.float32 if heads.q.dtype == FLOATS[0] else np.float16)
    return op.Where(op.IsNaN(attended), zero, attended)
