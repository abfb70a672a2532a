"""Cutting a piece out of a graph, as a model of its own that can be run."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from onnx import ModelProto, TypeProto

from onnxforge.ir import Node, Value


def between(outputs: Iterable[Value], inputs: Collection[Value]) -> tuple[list[Node], list[Value]]:
    """The nodes that compute *outputs*, in order, and the values they start from.

    The walk back stops at *inputs*, at constants, and at values nothing produces.  What the bodies
    of a node read from outside counts as read by the node.
    """
    ends: dict[Value, None] = {}
    done: dict[Node, None] = {}
    stack: list[tuple[Value | Node, bool]] = [(value, False) for value in reversed([*outputs])]
    while stack:
        item, is_ready = stack.pop()
        if isinstance(item, Value):
            if item in inputs:
                ends[item] = None
            elif item.producer is not None and item.producer.graph is not None:
                stack.append((item.producer, False))
            elif item.initializer is None or item.is_input:
                ends[item] = None
        elif is_ready:
            done[item] = None
        elif item not in done:
            stack.append((item, True))
            stack.extend((value, False) for value in reversed(reads(item)))
    return list(done), list(ends)


def reads(node: Node) -> list[Value]:
    """The values a node reads, those its bodies read from outside included."""
    found = dict.fromkeys(value for value in node.inputs if value is not None)
    if node.subgraphs:
        inside = {id(body) for body in node.subgraphs}
        pending = list(node.subgraphs)
        while pending:
            body = pending.pop()
            for inner in body:
                found.update(dict.fromkeys(value for value in inner.inputs if value is not None))
                inside.update(map(id, inner.subgraphs))
                pending.extend(inner.subgraphs)
            found.update(dict.fromkeys(body.outputs))
        return [value for value in found if id(value.graph) not in inside]
    return list(found)


def extract(
    outputs: Collection[Value],
    inputs: Collection[Value] = (),
    types: dict[Value, TypeProto] | None = None,
) -> ModelProto:
    """A model that computes *outputs* from *inputs* just as the graph they live in does.

    Its inputs are *inputs* and whatever else the region starts from; their types are those known,
    or the ones given in *types*.  Large payloads stay where they are on disk.
    """
    nodes, ends = between(outputs, inputs)
    model = next(iter(outputs)).graph.model
    opset_imports = next(iter(outputs)).graph.opset_imports
    proto = ModelProto(ir_version=model.proto.ir_version)
    proto.graph.name = "extract"
    for domain, version in opset_imports.items():
        proto.opset_import.add(domain=domain, version=version)
    proto.functions.extend(model.proto.functions)
    proto.graph.node.extend(node.proto for node in nodes)
    for value in dict.fromkeys([*inputs, *ends]):
        info = proto.graph.input.add(name=value.name)
        known = (types or {}).get(value) or value.type
        if known is not None:
            info.type.CopyFrom(known)
    used = dict.fromkeys(v for node in nodes for v in reads(node)) | dict.fromkeys(outputs)
    constants = [v for v in used if v.initializer is not None and not v.is_input]
    proto.graph.initializer.extend(v.initializer for v in constants if v not in inputs)
    for value in outputs:
        info = proto.graph.output.add(name=value.name)
        if value.type is not None and value.type.HasField("tensor_type"):
            info.type.tensor_type.elem_type = value.type.tensor_type.elem_type
    return proto
