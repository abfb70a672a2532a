from __future__ import annotations

from onnxforge import Builder, Graph, Node, Pass, Value
from onnxforge.shapes import DimLike, Shape


class ExpandElimination(Pass):
    """Let an operator that broadcasts read what an Expand reads, where its result is the same.

    That is where each size the Expand made comes from the other operands as well.
    """

    operators = ("Expand",)

    def run(self, graph: Graph) -> int:
        """Redirect such operators; return how many operands."""
        return sum(_redirect(graph, n) for n in graph.calls("Expand") if not n.domain)


def _redirect(graph: Graph, expand: Node) -> bool:
    value, source = expand.output, expand.input(0)
    # All its readers, or the Expand stays, and then reading past it gains nothing.
    if source is None or value.is_output or not value.consumers:
        return False
    readers = list(value.consumers)
    if not all(reader.graph is graph and _broadcasts(reader, value, source) for reader in readers):
        return False
    done = False
    for reader in readers:
        op = Builder(graph, before=reader)
        operands = [source if each is value else each for each in reader.inputs]
        new = getattr(op, reader.op_type)(*operands, like=reader)
        done |= graph.replace(reader.output, new)
        op.undo()
    return done


def _broadcasts(node: Node, value: Value, source: Value) -> bool:
    """Whether *node* gives the same for *source* as for *value*."""
    if not node.operator.elementwise or node.domain or node.version < 8 or len(node.inputs) < 2:
        return False
    if node.op_type in ("CastLike", "Clip", "PRelu") or node.has_references:
        return False
    result = node.output.shape
    shapes = [
        source.shape if each is value else each.shape for each in node.inputs if each is not None
    ]
    known = [shape for shape in shapes if shape is not None]
    if result is None or len(known) < len(shapes) or max(map(len, known)) != len(result):
        return False
    return all(
        _size([_from_the_end(shape, back) for shape in known]) == size is not None
        for back, size in zip(range(len(result), 0, -1), result, strict=True)
    )


def _from_the_end(shape: Shape, back: int) -> DimLike:
    return shape[-back] if back <= len(shape) else 1


def _size(sizes: list[DimLike]) -> DimLike:
    """What sizes are broadcast to, if they are equal or 1; None if that is not known."""
    others = {size: None for size in sizes if size != 1}
    return next(iter(others), 1) if len(others) <= 1 else None
