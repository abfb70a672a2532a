"""How a graph comes out of its protobuf: first all its values, then what reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import GraphProto, ValueInfoProto

from onnxforge.errors import InvalidModelError
from onnxforge.ir import validity
from onnxforge.ir.node import Node
from onnxforge.ir.operators import may_have_bodies
from onnxforge.ir.value import Value

if TYPE_CHECKING:
    from onnxforge.ir.graph import Graph


def build(graph: Graph) -> None:
    """Fill a graph without nodes with those of its protobuf, whatever their order there.

    Raises `InvalidModelError` if names clash or dangle, or nodes form a cycle.
    """
    nodes = _declare(graph)
    validity.check_names(graph, nodes)
    insert = graph._nodes.insert
    for node in nodes:
        attach(graph, node)
        insert(node, None)
    validity.check_nodes(graph, nodes)
    for name in graph.output_names:
        value = graph.resolve(name, "returns")
        value.output_of = (*value.output_of, graph)
        if value.producer is not None and value.producer.graph is None:
            value.graph._is_unsorted = True
    if isinstance(graph.proto, GraphProto) and graph.proto.quantization_annotation:
        for annotation in graph.proto.quantization_annotation:
            graph.pin(entry.value for entry in annotation.quant_parameter_tensor_names)
    graph.sort()


def attach(graph: Graph, node: Node) -> None:
    """Point a node at its inputs, and its bodies at the graph, which it is of from now on."""
    get = graph.values.get
    proto = node.proto
    inputs: list[Value | None] = []
    for name in proto.input[:]:
        value = get(name)
        if value is None:
            if not name:
                inputs.append(None)
                continue
            value = graph.resolve(name, "reads")
        value.consumers[node] = None
        producer = value.producer
        # A node gets its graph once it is connected, which tells whether they are sorted.
        if producer is not None and producer.graph is None:
            value.graph._is_unsorted = True
        inputs.append(value)
    node.inputs = tuple(inputs)
    if may_have_bodies(node.op_type, node.domain):
        make = type(graph)
        bodies = []
        for attribute in proto.attribute:
            if attribute.HasField("g"):
                bodies.append(make(graph.model, attribute.g, graph, node))
            bodies.extend(make(graph.model, each, graph, node) for each in attribute.graphs)
        node.subgraphs = tuple(bodies)
        if bodies:
            graph._owners[node] = None
    node.graph = graph


def defined_twice(graph: Graph, name: str) -> InvalidModelError:
    """What to raise where a name is taken, or none is given."""
    problem = f"defines {name!r} twice" if name else "has an input without a name"
    return InvalidModelError(
        f"graph {graph.proto.name!r} {problem}: every value needs a name of its own"
    )


def declared_name(declaration: ValueInfoProto | str) -> str:
    """Graphs declare inputs and outputs as `ValueInfoProto`, functions as bare names."""
    return declaration if isinstance(declaration, str) else declaration.name


def _declare(graph: Graph) -> list[Node]:
    """Create every node and value, so that names resolve whatever the order."""
    values = graph.values
    for name in map(declared_name, graph.proto.input):
        if not name or name in values:
            raise defined_twice(graph, name)
        values[name] = Value(graph, name)
    if isinstance(graph.proto, GraphProto):
        for tensor in graph.proto.initializer:
            name = tensor.name
            if not name:
                continue  # nothing can read it
            value = values.get(name)
            if value is None:
                value = values[name] = Value(graph, name)
            elif value.initializer is not None:
                raise defined_twice(graph, name)
            value.initializer = tensor
        for sparse in graph.proto.sparse_initializer:
            name = sparse.values.name
            value = values.get(name)
            if value is None:
                values[name] = Value(graph, name)
            elif value.initializer is not None:
                raise defined_twice(graph, name)
    nodes = []
    for proto in graph.proto.node:
        node = Node(None, proto)
        # A slice makes one list of all names, which costs a third less than iterating.
        names = proto.output[:]
        node.outputs = tuple([Value(graph, name, node) for name in names])
        for value in node.outputs:
            name = value.name
            if name in values:
                raise defined_twice(graph, name)
            if name:
                values[name] = value
        nodes.append(node)
    graph.model.names.update(values)
    return nodes
