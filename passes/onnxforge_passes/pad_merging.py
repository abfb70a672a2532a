from __future__ import annotations

import numpy as np

from onnxforge import Builder, Graph, Node, Pass

from .integers import integers
from .slice_merging import END, cuts

_MODES = ("constant", "edge")


class PadMerging(Pass):
    """Pad once what is padded twice alike, and not at all what is cut off again by a Slice."""

    operators = ("Pad",)

    def run(self, graph: Graph) -> int:
        """Merge them; return how many went."""
        changes = 0
        for node in graph.calls("Pad", "Slice"):
            data = node.input(0)
            inner = data.producer if data is not None else None
            if inner is None or inner.op_type != "Pad" or node.domain or inner.domain:
                continue
            changes += (_merge if node.op_type == "Pad" else _undo)(graph, node, inner)
        return changes


def _amounts(pad: Node) -> list[int] | None:
    """What a Pad adds ahead of each axis, then behind each; None if that is not known."""
    data = pad.input(0)
    if data is None or data.rank is None or pad.has_references or pad.version < 2:
        return None
    if pad.version < 11:
        written: list[int] | None = pad.attribute("pads")
    else:
        written = integers(pad.input(1))
    axes = list(range(data.rank)) if pad.input(3) is None else integers(pad.input(3))
    if written is None or axes is None or len(written) != 2 * len(axes):
        return None
    amounts = [0] * (2 * data.rank)
    for index, axis in enumerate(axes):
        amounts[axis % data.rank] = written[index]
        amounts[axis % data.rank + data.rank] = written[index + len(axes)]
    return amounts


def _merge(graph: Graph, node: Node, inner: Node) -> bool:
    first, second = _amounts(inner), _amounts(node)
    mode, source = node.attribute("mode"), inner.input(0)
    if first is None or second is None or source is None or list(inner.output.consumers) != [node]:
        return False
    if inner.output.is_output or mode not in _MODES or mode != inner.attribute("mode"):
        return False
    same = mode == "edge" or _fill(node) == _fill(inner)
    # What one adds the other must not take away.
    both = [*first, *second]
    if not same or (min(both) < 0 < max(both)) or (mode == "edge" and min(both) < 0):
        return False
    total = [a + b for a, b in zip(first, second, strict=True)]
    op = Builder(graph, before=node)
    if node.version < 11:
        new = op.Pad(source, like=node, pads=total)
    else:
        new = op.Pad(source, np.array(total, np.int64), node.input(2), like=node)
    done = graph.replace(node.output, new)
    op.undo()
    return done


def _undo(graph: Graph, node: Node, pad: Node) -> bool:
    """Read past a Pad and the Slice that takes off again all it adds, and no more."""
    amounts, taken, source = _amounts(pad), None if node.version < 10 else cuts(node), pad.input(0)
    if amounts is None or taken is None or source is None or source.shape is None:
        return False
    rank = len(source.shape)
    for axis, size in enumerate(source.shape):
        ahead, behind = amounts[axis], amounts[axis + rank]
        cut = taken.get(axis)
        if min(ahead, behind) < 0 or (cut is None and (ahead or behind)):
            return False
        if cut is None:
            continue
        ends = [END if behind == 0 else -behind]
        if isinstance(size, int):
            ends += [ahead + size, *([END] if behind == 0 else [])]
        starts = [ahead] + ([-size - behind] if isinstance(size, int) and size else [])
        if cut.step != 1 or cut.end not in ends or cut.start not in starts:
            return False
    return graph.replace(node.output, source)


def _fill(pad: Node) -> object:
    """What a Pad adds, in a form that can be compared; an object of its own if unknown."""
    if pad.version < 11:
        return pad.attribute("value")
    value = pad.input(2)
    if value is None:
        return b"\0"
    if not value.is_constant:
        return value
    data = value.numpy().tobytes()
    return data if any(data) else b"\0"
