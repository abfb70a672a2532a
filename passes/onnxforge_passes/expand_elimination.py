from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from onnxforge import Builder, Graph, Node, Pass, Value
from onnxforge.shapes import DimLike, Shape
from onnxforge.storage import to_array

from .arithmetic_identity_elimination import sources_of
from .numpy_kernels import Array

_EXPANDING = frozenset({"Add", "And", "ConstantOfShape", "Expand", "Mul", "Or", "Tile"})
# What is expanded is a mask, or a bias: a few operators on, all layers have read it.
_MAX_READERS = 128


class ExpandElimination(Pass):
    """Let operators that broadcast read what an Expand reads, where their result is the same.

    That is where each size the Expand made comes from their other operands as well, if not at once
    then a few operators on.  A Tile of dimensions of size 1 is an Expand, a ConstantOfShape is one
    of its number, and so is arithmetic that changes nothing but the shape, as `And` with a tensor
    that is true.  Rows that a Gather takes are expanded if its indices are.
    """

    def run(self, graph: Graph) -> int:
        """Read past them; return how many results there were."""
        found = (n for n in graph if n.op_type in _EXPANDING and not n.domain)
        return sum(_redirect(graph, node, source) for node in found for source in _sources(node))


class _Reader(NamedTuple):
    """A node that reads what was expanded, and the shape it makes of what was not."""

    node: Node
    shape: Shape


def _sources(node: Node) -> Iterable[Value | Array]:
    """What *node* only repeats, if there is anything."""
    first = node.inputs[0]
    if node.has_references or first is None:
        return
    if node.op_type == "Expand":
        yield first
    elif node.op_type == "ConstantOfShape":
        tensor = node.attribute("value")
        folder = node.output.graph.model.folder
        yield np.zeros((), np.float32) if tensor is None else to_array(tensor, folder).reshape(())
    elif node.op_type == "Tile":
        repeats = node.input(1)
        counts = repeats.contents.elements if repeats is not None and repeats.contents else ()
        pairs = list(zip(first.shape or (), counts, strict=False))
        if len(pairs) == first.rank and all(size == 1 or count == 1 for size, count in pairs):
            yield first
    else:
        yield from sources_of(node)


def _redirect(graph: Graph, expand: Node, source: Value | Array) -> bool:
    # All its readers, or the Expand stays, and then reading past it gains nothing.
    if source.shape is None or source.shape == expand.output.shape:
        return False
    readers = _readers(graph, expand.output, source.shape)
    if not readers:
        return False
    done = False
    smaller = {expand.output: source if isinstance(source, Value) else graph.constant(source)}
    for reader in readers:
        node = reader.node
        op = Builder(graph, before=node)
        operands = [smaller.get(v, v) if v is not None else None for v in node.inputs]
        new = getattr(op, node.op_type)(*operands, like=node)
        if reader.shape == node.output.shape:
            done |= graph.replace(node.output, new)
        else:
            smaller[node.output] = new
    graph.sweep(smaller.values())
    return done


def _readers(graph: Graph, value: Value, shape: Shape) -> list[_Reader] | None:
    """Whatever depends on *value*, up to where its shape no longer shows; None if it always does."""
    smaller = {value: shape}
    readers: dict[Node, _Reader] = {}
    pending = [value]
    for each in pending:
        if each.is_output or not each.consumers:
            return None
        for node in each.consumers:
            if node.graph is not graph or node in readers or len(readers) == _MAX_READERS:
                return None
            shapes = [smaller.get(v, v.shape) for v in node.inputs if v is not None]
            result = _broadcast(node, shapes)
            if result is None:
                return None
            readers[node] = _Reader(node, result)
            if result != node.output.shape:
                smaller[node.output] = result
                pending.append(node.output)
    return list(readers.values())


def _broadcast(node: Node, shapes: list[Shape | None]) -> Shape | None:
    """The shape of what *node* gives for operands of these; None if that is not known."""
    if node.op_type == "Gather" and not node.domain and not node.attribute("axis"):
        rows, indices = shapes
        was = node.inputs[0].shape if node.inputs[0] is not None else None
        # In front of the dimensions of a row, those of the indices may be broadcast as well.
        return (*indices, *rows[1:]) if rows and rows == was and indices is not None else None
    if not node.operator.elementwise or node.domain or node.version < 8 or node.has_references:
        return None
    if len(shapes) > 1 and node.op_type in ("CastLike", "Clip", "PRelu"):
        return None
    known = [shape for shape in shapes if shape is not None]
    if len(known) < len(shapes):
        return None
    rank = max(map(len, known))
    sizes = [_size([_from_the_end(shape, back) for shape in known]) for back in range(rank, 0, -1)]
    return None if None in sizes else tuple(sizes)


def _from_the_end(shape: Shape, back: int) -> DimLike:
    return shape[-back] if back <= len(shape) else 1


def _size(sizes: list[DimLike]) -> DimLike:
    """What sizes are broadcast to, if they are equal or 1; None if that is not known."""
    others = {size: None for size in sizes if size != 1}
    return next(iter(others), 1) if len(others) <= 1 else None
