from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

import numpy as np

from onnxforge import Builder, Graph, Node, Pass
from onnxforge.shapes import DimLike, known_equal

from .reshape_target import reshape_target


@dataclass(frozen=True)
class ReshapeTargetFolding(Pass):
    """Write the computed target of a Reshape as a constant.

    A size that is known is written as the number it is, one that is the input's own at that place
    as 0, which copies it, and one that follows from the others as -1.  The nodes that computed the
    target then have nobody to read them.

    Beside a -1 no size may be zero.  None is if the model says -1 itself elsewhere, beside the same
    size; with `nonempty`, it is taken for granted that no size ever is.
    """

    operators = ("Reshape",)

    nonempty: bool = False

    def run(self, graph: Graph) -> int:
        """Write the targets that can be; return how many."""
        nodes = [n for n in graph.calls("Reshape") if not n.domain and n.version >= 5]
        positive: Container[DimLike] = _Everything() if self.nonempty else _positive(nodes)
        return sum(_fold(graph, node, positive) for node in nodes)


class _Everything(Container[DimLike]):
    def __contains__(self, size: object) -> bool:
        return size != 0


def _positive(nodes: list[Node]) -> dict[DimLike, None]:
    """The sizes that are not zero, or a Reshape would fail."""
    found: dict[DimLike, None] = {}
    for node in nodes:
        target, after = node.input(1), node.output.shape
        contents = target.contents if target is not None else None
        if contents is None or after is None or -1 not in contents.elements:
            continue
        if node.output.is_used and not node.attribute("allowzero"):
            pairs = zip(contents.elements, after, strict=True)
            found.update((size, None) for entry, size in pairs if entry != -1)
    found.pop(None, None)
    return found


def _fold(graph: Graph, node: Node, positive: Container[DimLike]) -> bool:
    data, shape = node.input(0), node.input(1)
    if data is None or shape is None or shape.is_constant or node.has_references:
        return False
    target = _target(node, positive)
    if target is None:
        graph.decline("Reshape: more than one size is unknown")
        return False
    op = Builder(graph, before=node)
    done = graph.replace(
        node.output, op.Reshape(data, np.array(target, np.int64), like=node, allowzero=None)
    )
    op.undo()
    return done


def _target(node: Node, positive: Container[DimLike]) -> list[int] | None:
    """The constant that does what the computed target does."""
    data, shape = node.inputs[:2]
    assert data is not None
    assert shape is not None
    before, after = data.shape, node.output.shape
    contents = shape.contents
    if contents is None or -1 not in contents.elements:
        return None if after is None else reshape_target(before, after, positive)
    # It says -1 itself, so nothing else may be left open; what fails there fails here.
    if node.attribute("allowzero"):
        return None
    target: list[int] = []
    for axis, size in enumerate(contents.elements):
        source = before[axis] if before is not None and axis < len(before) else None
        result = after[axis] if after is not None else None
        if isinstance(size, int):
            target.append(size)
        elif isinstance(result, int) and result != 0:
            target.append(result)
        elif known_equal(size, source):
            target.append(0)
        else:
            return None
    return target
