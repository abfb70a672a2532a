"""Dead code: what nothing uses any more goes, and with it what only it used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxforge.ir.graph import Graph
    from onnxforge.ir.node import Node
    from onnxforge.ir.value import Value


def prune(graph: Graph) -> int:
    """Remove the nodes no output depends on, save for those that may have effects."""
    before = len(graph)
    for node in reversed(graph):
        for value in node.outputs:
            if value.consumers or value.output_of:
                break
        else:
            if not node.operator.effects:
                _drop(node)
    return before - len(graph)


def replaced(values: Iterable[Value]) -> Iterator[Node]:
    """The nodes that compute *values*, and those that would go if nothing used these any more."""
    unused = dict.fromkeys(values)
    makers = dict.fromkeys(value.producer for value in unused)
    going: dict[Node, None] = {}
    pending = list(makers)
    while pending:
        node = pending.pop()
        if node is None or node.graph is None or node in going:
            continue
        is_needed = any(
            value not in unused and (value.is_output or value.consumers.keys() - going.keys())
            for value in node.outputs
        )
        if not is_needed:
            going[node] = None
            pending += [value.producer for value in node.inputs if value is not None]
        if not is_needed or node in makers:
            yield node


def sweep(values: Iterable[Value]) -> None:
    """Remove the nodes and initializers behind *values* that nothing uses any more."""
    for value in values:
        producer = value.producer
        if value.is_used:
            continue
        if producer is None:
            _orphan(value)
        elif producer.graph is not None and not any(each.is_used for each in producer.outputs):
            _drop(producer)


def _drop(node: Node) -> None:
    """Remove an unread node, then whatever only it read."""
    doomed = [node]
    while doomed:
        leaving = doomed.pop()
        graph = leaving.graph
        if graph is None or any(value.is_used for value in leaving.outputs):
            continue
        graph.unlink(leaving)
        for value in leaving.outputs:
            if graph.values.get(value.name) is value:
                del graph.values[value.name]
        for value in _release(leaving):
            if value.is_used:
                continue
            producer = value.producer
            if producer is None:
                _orphan(value)
            elif producer.graph is not None and not producer.operator.effects:
                doomed.append(producer)


def _orphan(value: Value) -> None:
    """Drop an initializer nobody reads any more, unless a caller may override it."""
    graph = value.graph
    if value.initializer is None or value.is_input:
        return
    if graph.values.get(value.name) is value:
        del graph.values[value.name]
        graph.has_orphans = True
        graph.touch()


def _release(node: Node) -> list[Value]:
    """Let go of all a departing node and its bodies read; return what lives outside of them."""
    released: dict[Value, None] = {}
    if not node.subgraphs:
        for value in node.inputs:
            if value is not None:
                value.consumers.pop(node, None)
                released[value] = None
        return list(released)
    graphs = {body: None for each in node.subgraphs for body in each.nested()}
    for leaving in (node, *(inner for body in graphs for inner in body)):
        for value in leaving.inputs:
            if value is not None:
                value.consumers.pop(leaving, None)
                released[value] = None
    for body in graphs:
        for value in body.outputs:
            value.output_of = tuple(graph for graph in value.output_of if graph is not body)
            released[value] = None
    return [value for value in released if value.graph not in graphs]
