from __future__ import annotations

from typing import Any

from onnxforge import Decline, Match, RewritePass, Value


class CastLikeLowering(RewritePass):
    """Write CastLike as the Cast it is, now that the type it borrows is known.

    CastLike reads a whole tensor to learn its type, which keeps constants behind it from folding.
    """

    shared = True

    def pattern(self, op: Any, x: Value, like: Value) -> Any:
        """A CastLike."""
        return op.CastLike(x, like)

    def rewrite(self, op: Any, match: Match, x: Value, like: Value) -> Any:
        """A Cast, or nothing where *x* has the type already."""
        if like.dtype is None:
            raise Decline("the type to cast to is unknown")
        if x.dtype == like.dtype:
            return x
        return op.Cast(x, to=like.dtype, like=match.root)
