from __future__ import annotations

from math import prod

from onnxforge import Builder, Graph, Node, Pass, Value
from onnxforge.shapes import Known, Shape, known_equal

from .index_grid import grid
from .reshape_target import reshaped
from .view_merging import is_view


class GatherElimination(Pass):
    """Read past a Gather that takes all there is along an axis, in order.

    Its indices are computed, as tracing exporters spell `mask[batch, position]`: the mask is
    flattened, and indexed by the range of the batch times the length plus that of the positions.
    What is left of it is a view, which is written as an Unsqueeze or a Reshape of the tensor that
    was flattened.
    """

    operators = ("Gather",)

    def run(self, graph: Graph) -> int:
        """Replace such nodes; return how many."""
        found = (n for n in graph.calls("Gather") if not n.domain and not n.has_references)
        return sum(_read_past(graph, node) for node in found)


def _read_past(graph: Graph, node: Node) -> bool:
    data, after = node.inputs[0], node.output.shape
    if data is None or after is None or not _takes_all(node):
        return False
    op = Builder(graph, before=node)
    new = _viewed(op, data, after, node.version)
    if new is None:
        graph.decline("Gather: the shape cannot be written as that of one Reshape")
    done = new is not None and graph.replace(node.output, new)
    op.undo()
    return done


def _takes_all(node: Node) -> bool:
    """Whether the indices, in row-major order, are those of the axis, from the first to the last."""
    data, indices = node.inputs
    if data is None or not data.shape or indices is None or indices.is_constant:
        return False
    taken, length = grid(indices), data.shape[(node.attribute("axis") or 0) % len(data.shape)]
    if taken is None or taken.start != 0 or not known_equal(prod(taken.shape, start=1), length):
        return False
    strides: list[Known] = [prod(taken.shape[axis + 1 :], start=1) for axis in range(taken.rank)]
    triples = zip(taken.shape, taken.steps, strides, strict=True)
    return all(size == 1 or step == stride for size, step, stride in triples)


def _viewed(op: Builder, data: Value, after: Shape, version: int) -> Value | None:
    """The elements of *data* in another shape, by one view of it or of what it is a view of."""
    source: Value | None = data
    while source is not None and op.graph.sees(source):
        new = source if source.shape == after else reshaped(op, source, after, version)
        if new is not None:
            return new
        maker = source.producer
        source = maker.inputs[0] if maker is not None and is_view(maker) else None
    return None
