from __future__ import annotations

import numpy as np

from onnxforge import Builder, Graph, Node, Pass
from onnxforge.shapes import Shape, at_least, known_equal


class ExpandTargetFolding(Pass):
    """Write the computed target of an Expand as a constant.

    A size the input has already is written as 1, which leaves it as it is.
    """

    operators = ("Expand",)

    def run(self, graph: Graph) -> int:
        """Write the targets that can be; return how many."""
        return sum(_fold(graph, n) for n in graph.calls("Expand") if not n.domain)


def _fold(graph: Graph, node: Node) -> bool:
    data, shape = node.input(0), node.input(1)
    if data is None or shape is None or shape.is_constant or shape.contents is None:
        return False
    target = _target(data.shape, shape.contents.elements)
    if target is None:
        graph.decline("Expand: a size is neither known nor the input's own")
        return False
    op = Builder(graph, before=node)
    done = graph.replace(node.output, op.Expand(data, np.array(target, np.int64), like=node))
    op.undo()
    return done


def _target(before: Shape | None, sizes: Shape) -> list[int] | None:
    """The constant that expands *before* as *sizes* do."""
    if before is None:
        return None
    target: list[int] = []
    for back, size in zip(range(len(sizes), 0, -1), sizes, strict=True):
        source = before[-back] if back <= len(before) else None
        if isinstance(size, int):
            target.append(size)
        elif known_equal(size, source) or at_least(source, 2) or source == 0:
            target.append(1)  # the only other size that would not fail is the input's own
        else:
            return None
    return target
