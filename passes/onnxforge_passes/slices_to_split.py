from __future__ import annotations

import numpy as np

from onnxforge import Builder, Graph, Node, Pass, Value

from .slice_merging import Cut, cuts


class SlicesToSplit(Pass):
    """Slices that cut a tensor into pieces along an axis are one Split."""

    operators = ("Slice",)

    def run(self, graph: Graph) -> int:
        """Rewrite them; return how many Splits there are for it."""
        groups: dict[tuple[Value, int], dict[Node, Cut]] = {}
        for node in graph.calls("Slice"):
            if node.domain or node.version < 10:
                continue
            data, found = node.input(0), cuts(node)
            if data is not None and found is not None and len(found) == 1:
                ((axis, cut),) = found.items()
                groups.setdefault((data, axis), {})[node] = cut
        pieces = [(axis, group) for (_, axis), group in groups.items() if len(group) > 1]
        return sum(_split(graph, axis, group) for axis, group in pieces)


def _split(graph: Graph, axis: int, group: dict[Node, Cut]) -> bool:
    first = next(iter(group))
    data = first.input(0)  # which may be a part of a Split that was made a moment ago
    size = data.shape[axis] if data is not None and data.shape is not None else None
    if data is None or not isinstance(size, int):
        return False
    pieces = {node: range(size)[slice(*cut)] for node, cut in group.items()}
    ordered = sorted(pieces, key=lambda node: pieces[node].start)
    end = 0
    for node in ordered:
        piece = pieces[node]
        if not piece or piece.step != 1 or piece.start != end or not node.output.is_used:
            return False
        end = piece.stop
    if end != size:
        return False
    op = Builder(graph, before=first)
    lengths = [len(pieces[node]) for node in ordered]
    if first.version < 13:
        parts = op.Split(data, axis=axis, split=lengths, outputs=len(ordered))
    else:
        parts = op.Split(data, np.array(lengths, np.int64), axis=axis, outputs=len(ordered))
    done = [graph.replace(n.output, part) for n, part in zip(ordered, parts, strict=True)]
    op.undo()
    return any(done)
