"""ONNX's own shape inference, run on what it needs to see of a model and nothing more.

Recorded types are claims of whoever wrote the file, and stale ones have cost other tools wrong
results: only the declared inputs of the main graph are believed.  ONNX's inference also invents
names for sizes it does not know ("unk__0"); they say nothing and come back as unknown.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    OperatorSetIdProto,
    TensorProto,
    TypeProto,
    defs,
    shape_inference,
)

from onnxforge.shapes.custom import shape_function
from onnxforge.shapes.skeleton import BODIES, GraphPath, Ways, declare, skeleton_of
from onnxforge.shapes.types import EXPRESSION, cleaned, symbols_of
from onnxforge.shapes.withheld import misleads, withhold

Types: TypeAlias = dict[str, TypeProto]


@dataclass(frozen=True)
class Inferred:
    """What is known of the values of a model: name to type, for each graph.

    `graph` holds the inputs, initializers, intermediate values and outputs of the main graph,
    `subgraphs` the same for the nested ones.  Names of unknown type are absent.  Bodies of
    functions are not included: their types depend on the call.  Equal types may be one object.
    `symbols` are the names of sizes that the inputs declare; there are no others.
    """

    graph: Types = field(default_factory=dict)
    subgraphs: dict[GraphPath, Types] = field(default_factory=dict)
    symbols: Collection[str] = ()


def infer_model(proto: ModelProto, folder: Path | None = None) -> Inferred:
    """What ONNX, and the functions `register`ed for other operators, infer of every value.

    Weights are neither copied nor read, but for those of up to 1 KiB, which may be the target
    of a Reshape; *folder* is where the relative locations of external data start.  *proto* is
    not changed.  A model that ONNX rejects gives what can be inferred node by node; of one with
    very many control-flow nodes those are left out.
    """
    skeleton, ways = skeleton_of(proto, folder)
    symbols = _declared_symbols(proto)
    versions = {opset.domain: opset.version for opset in skeleton.opset_import}
    try:
        answer = shape_inference.infer_shapes(skeleton)
    except Exception:  # noqa: BLE001 - ONNX raises more kinds than it documents
        answer = skeleton
    inferred = Inferred(symbols=symbols)
    _collect(answer.graph, (), ways, inferred, symbols, {})
    _complete(skeleton.graph, ways, inferred, versions, skeleton.ir_version)
    return inferred


def infer_node(
    node: NodeProto,
    inputs: Mapping[str, TypeProto],
    data: Mapping[str, TensorProto],
    opset_imports: Mapping[str, int],
    ir_version: int,
) -> Types:
    """The types of the outputs of *node*, as far as they follow from those of its *inputs*.

    *inputs* has the types that are known; a node with subgraphs needs those of the outer values
    they use, too.  *data* has the contents of constant inputs.  Nothing raises but a function
    registered for the operator: what is unknown, or wrong, is absent.
    """
    domain = "" if node.domain == "ai.onnx" else node.domain
    version = opset_imports.get(domain) or opset_imports.get(node.domain) or 1
    if (function := shape_function(domain, node.op_type)) is not None:
        results = function(node, [inputs.get(name) for name in node.input])
        named = zip(node.output, results, strict=False)
        return {name: type for name, type in named if name and type is not None}
    try:
        schema = defs.get_schema(node.op_type, version, domain)
    except defs.SchemaError:
        return {}
    if not schema.min_input <= len(node.input) <= schema.max_input:
        return {}
    if not schema.min_output <= len(node.output) <= schema.max_output:
        return {}
    if misleads(node):
        given, node = node, NodeProto()
        node.CopyFrom(given)
        withhold(node, version, data)
        schema = defs.get_schema(node.op_type, version, domain)
    present = {name: inputs.get(name) or TypeProto() for name in node.input if name}
    if _has_subgraph(node):
        present = {**inputs, **present}
    opsets = [OperatorSetIdProto(domain=name, version=v) for name, v in opset_imports.items()]
    readable = {
        name: data[name]
        for name in node.input
        if name in data and data[name].data_location != TensorProto.EXTERNAL
    }
    try:
        answer = shape_inference.infer_node_outputs(
            schema, node, present, readable, None, opsets, ir_version
        )
    except Exception:  # noqa: BLE001 - ONNX raises more kinds than it documents
        return {}
    symbols = {name for type in present.values() for name in symbols_of(type)}
    return {
        name: cleaned(type, symbols) for name, type in answer.items() if type.WhichOneof("value")
    }


def _collect(
    graph: GraphProto,
    path: GraphPath,
    ways: Ways,
    into: Inferred,
    symbols: Container[str],
    seen: dict[Hashable, TypeProto],
) -> None:
    types: Types = {}
    for tensor in graph.initializer:
        is_like = (tensor.data_type, *tensor.dims)
        if (type := seen.get(is_like)) is None:
            holder = GraphProto()
            declare(holder, tensor.name, tensor.data_type, tensor.dims)
            type = seen[is_like] = holder.input[0].type
        types[tensor.name] = type
    for values in (graph.input, graph.value_info, graph.output):
        for value in values:
            type = value.type
            # Layers have the same types, each of which need be looked at but once.
            key = type.SerializeToString()
            if (known := seen.get(key)) is None:
                if not type.WhichOneof("value"):
                    continue
                known = seen[key] = cleaned(type, symbols)
            types[value.name] = known
    if path:
        into.subgraphs[path] = types
    else:
        into.graph.update(types)
    for way in ways[path]:
        _collect(_body(graph, way), (*path, way), ways, into, symbols, seen)


def _complete(
    graph: GraphProto,
    ways: Ways,
    inferred: Inferred,
    versions: Mapping[str, int],
    ir_version: int,
) -> None:
    """Fill in what follows from registered functions, and what ONNX gave up on."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    todo: list[tuple[GraphProto, GraphPath, Mapping[str, TypeProto]]] = [(graph, (), {})]
    while todo:
        scope, path, outer = todo.pop()
        types = inferred.subgraphs.get(path, {}) if path else inferred.graph
        data = constants if not path else {t.name: t for t in scope.initializer}
        known = {**outer, **types} if path else types
        for node in scope.node:
            # A slice makes one list of all names, which costs less than iterating.
            for output in node.output[:]:
                if output and output not in types:
                    found = infer_node(node, known, data, versions, ir_version)
                    for name, type in found.items():
                        if name not in types:
                            types[name] = known[name] = type
                    break
        todo += [(_body(scope, way), (*path, way), known) for way in ways[path]]


def _body(graph: GraphProto, way: tuple[int, str, int]) -> GraphProto:
    """The body of one of a graph's nodes."""
    index, name, number = way
    attribute = next(each for each in graph.node[index].attribute if each.name == name)
    body: GraphProto = attribute.graphs[number] if attribute.graphs else attribute.g
    return body


def _has_subgraph(node: NodeProto) -> bool:
    return not BODIES.isdisjoint([attribute.type for attribute in node.attribute])


def _declared_symbols(proto: ModelProto) -> dict[str, None]:
    names: dict[str, None] = {}
    for value in proto.graph.input:
        for name in symbols_of(value.type):
            if not name.startswith(EXPRESSION):
                names[name] = None
    return names
