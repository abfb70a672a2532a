from __future__ import annotations

from typing import Any

from onnxforge import Decline, Match, RewritePass, Value

from .attention import require_cache


class AttentionCacheFusion(RewritePass):
    """Let an Attention append new keys and values to those of earlier steps itself."""

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
        """An Attention to keys and values that are joined."""
        keys, values = op.Concat(past_k, k), op.Concat(past_v, v)
        return keys, values, op.Attention(q, keys, values, mask)

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
        require_cache(match, "is_causal")
        if any(each.rank != 4 for each in (q, past_k, k, past_v, v)):
            raise Decline("the heads are not known to be apart")
        attended, keys, values = op.Attention(
            q, k, v, mask, past_k, past_v, like=match.root, outputs=3
        )
        return keys, values, attended
