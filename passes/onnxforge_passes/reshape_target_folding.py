from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from onnxforge import Builder, Graph, Node, Pass, Value

from .reshape_target import reshaped


@dataclass(frozen=True)
class ReshapeTargetFolding(Pass):
    """Write the computed target of a Reshape as a constant.

    A size that is known is written as the number it is, one that is the input's own at that place
    as 0, which copies it, and one that follows from the others as -1.  If the target but adds
    dimensions of size 1, or drops them, the Reshape is an Unsqueeze or a Squeeze.  The nodes that
    computed the target then have nobody to read them.

    Beside a -1 no size may be zero, or a model that did with an empty batch no longer does.  None
    of those beside a -1 that the target says itself is, and with `nonempty` it is taken for granted
    that none ever is.
    """

    nonempty: bool = False

    def run(self, graph: Graph) -> int:
        """Write the targets that can be; return how many."""
        nodes = (n for n in graph.calls("Reshape") if not n.domain and n.version >= 5)
        return sum(self._fold(graph, node) for node in nodes)

    def _fold(self, graph: Graph, node: Node) -> bool:
        data, shape = node.input(0), node.input(1)
        if data is None or shape is None or shape.is_constant or node.has_references:
            return False
        after = node.output.shape
        nonempty = range(len(after or ())) if self.nonempty else _not_empty(shape)
        op = Builder(graph, before=node)
        new = None if after is None else reshaped(op, data, after, node.version, nonempty=nonempty)
        if new is None:
            graph.decline("Reshape: more than one size is unknown")
        done = new is not None and graph.replace(node.output, new)
        op.undo()
        return done


def _not_empty(shape: Value) -> Container[int]:
    """The axes that are not of size zero, or the Reshape would fail: those beside a -1."""
    sizes = shape.contents.elements if shape.contents is not None else ()
    return [axis for axis, size in enumerate(sizes) if size != -1] if -1 in sizes else ()
