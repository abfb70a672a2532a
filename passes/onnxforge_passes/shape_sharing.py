from __future__ import annotations

from onnxforge import Graph, Model, Pass, Value, shapes


class ShapeSharing(Pass):
    """Compute each size once: shapes, and what is computed from them, that are provably equal.

    However they are computed: the size of a batch, read off every layer anew, is read off the
    first alone, and a product of sizes is that of the same sizes elsewhere.
    """

    operators = ("Shape", "Size")

    def apply(self, model: Model) -> int:
        """Look at bodies and functions as well that read no sizes: some may come from around them."""
        graphs = (g for g in model.graphs() if self.concerns(g.op_types) or _is_inner(g))
        return sum(map(self.run, graphs))

    def run(self, graph: Graph) -> int:
        """Let the first of equal values stand for the others; return how many these were."""
        changes = 0
        first: dict[tuple[int, shapes.ShapeValue], Value] = {}
        # All symbols come from these operators, and from what was computed of what they gave.
        sizes: set[Value] = set()
        for node in graph:
            if node.domain or not shapes.follows(node.op_type):
                continue
            if node.op_type not in self.operators and not any(
                value in sizes or (_is_from_around(graph, value) and _sizes(value) is not None)
                for value in node.inputs
                if value is not None
            ):
                continue
            for value in node.outputs:
                contents = _sizes(value) if value.is_used else None
                if contents is None or value.dtype is None:
                    continue
                sizes.add(value)
                if None in contents.elements:
                    continue
                known = first.setdefault((value.dtype, contents), value)
                if known is not value:
                    changes += graph.replace(value, known)
        return changes


def _is_inner(graph: Graph) -> bool:
    return graph.outer is not None or graph.operator is not None


def _sizes(value: Value) -> shapes.ShapeValue | None:
    """What is in *value*, if there are symbols; of numbers constant folding makes constants."""
    contents = value.contents
    return None if contents is None or contents.constants() is not None else contents


def _is_from_around(graph: Graph, value: Value) -> bool:
    """Whether sizes may come into a body, or a function, by *value*."""
    if value.graph is not graph:
        return not value.is_constant
    return graph.operator is not None and value.is_input
