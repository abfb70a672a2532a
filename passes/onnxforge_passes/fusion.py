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
        if any(map(_quantizes, _enclosing(graph))):
            graph.decline("the graph quantizes, and differences in rounding would be amplified")
            return 0
        return super().run(graph)


def _enclosing(graph: Graph | None) -> list[Graph]:
    graphs = []
    while graph is not None:
        graphs.append(graph)
        graph = graph.outer
    return graphs


def _quantizes(graph: Graph) -> bool:
    return any(
        op_type == "QuantizeLinear" or op_type.startswith("DynamicQuantize")
        for op_type in graph.op_types
    )
