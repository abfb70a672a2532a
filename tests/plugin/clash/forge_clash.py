"""A package that claims a name another one has."""

from __future__ import annotations

from onnxforge import Graph, Pass


class Other(Pass):
    """Do nothing."""

    def run(self, graph: Graph) -> int:
        """Do nothing to *graph*."""
        return 0
