from __future__ import annotations

from onnxforge import Graph, Pass


class IdentityElimination(Pass):
    """Read past Identity nodes."""

    operators = ("Identity",)

    def run(self, graph: Graph) -> int:
        """Replace each Identity by what it reads."""
        identities = (node for node in graph.calls("Identity") if not node.domain)
        pairs = ((node.output, node.input(0)) for node in identities)
        return sum(graph.replace(old, new) for old, new in pairs if new is not None)
