from __future__ import annotations

from typing import NamedTuple

import numpy as np

from onnxforge import Builder, Graph, Node, Pass
from onnxforge.shapes import DimLike

from .integers import integers

END = 2**63 - 1
_ENDLESS = 2**31 - 1  # what exporters write for the end of a dimension


class Cut(NamedTuple):
    """What a Slice does to one axis."""

    start: int
    end: int
    step: int = 1


class SliceMerging(Pass):
    """Two Slices in a row are one.

    Along different axes always; along the same one where the sum of the two can be told without
    knowing the size, or the size is known.  Slices that go backwards are left alone.
    """

    operators = ("Slice",)

    def run(self, graph: Graph) -> int:
        """Merge them; return how many."""
        found = (n for n in graph.calls("Slice") if not n.domain and n.version >= 10)
        return sum(_merge(graph, node) for node in found)


def _merge(graph: Graph, node: Node) -> bool:
    data = node.input(0)
    inner = data.producer if data is not None else None
    if data is None or inner is None or inner.op_type != "Slice" or inner.domain:
        return False
    if data.is_output or list(data.consumers) != [node] or inner.graph is not graph:
        return False
    source, first, second = inner.input(0), cuts(inner), cuts(node)
    if source is None or source.shape is None or not first or not second:
        return False  # a Slice of no axes is for another pass
    merged = dict(first)
    for axis, cut in second.items():
        both = _composed(source.shape[axis], first[axis], cut) if axis in first else cut
        if both is None:
            graph.decline("what two Slices of one axis come to depends on its size")
            return False
        merged[axis] = both
    starts, ends, steps = zip(*merged.values(), strict=True)
    operands = [starts, ends, list(merged), steps]
    op = Builder(graph, before=node)
    arrays = [
        np.array(each, np.int64) for each in operands[: 4 if any(s > 1 for s in steps) else 3]
    ]
    done = graph.replace(node.output, op.Slice(source, *arrays, like=node))
    op.undo()
    return done


def cuts(node: Node) -> dict[int, Cut] | None:
    """What a Slice does to each axis it names, counted from the front; None if that is unknown.

    Also None if it goes backwards.
    """
    data = node.input(0)
    numbers: list[list[int] | None] = []
    for value in node.inputs[1:]:
        numbers.append(integers(value))
        if value is not None and numbers[-1] is None:
            return None
    if data is None or data.rank is None or len(numbers) < 2:
        return None
    starts, ends, axes, steps = (*numbers, None, None)[:4]
    if starts is None or ends is None:
        return None
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) or min(steps, default=1) < 1:
        return None
    found = {
        axis % data.rank: Cut(start, END if end >= _ENDLESS else end, step)
        for start, end, axis, step in zip(starts, ends, axes, steps, strict=True)
        if -data.rank <= axis < data.rank
    }
    return found if len(found) == len(axes) else None


def _composed(size: DimLike, first: Cut, second: Cut) -> Cut | None:
    """The cut that does to a dimension what *first* and then *second* do."""
    if isinstance(size, int):
        left = range(size)[slice(*first)][slice(*second)]
        return Cut(left.start, left.stop, left.step) if left else Cut(0, 0)
    if first.step > 1 or second.step > 1 or first.start < 0 or second.start < 0:
        return None
    start = first.start + second.start
    if second.end == END:
        return Cut(start, first.end)
    if first.end == END:
        return Cut(start, second.end + first.start if second.end >= 0 else second.end)
    if first.end >= 0 and second.end >= 0:
        return Cut(start, min(first.end, first.start + second.end))
    if first.end < 0 and second.end < 0:
        return Cut(start, first.end + second.end)
    return None
