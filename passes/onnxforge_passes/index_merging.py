from __future__ import annotations

from typing import Any

import numpy as np

from onnxforge import Const, Decline, Match, RewritePass, Value

from .slice_merging import END, cuts


class IndexMerging(RewritePass):
    """Take the one element along an axis, or the dimension of size 1 with it, by one Gather.

    Whether it is a Slice of length 1 whose dimension is squeezed, a Gather whose dimension is
    unsqueezed again, or a Gather of one index whose dimension is squeezed.
    """

    def pattern(self, op: Any, x: Value, indices: Const, axes: Const) -> Any:
        """A dimension that is taken out and put back."""
        return op.Unsqueeze(op.Gather(x, indices), axes)

    def pattern_of_one_index(self, op: Any, x: Value, indices: Const, axes: Const) -> Any:
        """A dimension that is cut down to one element, and taken out."""
        return op.Squeeze(op.Gather(x, indices), axes)

    def pattern_of_a_slice(
        self, op: Any, x: Value, starts: Const, ends: Const, slices: Const, axes: Const
    ) -> Any:
        """A slice of one element, whose dimension is taken out."""
        return op.Squeeze(op.Slice(x, starts, ends, slices), axes)

    def rewrite(self, op: Any, match: Match, x: Value, axes: Const, indices: Const | None) -> Any:
        """The Gather."""
        first, view = match.nodes
        if x.rank is None or view.version < 13:
            raise Decline("the rank is unknown")
        changed = axes.numpy().reshape(-1).tolist()
        if len(changed) != 1:
            raise Decline("more than one dimension is squeezed or unsqueezed")
        if first.op_type == "Slice":
            found = cuts(first)
            if found is None or len(found) != 1:
                raise Decline("more than one dimension is sliced")
            ((axis, cut),) = found.items()
            one = cut.end - cut.start == cut.step == 1 and cut.end != 0
            if not one and cut != (-1, END, 1):
                raise Decline("the slice may have more than one element")
            index: Any = np.array(cut.start, np.int64)
        else:
            assert indices is not None
            axis = first.attribute("axis") % x.rank
            index = indices.numpy()
            if view.op_type == "Unsqueeze" and index.ndim:
                raise Decline("no dimension is taken out")
            if view.op_type == "Squeeze" and index.shape != (1,):
                raise Decline("more than one index is taken")
            index = index.reshape((1,) if view.op_type == "Unsqueeze" else ())
        if axis != changed[0] % x.rank:
            raise Decline("another dimension is squeezed or unsqueezed")
        return op.Gather(x, index, axis=axis)
