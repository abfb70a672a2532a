"""Bodies of functions as their callers see them: with types, and with attributes set.

A function declares no types, so nothing in it can be made up to try an edit on.  Its calls have
them.  Of each way in which the model calls a function a model of its own is made whose main graph
is the function's body; an edit of the body is right if it is right in all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from onnx import FunctionProto, ModelProto

from onnxforge import storage
from onnxforge.ir import Graph, Model, Node, Value
from onnxforge.ir.inline import bind

_MOST = 4
"""Ways to call one function that are looked at."""
_SMALL = 1024
"""Bytes of constants that are taken along, since they say what the body does."""
_DEEP = 16
"""Functions that call each other, one within the other, so that walking them is safe."""


def as_called(old: Value, new: Value) -> list[tuple[Value, Value]]:
    """*old* and *new* in the bodies of the functions they are in, once for each kind of call.

    The two themselves if they are in no function; nothing if the function is never called.
    """
    root = _root(old.graph)
    if root.operator is None:
        return [(old, new)]
    found = []
    for view in _views(root, _DEEP):
        pair = [_twin_graph(v.graph, view).values[v.name] for v in (old, new)]
        found.append((pair[0], pair[1]))
    return found


def _root(graph: Graph) -> Graph:
    while graph.outer is not None:
        graph = graph.outer
    return graph


def _views(function: Graph, depth: int) -> list[Graph]:
    """The body of *function* as the main graph of a model, for each kind of call there is."""
    model = function.model
    for each in function.nested():
        each.settle()
    kinds: dict[bytes, Graph] = {}
    for call in _calls(function, depth):
        proto = _as_model(function, call)
        kind = proto.graph.SerializeToString(deterministic=True)
        if kind not in kinds:
            kinds[kind] = Model(proto, model.path).graph
        if len(kinds) == _MOST:
            break
    return list(kinds.values())


def _calls(function: Graph, depth: int) -> Iterator[Node]:
    """The calls of *function*, those within other functions where these are called."""
    model, overload = function.model, getattr(function.proto, "overload", "")
    for graph in model.graphs():
        calls = [
            node
            for node in graph
            if (node.domain, node.op_type) == function.operator and node.proto.overload == overload
        ]
        root = _root(graph)
        if root.operator is None:
            yield from calls
        elif calls and depth and root is not function:
            for view in _views(root, depth - 1):
                yield from (_twin_node(call, view) for call in calls)


def _as_model(function: Graph, call: Node) -> ModelProto:
    """The body of *function* as the main graph of a model, its inputs being those of *call*."""
    source, model = function.proto, function.model
    assert isinstance(source, FunctionProto)
    proto = ModelProto(ir_version=max(model.proto.ir_version, 8))
    proto.opset_import.extend(source.opset_import)
    proto.functions.extend(model.proto.functions)
    proto.graph.name = source.name
    proto.graph.node.extend(source.node)
    given = {each.name: each for each in (*source.attribute_proto, *call.proto.attribute)}
    absent = _declare(proto, source.input, call.inputs)
    for node in proto.graph.node:
        bind(node, given)
        for index, name in enumerate(node.input):
            if name in absent:
                node.input[index] = ""
    # What a function returns as it got it is an output of no node, and nothing to check here.
    made = {name for node in proto.graph.node for name in node.output}
    for name in source.output:
        if name in made:
            proto.graph.output.add(name=name)
    return proto


def _declare(
    proto: ModelProto, names: Sequence[str], arguments: Sequence[Value | None]
) -> set[str]:
    """Declare the arguments of a call as inputs, small constants as such; the names of those left out."""
    absent = set()
    for name, argument in zip_longest(names, arguments):
        if argument is None:
            absent.add(name)
            continue
        tensor = argument.tensor if argument.is_constant else None
        if tensor is not None and storage.nbytes(tensor) <= _SMALL:
            proto.graph.initializer.add().CopyFrom(tensor)
            proto.graph.initializer[-1].name = name
            continue
        info = proto.graph.input.add(name=name)
        if argument.type is not None:
            info.type.CopyFrom(argument.type)
    return absent


def _twin_graph(graph: Graph, view: Graph) -> Graph:
    """The graph of *view* that was made of *graph*."""
    if graph.outer is None:
        return view
    assert graph.owner is not None
    place = graph.owner.subgraphs.index(graph)
    return _twin_node(graph.owner, view).subgraphs[place]


def _twin_node(node: Node, view: Graph) -> Node:
    assert node.graph is not None
    name = next(output.name for output in node.outputs if output.name)
    twin = _twin_graph(node.graph, view).values[name].producer
    assert twin is not None
    return twin
