from __future__ import annotations

from itertools import zip_longest

import numpy as np

from onnxforge import Builder, Graph, Node, Pass, Value

from .integers import integers


class ExpandMerging(Pass):
    """Expand or Tile at once what is expanded or tiled twice, by constant sizes."""

    operators = ("Expand", "Tile")

    def run(self, graph: Graph) -> int:
        """Merge them; return how many."""
        nodes = (node for node in graph.calls(*self.operators) if not node.domain)
        return sum(_merge(graph, node) for node in nodes)


def _merge(graph: Graph, node: Node) -> bool:
    between = node.input(0)
    inner = between.producer if between is not None else None
    if between is None or inner is None or (inner.op_type, inner.domain) != (node.op_type, ""):
        return False
    source, first, second = inner.input(0), _numbers(inner), _numbers(node)
    if source is None or first is None or second is None or inner.graph is not graph:
        return False
    if between.is_output or list(between.consumers) != [node]:
        return False
    if node.op_type == "Tile":
        both = [a * b for a, b in zip(first, second, strict=False)]
        if len(first) != len(second):
            return False
    else:
        pairs = list(zip_longest(reversed(first), reversed(second), fillvalue=1))
        both = [a if b == 1 else b for a, b in pairs][::-1]
    op = Builder(graph, before=node)
    new = getattr(op, node.op_type)(source, np.array(both, np.int64), like=node)
    done = graph.replace(node.output, new)
    op.undo()
    return done


def _numbers(node: Node) -> list[int] | None:
    """The sizes or repeats, which are an input since opset 6 and ever since there is an Expand."""
    value: Value | None = node.input(1) if node.version >= 6 else None
    return integers(value)
