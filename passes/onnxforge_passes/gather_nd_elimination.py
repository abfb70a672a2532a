from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnxforge import Builder, Graph, Node, Pass, Value
from onnxforge.shapes import Shape, known_equal

from .axes import axes_of
from .index_grid import grid
from .weights import Array

_MAX_GRID = 1 << 20


class GatherNdElimination(Pass):
    """Take all elements of a tensor, or those of one list of indices, without a GatherND.

    Indexing by the positions of a whole grid, `mask[batch, position]`, returns all of the tensor in
    order, with the dimensions of size 1 that the grid has: an Unsqueeze.  Indexing the first
    dimension alone is a Gather.
    """

    operators = ("GatherND",)

    def run(self, graph: Graph) -> int:
        """Rewrite them; return how many."""
        found = (node for node in graph.calls("GatherND") if not node.domain)
        return sum(_eliminate(graph, node) for node in found)


def _eliminate(graph: Graph, node: Node) -> bool:
    data, indices = node.inputs
    if data is None or indices is None or data.shape is None or indices.shape is None:
        return False
    depth = indices.shape[-1] if indices.shape else None
    if not isinstance(depth, int) or node.has_references or node.attribute("batch_dims"):
        return False
    op = Builder(graph, before=node)
    axes = axes_walked(indices, data.shape, depth)
    if axes is not None:
        added = [axis for axis in range(len(indices.shape) - 1) if axis not in axes]
        if not added:
            new = op.Identity(data)
        elif node.version < 13:
            new = op.Unsqueeze(data, axes=added)
        else:
            new = op.Unsqueeze(data, np.array(added, np.int64))
    elif depth == 1 and (single := _single(indices)) is not None:
        new = op.Gather(data, single, axis=0)
    else:
        return False
    done = graph.replace(node.output, new)
    op.undo()
    return done


def axes_walked(indices: Value, sizes: Shape, depth: int) -> list[int] | None:
    """Along which axes of the grid each of the first *depth* dimensions is walked, in order.

    None unless they are walked whole, and nothing else is.
    """
    assert indices.shape is not None
    sides = indices.shape[:-1]
    axes: list[int] = []
    for column, size in zip(_columns(indices, depth) or (), sizes, strict=False):
        axis = _axis(column, len(sides) + 1)
        if axis is None and size == 1 and _is_zero(column):
            later = range(axes[-1] + 1 if axes else 0, len(sides))
            axis = next((each for each in later if sides[each] == 1), None)
        if axis is None or axis in axes or axis == len(sides):
            return None
        if not known_equal(sides[axis], size):
            return None
        axes.append(axis)
    others = [size for axis, size in enumerate(sides) if axis not in axes]
    if len(axes) != depth or axes != sorted(axes) or any(size != 1 for size in others):
        return None
    return axes


def _columns(indices: Value, depth: int) -> Sequence[Value | Array] | None:
    """The indices of each dimension, of the shape of the grid and a last dimension of 1."""
    maker = indices.producer
    if not depth:
        return None
    if indices.is_constant:
        assert indices.shape is not None
        sizes = [size for size in indices.shape if isinstance(size, int)]
        if np.prod(sizes) > _MAX_GRID:
            return None
        return list(np.split(indices.numpy(), depth, axis=-1))
    if maker is None or maker.domain or maker.op_type != "Concat" or maker.has_references:
        return None
    columns = [value for value in maker.inputs if value is not None and value.shape is not None]
    if maker.attribute("axis") not in (-1, (indices.rank or 0) - 1) or len(columns) != depth:
        return None
    return columns if all(value.shape and value.shape[-1] == 1 for value in columns) else None


def _axis(column: Value | Array, rank: int) -> int | None:
    """The axis, of *rank*, along which numbers count from 0 while no other changes them."""
    if not isinstance(column, Value):
        return counted(column, rank)
    if column.is_constant:
        return counted(column.numpy(), rank)
    found = grid(column)
    if found is None or found.start != 0:
        return None
    moving = [axis for axis, step in enumerate(found.steps) if step != 0]
    return moving[0] if len(moving) == 1 and found.steps[moving[0]] == 1 else None


def _is_zero(column: Value | Array) -> bool:
    """Whether all indices are 0, which is a walk along one element."""
    found = grid(column) if isinstance(column, Value) else None
    return found is not None and found.start == 0 and not any(found.steps)


def counted(array: Array, rank: int) -> int | None:
    """The axis along which an array of *rank* dimensions counts from 0, and only along it."""
    for axis, size in enumerate(array.shape):
        line = np.arange(size).reshape([-1 if each == axis else 1 for each in range(rank)])
        if array.ndim == rank and np.array_equal(array, np.broadcast_to(line, array.shape)):
            return axis
    return None


def _single(indices: Value) -> Value | Array | None:
    """The list of indices, without the last dimension of size 1."""
    if indices.is_constant:
        return indices.numpy()[..., 0]
    maker = indices.producer
    if maker is None or maker.op_type != "Unsqueeze" or maker.domain:
        return None
    source = maker.input(0)
    is_last = indices.rank is not None and axes_of(maker, indices.rank) == [indices.rank - 1]
    return source if is_last else None
