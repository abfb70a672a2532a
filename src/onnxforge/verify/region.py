"""Where to cut: the pieces of graph on which an edit shows whether it is right.

What is equal for all inputs of a cut-out piece is equal in the model, so the nearest cut proves
most and costs least.  The reverse does not hold: an edit may be right only because of how the
values at the cut are computed.  So where the nearest cut shows a difference, the next one is
further back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from onnxforge.extract import between, reads
from onnxforge.ir import Node, Value
from onnxforge.shapes import is_named

Starts: TypeAlias = dict[Value, None]
"""The values a region starts from, as an ordered set."""


def cuts(old: Value, new: Value, limit: int) -> Iterator[Starts]:
    """The starts of regions that hold *old* and *new*, nearest first, of up to *limit* nodes.

    The nearest starts from the values both are computed from; if there are none, as when *new* is
    a constant, from what *old* reads.
    """
    shared = ancestors(old, limit).keys() & ancestors(new, limit).keys()
    starts = _walk((old, new), shared, limit) if shared else _behind({old: None, new: None}, 1)
    levels = 1
    while True:
        yield starts
        further = _walk((old, new), _behind(starts, levels).keys(), limit)
        if further.keys() == starts.keys():
            return
        starts = further
        levels *= 2


def ancestors(value: Value, limit: int) -> Starts:
    """*value* and what it is computed from, constants left out, nearest first."""
    found: Starts = {}
    queue = deque([value])
    nodes: dict[Node, None] = {}
    while queue:
        each = queue.popleft()
        if each in found or each.is_constant:
            continue
        found[each] = None
        node = each.producer
        if node is not None and node.graph is not None and node not in nodes:
            nodes[node] = None
            if len(nodes) <= limit:
                queue.extend(reads(node))
    return found


def obstacle(old: Value, new: Value, starts: Starts) -> str:
    """Why a region cannot be checked by running it; empty if nothing is in the way."""
    nodes, _ = between((old, new), starts)
    for node in (*nodes, *_unshared_sources(old, new, starts)):
        name = f"{node.domain}::{node.op_type}" if node.domain else node.op_type
        if not node.operator.deterministic:
            return f"{name} is not known to be deterministic"
        if node.has_references:
            return "attributes are set by the callers of a function"
    return ""


def _unshared_sources(old: Value, new: Value, starts: Starts) -> list[Node]:
    """Those producers of starts that are random and that only one of the two depends on."""
    ends = [between((value,), starts)[1] for value in (old, new)]
    found: dict[Node, None] = {}
    for one, other in (ends, reversed(ends)):
        for value in one:
            if value not in other and value.producer is not None:
                found[value.producer] = None
    return [node for node in found if not node.operator.deterministic]


def _walk(ends: Iterable[Value], stops: Iterable[Value], limit: int) -> Starts:
    """Walk back from *ends*, up to *stops* or *limit* nodes; where the walk ended."""
    stop = dict.fromkeys(stops)
    starts: Starts = {}
    seen: Starts = {}
    nodes: dict[Node, None] = {}
    queue = deque(ends)
    while queue:
        value = queue.popleft()
        if value in seen or value.is_constant:
            continue
        seen[value] = None
        node = value.producer
        # What no sample can be drawn of is computed, however far back the walk leads.
        if (value in stop and _is_known(value)) or not _is_passable(value):
            starts[value] = None
        elif node in nodes:
            continue
        elif len(nodes) >= limit:
            starts[value] = None
        elif node is not None:
            nodes[node] = None
            queue.extend(reads(node))
    return starts


def _behind(starts: Starts, levels: int) -> Starts:
    """What *starts* are computed from, *levels* nodes back."""
    for _ in range(levels):
        further: Starts = {}
        for value in starts:
            if _is_passable(value):
                assert value.producer is not None
                further.update((v, None) for v in reads(value.producer) if not v.is_constant)
            elif not value.is_constant:
                further[value] = None
        starts = further
    return starts


def _is_passable(value: Value) -> bool:
    node = value.producer
    return node is not None and node.graph is not None and node.operator.deterministic


def _is_known(value: Value) -> bool:
    """Whether enough is known of the type to make one up."""
    if value.dtype is None:
        return value.type is not None and value.type.WhichOneof("value") is not None
    return value.shape is not None and all(map(is_named, value.shape))
