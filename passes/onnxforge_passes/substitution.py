from __future__ import annotations

from collections.abc import Iterable

from onnxforge import Builder, Graph, Node, Value


class Substitution:
    """Puts what a copied body computes in place of a node's outputs, or takes the copy out again.

    Begin one before the body is copied; `op` draws what else is needed, ahead of the node.
    """

    def __init__(self, graph: Graph, node: Node) -> None:
        self.op = Builder(graph, before=node)
        self._graph = graph
        self._node = node
        # Only a checker refuses what the graph would do.
        self._before = dict.fromkeys(graph) if graph.model.checker is not None else {}

    def finish(self, results: Iterable[Value | None]) -> bool:
        """Let *results* stand for the outputs, in order; whether one does."""
        graph, replaced = self._graph, []
        for old, new in zip(self._node.outputs, results, strict=False):
            if new is None or not old.is_used:
                continue
            if old.is_output and (new.producer is None or new.is_output or new.graph is not graph):
                new = self.op.Identity(new)  # the output's name needs a node that may bear it
            replaced.append(graph.replace(old, new))
        if self._before and not all(replaced):
            copied = [node for node in reversed(graph) if node not in self._before]
            graph.sweep(value for node in copied for value in node.outputs)
        self.op.undo()
        return any(replaced)
