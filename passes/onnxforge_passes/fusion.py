"""Rewrites into one operator that computes the same, and rounds it differently."""

from __future__ import annotations

from onnxforge import Graph, RewritePass


class Fusion(RewritePass):
    """A rewrite that rounds differently, and so leaves graphs alone that quantize as they run.

    Where a float is rounded to one of 256 numbers, its last bit may decide which; layers later
    nothing of the old result is left, although every step was right.
    """

    def run(self, graph: Graph) -> int:
        """Replace every occurrence; return how many there were."""
        if quantizes(graph):
            graph.decline("the graph quantizes, and differences in rounding would be amplified")
            return 0
        return super().run(graph)


def quantizes(graph: Graph) -> bool:
    """Whether a graph, or one around it, quantizes as it runs."""
    around: Graph | None = graph
    while around is not None:
        for op_type in around.op_types:
            if op_type == "QuantizeLinear" or op_type.startswith("DynamicQuantize"):
                return True
        around = around.outer
    return False
