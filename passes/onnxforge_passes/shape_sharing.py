from __future__ import annotations

from onnxforge import Graph, Pass, Value, shapes


class ShapeSharing(Pass):
    """Compute each size once: shapes, and what is computed from them, that are provably equal.

    However they are computed: the size of a batch, read off every layer anew, is read off the
    first alone, and a product of sizes is that of the same sizes elsewhere.
    """

    def run(self, graph: Graph) -> int:
        """Let the first of equal values stand for the others; return how many these were."""
        is_inner = graph.outer is not None or graph.operator is not None
        if not (is_inner or graph.has("Shape") or graph.has("Size")):
            return 0  # sizes are neither read here nor come from around the graph
        changes = 0
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
                if known is not value:
                    changes += graph.replace(value, known)
        return changes
