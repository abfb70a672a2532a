"""What the graph relies on and protobuf does not promise: who is who in a repeated field.

Not ours, and so pinned here: nodes are edited through wrappers that must stay the very messages of
the model, and put in order without being copied.
"""

from __future__ import annotations

import gc

from onnx import GraphProto


def graph_of(count: int) -> GraphProto:
    graph = GraphProto()
    for index in range(count):
        graph.node.add(name=str(index))
    return graph


def test_a_message_is_the_same_object_as_long_as_someone_holds_it() -> None:
    graph = graph_of(3)
    held = graph.node[1]
    gc.collect()
    assert graph.node[1] is held
    assert list(graph.node)[1] is held
    assert graph.node[0:2][1] is held


def test_what_add_returns_is_alive_and_what_append_takes_is_copied() -> None:
    graph = graph_of(0)
    born = graph.node.add(name="a")
    born.name = "b"
    assert graph.node[0].name == "b"
    graph.node.append(born)
    born.name = "c"
    assert [node.name for node in graph.node] == ["c", "b"]


def test_sorting_moves_messages_and_keeps_their_identity() -> None:
    graph = graph_of(1000)
    held = list(graph.node)
    graph.node.sort(key=lambda node: -int(node.name))
    assert [int(node.name) for node in graph.node] == list(range(999, -1, -1))
    assert all(a is b for a, b in zip(graph.node, reversed(held), strict=True))
    held[0].op_type = "Relu"
    assert graph.node[-1].op_type == "Relu"


def test_cutting_the_tail_leaves_the_rest_alone() -> None:
    graph = graph_of(10)
    held = list(graph.node)
    del graph.node[4:]
    assert all(a is b for a, b in zip(graph.node, held[:4], strict=True))
    assert held[7].name == "7"  # what was cut lives on for whoever holds it


def test_sorting_is_stable() -> None:
    graph = graph_of(100)
    graph.node.sort(key=lambda node: int(node.name) % 2)
    names = [int(node.name) for node in graph.node]
    assert names == [*range(0, 100, 2), *range(1, 100, 2)]
