from __future__ import annotations

from typing import Any

from onnxforge import Decline, Match, RewritePass, Value
from onnxforge.shapes import known_equal


class BatchedTransposeFusion(RewritePass):
    """Swap the last two axes at once, where all before them are made one for it and taken apart.

    That is how torch's dynamo exporter transposes keys whose sizes are dynamic.
    """

    def pattern(self, op: Any, x: Value, flat: Value, apart: Value) -> Any:
        """A Transpose of three dimensions between two Reshapes."""
        return op.Reshape(op.Transpose(op.Reshape(x, flat), perm=[0, 2, 1]), apart)

    def rewrite(self, op: Any, match: Match, x: Value) -> Any:
        """One Transpose."""
        before, flat, after = x.shape, match.nodes[0].output.shape, match.root.output.shape
        if before is None or flat is None or after is None or len(before) < 2:
            raise Decline("the rank is not known")
        swapped = (*before[:-2], before[-1], before[-2])
        if len(after) != len(before) or not all(map(known_equal, after, swapped)):
            raise Decline("the axes before are not known to be taken apart as they were")
        if not all(map(known_equal, flat[1:], before[-2:])):
            raise Decline("the last two axes are not known to stay as they were")
        rank = len(before)
        return op.Transpose(x, perm=[*range(rank - 2), rank - 1, rank - 2])
