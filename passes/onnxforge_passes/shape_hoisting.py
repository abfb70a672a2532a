from __future__ import annotations

from onnxforge import Builder, Graph, Node, Pass, Value


class ShapeHoisting(Pass):
    """Take the shape of a tensor of which nothing else is wanted from one that is needed anyway.

    If only the shape of a tensor is read, an input of the node that computes it, with provably the
    same shape, tells as much; so does one further back, until something else is wanted as well.
    """

    operators = ("Shape", "Size")

    def run(self, graph: Graph) -> int:
        """Redirect such Shapes; return how many."""
        shapes = [node for node in graph.calls("Shape", "Size") if not node.domain]
        return sum(_hoist(graph, node) for node in reversed(shapes))


def _hoist(graph: Graph, node: Node) -> bool:
    found = value = node.input(0)
    while value is not None and _is_measured_only(value):
        value = _same_shape_input(value)
        found = value or found
    if found is None or found is node.input(0):
        return False
    op = Builder(graph, before=node)
    done = graph.replace(node.output, getattr(op, node.op_type)(found, like=node))
    op.undo()
    return done


def _is_measured_only(value: Value) -> bool:
    measured = all(n.op_type in ("Shape", "Size") and not n.domain for n in value.consumers)
    return measured and not value.is_output


def _same_shape_input(value: Value) -> Value | None:
    """An input of the node that computes *value* that has the same shape."""
    node = value.producer
    if node is None or node.graph is not value.graph:
        return None
    operator = node.operator
    if operator.effects or not operator.deterministic:
        return None
    operands = [v for v in node.inputs if v is not None and not v.is_constant]
    if operator.elementwise and len(node.inputs) == 1:
        return operands[0] if operands else None
    for operand in operands:
        shape = operand.shape
        if shape is not None and None not in shape and shape == value.shape:
            return operand
    return None
