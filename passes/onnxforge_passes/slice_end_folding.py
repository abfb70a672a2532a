from __future__ import annotations

from contextlib import suppress

import numpy as np

from onnxforge import Builder, Graph, Node, Pass, Value
from onnxforge.shapes import DimLike, Shape, at_least

from .integers import integers

_END = 2**63 - 1


class SliceEndFolding(Pass):
    """Write the computed ends of a Slice as constants, where they are the end of the dimension.

    Such as those of `x[:, : x.shape[1]]`, which a tracing exporter computes.
    """

    operators = ("Slice",)

    def run(self, graph: Graph) -> int:
        """Write the ends that can be; return of how many nodes."""
        found = (n for n in graph.calls("Slice") if not n.domain and n.version >= 10)
        return sum(_fold(graph, node) for node in found)


def _fold(graph: Graph, node: Node) -> bool:
    data, ends = node.input(0), node.input(2)
    if data is None or ends is None or ends.is_constant:
        return False
    if data.shape is None or ends.contents is None or ends.dtype is None:
        return False
    count = len(ends.contents.elements)
    axes = _numbers(node.input(3), list(range(count)))
    steps = _numbers(node.input(4), [1] * count)
    if axes is None or steps is None or not len(axes) == len(steps) == count:
        return False
    found = [
        _end(end, data.shape, axis) if step > 0 else None
        for end, axis, step in zip(ends.contents.elements, axes, steps, strict=True)
    ]
    numbers = [end for end in found if end is not None]
    if len(numbers) < count:
        graph.decline("Slice: an end is neither known nor that of the dimension")
        return False
    starts, *rest = node.input(1), *node.inputs[3:]
    # Starts and ends are of one type; of int32, too, this is beyond every dimension.
    bound = _END if ends.dtype == 7 else 2**31 - 1
    op = Builder(graph, before=node)
    constant = np.array([min(end, bound) for end in numbers], f"int{64 if bound == _END else 32}")
    done = graph.replace(node.output, op.Slice(data, starts, constant, *rest, like=node))
    op.undo()
    return done


def _end(end: DimLike, shape: Shape, axis: int) -> int | None:
    if isinstance(end, int):
        return end
    size = shape[axis] if -len(shape) <= axis < len(shape) else None
    if end is None or size is None:
        return None
    with suppress(ArithmeticError):  # too complex
        return _END if at_least(end - size, 0) else None
    return None


def _numbers(value: Value | None, default: list[int]) -> list[int] | None:
    return default if value is None else integers(value)
