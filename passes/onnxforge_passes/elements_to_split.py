from __future__ import annotations

import numpy as np

from onnxforge import Builder, Graph, Node, Pass, Value

from .axes import written_axes
from .integers import integers
from .reshape_target import reshape_target
from .split_deferral import split_into
from .transpose_merging import is_transpose, permutation
from .view_merging import is_view


class ElementsToSplit(Pass):
    """Split once where the elements along a dimension are taken out one by one.

    That is a Split into parts of size 1 that are squeezed, or a Gather of each index, as of the
    queries, keys and values in a tensor of all three.  The dimension is merged with the one behind
    it, so that there is nothing to squeeze:

        [N, 3, H, D] -> 3 times [N, H, D]   becomes   [N, 3 * H, D] -> 3 times [N, H, D]

    A Transpose ahead of it is done without the dimension.
    """

    operators = ("Gather", "Split")

    def run(self, graph: Graph) -> int:
        """Write the Splits; return how many."""
        changes = 0
        for node in graph.calls("Gather", "Split"):
            data = node.input(0)
            if node.domain or data is None or data.is_output or node.has_references:
                continue
            taken, reader = (
                (node.outputs, "Squeeze") if node.op_type == "Split" else ((data,), "Gather")
            )
            if any(n.op_type != reader for v in taken for n in v.consumers) or not data.rank:
                continue
            axis = node.attribute("axis") % data.rank
            elements = (_of_split if node.op_type == "Split" else _of_gathers)(node, data, axis)
            if elements is not None:
                changes += _rewrite(graph, node, axis, elements)
        return changes


def _of_split(split: Node, data: Value, axis: int) -> list[Value] | None:
    """What a Split takes out, if it takes single elements, and each is squeezed."""
    found = []
    for part in split.outputs:
        readers = list(part.consumers)
        if len(readers) != 1 or part.is_output or readers[0].graph is not split.graph:
            return None
        (squeeze,) = readers
        if squeeze.op_type != "Squeeze" or squeeze.domain or squeeze.has_references:
            return None
        axes = written_axes(squeeze)
        if axes is None or [each % (data.rank or 1) for each in axes] != [axis]:
            return None
        found.append(squeeze.output)
    return found if list(data.consumers) == [split] else None


def _of_gathers(first: Node, data: Value, axis: int) -> list[Value] | None:
    """What Gathers take out, if together they take each element once."""
    size = data.shape[axis] if data.shape is not None else None
    if not isinstance(size, int):
        return None
    found: dict[int, Value] = {}
    for node in data.consumers:
        if node.op_type != "Gather" or node.domain or node.graph is not first.graph:
            return None
        index = node.input(1)
        if node.inputs[0] is not data or index is None or index.rank != 0 or node.has_references:
            return None
        numbers = integers(index)
        if numbers is None or node.attribute("axis") % (data.rank or 1) != axis:
            return None
        found[numbers[0] % size] = node.output
    once = len(found) == len(data.consumers) == size
    return [found[index] for index in range(size)] if once else None


def _rewrite(graph: Graph, first: Node, axis: int, elements: list[Value]) -> bool:
    data = first.inputs[0]
    assert data is not None
    transpose, perm = data.producer, list(range(data.rank or 0))
    if transpose is not None and transpose.graph is graph and is_transpose(transpose):
        data, perm = transpose.inputs[0], permutation(transpose) or perm
    shape = data.shape if data is not None else None
    if data is None or shape is None:
        return False
    source = perm[axis]
    if source + 1 == len(shape) or not isinstance(size := shape[source + 1], int):
        graph.decline("there is no dimension of known size behind")
        return False
    count = len(elements)
    target = reshape_target(shape, (*shape[:source], count * size, *shape[source + 2 :]))
    if target is None:
        graph.decline("the shape cannot be written as that of one Reshape")
        return False
    maker = data.producer
    merges = maker is not None and is_view(maker) and len(data.consumers) == 1
    before = count + 1 if first.op_type == "Split" else count
    if count < 2 or before <= (1 if merges else 2):
        graph.decline("it would not save a node")
        return False
    op = Builder(graph, before=first)
    whole = op.Reshape(data, np.array(target, np.int64))
    rest = [each - (each > source) for each in perm if each != source]
    if rest != sorted(rest):
        whole = op.Transpose(whole, perm=rest, like=transpose)
    parts = split_into(op, whole, rest.index(source), [size] * count)
    done = [graph.replace(old, new) for old, new in zip(elements, parts, strict=True)]
    op.undo()
    return any(done)
