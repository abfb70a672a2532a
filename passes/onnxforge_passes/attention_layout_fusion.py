from __future__ import annotations

from typing import Any

import numpy as np

from onnxforge import Decline, Match, RewritePass, Value
from onnxforge.shapes import DimLike, known_equal

from .attention import as_heads, as_rows


class AttentionLayoutFusion(RewritePass):
    """Let an Attention take heads apart and put them together itself.

    Where Transposes do, the operator reads and writes heads side by side.  Where several of the
    queries' heads share one of the others, it does without a copy for each.
    """

    def pattern(self, op: Any, q: Value, k: Value, v: Value, mask: Value | None) -> Any:
        """An Attention without a cache."""
        return op.Attention(q, k, v, mask)

    def rewrite(
        self, op: Any, match: Match, q: Value, k: Value, v: Value, mask: Value | None
    ) -> Any:
        """The same, of other inputs."""
        if q.shape is None or v.shape is None or len(q.shape) != 4 or len(v.shape) != 4:
            raise Decline("the heads are side by side already, or their rank is not known")
        count, size = q.shape[1], v.shape[3]
        shared = [_unrepeated(each) for each in (k, v)]
        is_shared = shared != [k, v] and known_equal(*map(_count, shared))
        if is_shared:
            k, v = shared
        rows = [as_rows(op, each) for each in (q, k, v)]
        if None not in rows and isinstance(count, int) and isinstance(size, int):
            heads = {"q_num_heads": count, "kv_num_heads": _count(k)}
            attended = op.Attention(*rows, mask, like=match.root, **heads)
            return as_heads(op, attended, count, size)
        if not is_shared:
            raise Decline("the heads are not taken apart by Transposes, nor repeated")
        return op.Attention(q, k, v, mask, like=match.root)


def _count(heads: Value) -> DimLike:
    return heads.shape[1] if heads.shape is not None else None


def _unrepeated(value: Value) -> Value:
    """The heads, before each of them was repeated."""
    node = value.producer
    if node is None or node.op_type != "Gather" or node.attribute("axis") not in (1, -3):
        return value
    heads, indices = node.inputs
    count = _count(heads) if heads is not None else None
    if heads is None or indices is None or not isinstance(count, int) or not indices.is_constant:
        return value
    chosen = indices.numpy()
    every = np.arange(count).repeat(chosen.size // max(count, 1))
    return heads if np.array_equal(chosen, every) else value
