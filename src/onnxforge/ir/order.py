"""The order of a graph's nodes: sorting what comes unsorted, settling what edits moved.

Edits relink a list and leave the protobuf's order alone.  `settle` brings the two together once:
`repeated.sort` permutes pointers in place and copies nothing, and what has left the graph sorts to
the tail and is cut off in one go.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Container, Iterator
from typing import TYPE_CHECKING, Any

from onnx import FunctionProto

from onnxforge.errors import InvalidModelError

if TYPE_CHECKING:
    from onnxforge.ir.graph import Graph
    from onnxforge.ir.node import Node
    from onnxforge.ir.value import Value


def topological(graph: Graph, nodes: list[Node]) -> list[Node]:
    """The nodes, each after those it depends on, and otherwise as they were.

    Raises `InvalidModelError` if they form a cycle.
    """
    position = {node: index for index, node in enumerate(nodes)}
    waiting = [0] * len(nodes)
    readers: list[list[int]] = [[] for _ in nodes]
    for index, node in enumerate(nodes):
        for producer in dict.fromkeys(dependencies(graph, node)):
            source = position.get(producer)
            if source is not None:
                readers[source].append(index)
                waiting[index] += 1
    ready = [index for index, count in enumerate(waiting) if not count]
    ordered = []
    while ready:
        index = heapq.heappop(ready)
        ordered.append(nodes[index])
        for reader in readers[index]:
            waiting[reader] -= 1
            if not waiting[reader]:
                heapq.heappush(ready, reader)
    if len(ordered) < len(nodes):
        stuck = {node: None for node, count in zip(nodes, waiting, strict=True) if count}
        node = next(iter(stuck))
        seen: dict[Node, None] = {}
        while node not in seen:  # back from node to node, until one comes up again
            seen[node] = None
            node = next(each for each in dependencies(graph, node) if each in stuck)
        raise InvalidModelError(
            f"graph {graph.proto.name!r} is cyclic: {node!r} depends on its own output"
        )
    return ordered


def dependencies(graph: Graph, node: Node) -> Iterator[Node]:
    """The nodes of *graph* whose outputs *node* reads, in its bodies too."""
    readers = [node]
    while readers:
        reader = readers.pop()
        for value in reader.inputs:
            if value is not None and value.graph is graph and value.producer is not None:
                yield value.producer
        for body in reader.subgraphs:
            readers.extend(body)
            for value in body.outputs:
                if value.graph is graph and value.producer is not None:
                    yield value.producer


def upstream(value: Value, since: Node | None) -> dict[Node, None]:
    """The nodes of its graph that *value* is computed by, back to the place of *since*.

    What lies ahead of *since* cannot depend on it, once the graph is in order.
    """
    graph = value.graph
    graph.sort()
    floor = since._position if since is not None else None
    found: dict[Node, None] = {}
    stack = [value.producer] if value.producer is not None else []
    while stack:
        node = stack.pop()
        if node not in found and (floor is None or node._position >= floor):
            found[node] = None
            if node.subgraphs:
                stack.extend(dependencies(graph, node))
                continue
            here = [read for read in node.inputs if read is not None and read.graph is graph]
            stack += [read.producer for read in here if read.producer is not None]
    return found


def _is_sorted(graph: Graph) -> bool:
    done: set[Node] = set()
    for node in graph:
        for value in node.inputs:
            if value is None or value.graph is not graph or value.producer is None:
                continue
            if value.producer not in done:
                return False
        if node.subgraphs and any(each not in done for each in dependencies(graph, node)):
            return False
        done.add(node)
    return True


def settle(graph: Graph) -> None:
    """Bring the protobuf of an edited graph up to date."""
    graph._is_unsorted = not _is_sorted(graph)
    graph.sort()
    position = {id(node.proto): index for index, node in enumerate(graph)}
    protos = graph.proto.node
    alive = list(protos)  # keeps every wrapper, and so every id, valid while sorting
    protos.sort(key=lambda proto: position.get(id(proto), len(alive)))
    del protos[len(position) :]
    values = graph.values
    _keep(graph.proto.value_info, lambda info: info.name in values)
    if not isinstance(graph.proto, FunctionProto):
        if graph.has_orphans:
            kept = {id(value.initializer) for value in values.values()}
            _keep(graph.proto.initializer, lambda tensor: not tensor.name or id(tensor) in kept)
        _keep(
            graph.proto.quantization_annotation,
            lambda annotation: annotation.tensor_name in values,
        )


def _keep(field: Any, wanted: Callable[[Any], bool]) -> None:
    """Cut the entries that are not wanted from a repeated field, the others keeping their order."""
    goes = [not wanted(entry) for entry in field]
    if any(goes):
        answers = iter(goes)
        field.sort(key=lambda _: next(answers))
        del field[goes.count(False) :]


def name_apart(graph: Graph, fresh: Container[Node]) -> None:
    """Give nodes that share a name, which runtimes refuse, names of their own.

    Nodes born `like` another inherit its name; where that one lives on, it keeps it.
    """
    taken = {node.proto.name for node in graph}
    if sum(1 for node in graph if node.proto.name) == len(taken - {""}):
        return
    seen: set[str] = set()
    for node in sorted(graph, key=lambda node: node in fresh):
        name = node.proto.name
        if name and name in seen:
            while name in taken:
                name = graph.model.fresh_name(node.proto.name)
            node.proto.name = name
            taken.add(name)
        seen.add(name)
