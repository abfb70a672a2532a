from __future__ import annotations

from onnxforge import Graph, Node, Pass, Value, shapes

_MAX_NODES = 32


class ShapeSharing(Pass):
    """Compute each size once: shapes, and what is computed from them, that are provably equal.

    However they are computed: the size of a batch, read off every layer anew, is read off the
    first alone, and a product of sizes is that of the same sizes elsewhere.

    What a Reshape computes from the shape of its own input is left alone: runtimes know how to read
    that as copied sizes, where a constant target could not say it.
    """

    def run(self, graph: Graph) -> int:
        """Let the first of equal values stand for the others; return how many these were."""
        changes = 0
        kept = _own_sizes(graph)
        first: dict[tuple[int, shapes.ShapeValue], Value] = {}
        for node in graph:
            if node.domain or not shapes.follows(node.op_type):
                continue
            for value in node.outputs:
                contents = value.contents if value.is_used else None
                if contents is None or None in contents.elements or value.dtype is None:
                    continue
                if contents.constants() is not None:
                    continue  # constant folding's
                known = first.setdefault((value.dtype, contents), value)
                if known is not value and value not in kept:
                    changes += graph.replace(value, known)
        return changes


def _own_sizes(graph: Graph) -> dict[Value, None]:
    """The values by which Reshapes compute their targets from the shapes of their inputs."""
    found: dict[Value, None] = {}
    for node in graph.calls("Reshape"):
        if not node.domain and len(node.inputs) > 1:
            values = _upstream(node)
            makers = [value.producer for value in values]
            if any(m is not None and m.op_type == "Shape" and m.input(0) is node.input(0)
                   for m in makers):  # fmt: skip
                found.update(values)
    return found


def _upstream(node: Node) -> dict[Value, None]:
    """What the target of a Reshape is computed from, as far back as shapes."""
    found: dict[Value, None] = {}
    stack = [node.input(1)]
    while stack and len(found) < _MAX_NODES:
        value = stack.pop()
        if value is None or value in found or value.producer is None:
            continue
        found[value] = None
        if shapes.follows(value.producer.op_type) and value.producer.op_type != "Shape":
            stack += value.producer.inputs
    return found
