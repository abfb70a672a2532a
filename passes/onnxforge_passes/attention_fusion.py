from __future__ import annotations

from typing import Any

import numpy as np

from onnxforge import Decline, Value
from onnxforge.shapes import known_equal

from .attention import FLOATS, Attention, Heads, as_heads, as_rows
from .attention_mask import full_mask, leaves_something


class AttentionFusion(Attention):
    """Attend by one Attention, as of opset 23.

        softmax(scale * q @ k.T + mask) @ v

    Where Transposes took the heads apart, the operator reads and writes them side by side; where
    several of the queries' heads share one of the others, it shares them itself.
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
        shared = [_unrepeated(each) for each in (k, v)]
        if known_equal(*(each.shape[1] if each.shape is not None else None for each in shared)):
            k, v = shared
        rows = [as_rows(op, each) for each in (q, k, v)]
        mask = full_mask(op, heads, rows[0])
        if None in rows:
            return guard(op, op.Attention(q, k, v, mask, scale=heads.scale), heads)
        assert k.shape is not None
        counts = {"q_num_heads": heads.count, "kv_num_heads": k.shape[1]}
        attended = op.Attention(*rows, mask, scale=heads.scale, **counts)
        return as_heads(op, guard(op, attended, heads), heads.count, heads.size)


def _unrepeated(value: Value) -> Value:
    """The heads, before each of them was repeated."""
    node = value.producer
    if node is None or node.op_type != "Gather" or node.attribute("axis") not in (1, -3):
        return value
    heads, indices = node.inputs
    count = heads.shape[1] if heads is not None and heads.shape is not None else None
    if heads is None or indices is None or not isinstance(count, int) or not indices.is_constant:
        return value
    chosen = indices.numpy()
    every = np.arange(count).repeat(chosen.size // max(count, 1))
    return heads if np.array_equal(chosen, every) else value


def guard(op: Any, attended: Any, heads: Heads) -> Any:
    """Zeros where nothing was attended to, which is where the weights would be no numbers."""
    if not heads.guarded:
        return attended
    zero = np.zeros((), np.float32 if heads.q.dtype == FLOATS[0] else np.float16)
    return op.Where(op.IsNaN(attended), zero, attended)
