from __future__ import annotations

from typing import Any

from onnxforge import Decline, Match, RewritePass, Value

from .attention import as_rows, require_cache


class AttentionCacheInjection(RewritePass):
    """Let `com.microsoft::MultiHeadAttention` append new keys and values to those of earlier steps.

    The new ones have to be split into heads by Transposes, which the operator does itself.
    """

    def pattern(
        self,
        op: Any,
        q: Value,
        past_k: Value,
        k: Value,
        past_v: Value,
        v: Value,
        mask: Value | None,
    ) -> Any:
        """An attention to keys and values that are joined."""
        keys, values = op.Concat(past_k, k), op.Concat(past_v, v)
        attended = op.MultiHeadAttention(q, keys, values, None, None, mask, domain="com.microsoft")
        return keys, values, attended

    def rewrite(
        self,
        op: Any,
        match: Match,
        q: Value,
        past_k: Value,
        k: Value,
        past_v: Value,
        v: Value,
        mask: Value | None,
    ) -> Any:
        """The operator, and what it joins."""
        require_cache(match, "unidirectional")
        rows = [as_rows(op, each) if each.rank == 4 else None for each in (k, v)]
        if None in rows:
            raise Decline("the heads are not taken apart by Transposes")
        attended, keys, values = op.MultiHeadAttention(
            q,
            *rows,
            None,
            None,
            mask,
            past_k,
            past_v,
            domain="com.microsoft",
            like=match.root,
            outputs=3,
        )
        return keys, values, attended
