from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from onnxforge import Builder, Graph, Node, Pass, Value
from onnxforge.shapes import at_least

from .axes import squeezes_none, written_axes
from .reshape_target import reshaped

VIEWS = ("Flatten", "Reshape", "Squeeze", "Transpose", "Unsqueeze")


class ViewMerging(Pass):
    """Of operators in a row that keep the elements in order, leave one, or none.

    They are Reshape, Flatten, Squeeze, Unsqueeze, and a Transpose that only moves dimensions of
    size 1.  What they come to is written as a Squeeze or an Unsqueeze if it is one, else as a
    Reshape, with 0 for sizes that it copies and at most one -1.
    """

    operators = VIEWS

    def run(self, graph: Graph) -> int:
        """Merge them; return how many were replaced."""
        found = (node for node in graph.calls(*VIEWS) if _is_after_one(node) and is_view(node))
        return sum(_merge(graph, node) for node in found)


def _is_after_one(node: Node) -> bool:
    """Whether what *node* reads may be made by a view, too."""
    data = node.input(0)
    return data is not None and data.producer is not None and data.producer.op_type in VIEWS


def is_view(node: Node) -> bool:
    """Whether a node keeps the elements in order, and their number."""
    if node.op_type not in VIEWS or node.domain or node.has_references or not node.inputs:
        return False
    if node.op_type != "Transpose":
        return node.op_type != "Squeeze" or not squeezes_none(node)
    data, perm = node.input(0), node.attribute("perm")
    shape = data.shape if data is not None else None
    if shape is None or perm is None:
        return False
    moved = [axis for axis in perm if shape[axis] != 1]
    return moved == sorted(moved)


def _merge(graph: Graph, node: Node) -> bool:
    sources = list(_sources(node))
    for length, source in enumerate(sources, 2):
        if _is_undone(node, source, length) and graph.replace(node.output, source):
            return True
    # What others read stays anyway, and then nothing is gained by reading past it.
    gains = 0
    value = node.input(0)
    for _ in sources:
        assert value is not None
        if value.is_output or not all(map(is_view, value.consumers)):
            break
        gains += 1
        assert value.producer is not None
        value = value.producer.input(0)
    for length in range(gains, 0, -1):
        op = Builder(graph, before=node)
        new = _written(op, node, sources[length - 1], length + 1)
        done = new is not None and graph.replace(node.output, new)
        op.undo()
        if done:
            return True
    return False


def _sources(node: Node) -> Iterator[Value]:
    """What the views above *node* read, nearest first."""
    value = node.input(0)
    for _ in range(_MAX_LENGTH):
        maker = value.producer if value is not None else None
        if maker is None or maker.graph is not node.graph or not is_view(maker):
            return
        value = maker.input(0)
        if value is None:
            return
        yield value


_MAX_LENGTH = 8


def _is_undone(node: Node, source: Value, length: int) -> bool:
    """Whether the last *length* views up to *node* together give *source* back."""
    before, after = source.shape, node.output.shape
    if before is not None and before == after and None not in before:
        return True
    axes = _axes(node, source, length)
    return axes is not None and axes == list(range(len(axes))) and len(axes) == source.rank


def _written(op: Builder, node: Node, source: Value, length: int) -> Value | None:
    """One node that does what the last *length* views up to *node* do."""
    new: Value
    if _is_undone(node, source, length):
        new = op.Identity(source)  # a graph must return a value of its own
        return new
    axes = _axes(node, source, length)
    if axes is not None and source.rank is not None:
        kept = [axis for axis in axes if axis is not None]
        added = [position for position, axis in enumerate(axes) if axis is None]
        removed = [axis for axis in range(source.rank) if axis not in kept]
        if not (added and removed):
            name, changed = ("Unsqueeze", added) if added else ("Squeeze", removed)
            if node.version < 13:
                new = getattr(op, name)(source, axes=changed)
            else:
                new = getattr(op, name)(source, np.array(changed, np.int64))
            return new
    if node.version < 5:
        return None
    if node.op_type == "Reshape" and (shape := node.input(1)) is not None:
        sizes = shape.contents
        if sizes is not None and all(size == -1 or at_least(size, 1) for size in sizes.elements):
            new = op.Reshape(source, shape, like=node)
            return new
    after = node.output.shape
    view = None if after is None else reshaped(op, source, after, node.version)
    if view is None:
        op.graph.decline("the shape cannot be written as that of one Reshape")
    return view


def _axes(node: Node, source: Value, length: int) -> list[int | None] | None:
    """Where the dimensions of the result come from: of *source*, or added, which is None.

    None if that is not to be told, since there are others than Squeeze and Unsqueeze.
    """
    if source.rank is None:
        return None
    nodes = [node]
    for _ in range(length - 1):
        data = nodes[-1].input(0)
        assert data is not None
        assert data.producer is not None
        nodes.append(data.producer)
    axes: list[int | None] = list(range(source.rank))
    for each in reversed(nodes):
        changed = _changed_axes(each)
        if changed is None or (not axes and each.op_type == "Squeeze"):
            return None
        if each.op_type == "Unsqueeze":
            rank = len(axes) + len(changed)
            for axis in sorted(axis % rank for axis in changed):
                axes.insert(axis, None)
        else:
            gone = [axis % len(axes) for axis in changed]
            axes = [axis for position, axis in enumerate(axes) if position not in gone]
    return axes


def _changed_axes(node: Node) -> list[int] | None:
    """The axes a Squeeze removes or an Unsqueeze adds, as they are written.

    A Squeeze of no axes squeezes all in some runtimes, and none in others.
    """
    return written_axes(node) if node.op_type in ("Squeeze", "Unsqueeze") else None
