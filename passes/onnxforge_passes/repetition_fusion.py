from __future__ import annotations

from typing import Any

import numpy as np

from onnxforge import Decline, Match, Node, RewritePass, Value
from onnxforge.shapes import Shape

from .axes import written_axes

# More indices weigh more than the nodes that go.
_MOST_INDICES = 128


class RepetitionFusion(RewritePass):
    """Repeat the elements along a dimension by one Gather.

    Exporters add a dimension, expand it, and merge it with its neighbour: so several heads of an
    attention share keys and values.

        [N, 2, S, D]  to  [N, 2, 1, S, D]  to  [N, 2, 4, S, D]  to  [N, 8, S, D]
    """

    def pattern(self, op: Any, x: Value, axes: Value | None, to: Value, shape: Value) -> Any:
        """A dimension that is added, expanded and merged."""
        return op.Reshape(op.Expand(op.Unsqueeze(x, axes), to), shape)

    def rewrite(self, op: Any, match: Match, x: Value) -> Any:
        """The Gather."""
        unsqueeze, expand, reshape = match.nodes
        before, repeated, after = x.shape, expand.output.shape, reshape.output.shape
        if before is None or repeated is None or after is None or None in before:
            raise Decline("a shape is unknown")
        axis = _added(unsqueeze, len(before) + 1)
        count = repeated[axis]
        if not isinstance(count, int) or _with(repeated, axis) != before:
            raise Decline("something else is expanded")
        # Merged with the dimension ahead, each element is repeated; with that behind, all in turn.
        for merged in (axis - 1, axis):
            size = before[merged] if 0 <= merged < len(before) else None
            if isinstance(size, int) and after == _with(before, merged, size * count):
                if size * count > _MOST_INDICES:
                    raise Decline("the indices would weigh more than the nodes that go")
                every = np.arange(size, dtype=np.int64)
                indices = every.repeat(count) if merged < axis else np.tile(every, count)
                return op.Gather(x, indices, axis=merged)
        raise Decline("the dimension is not merged with a neighbour")


def _added(unsqueeze: Node, rank: int) -> int:
    """The one axis that an Unsqueeze adds.  Raises `Decline` if it adds others, or it is unknown."""
    axes = written_axes(unsqueeze)
    if axes is None or len(axes) != 1:
        raise Decline("it is not one dimension that is added")
    return int(axes[0]) % rank


def _with(shape: Shape, axis: int, *sizes: int) -> Shape:
    return (*shape[:axis], *sizes, *shape[axis + 1 :])
