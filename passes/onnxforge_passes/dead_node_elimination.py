from __future__ import annotations

from onnxforge import Graph, Pass


class DeadNodeElimination(Pass):
    """Remove the nodes no graph output depends on."""

    def run(self, graph: Graph) -> int:
        """Remove them; operators that may have effects stay."""
        return graph.prune()
