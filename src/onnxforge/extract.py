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
    stops = dict.fromkeys(inputs)
    ends: dict[Value, None] = {}
    done: dict[Node, None] = {}
    stack: list[tuple[Value | Node, bool]] = [(value, False) for value in reversed([*outputs])]
    while stack:
        item, is_ready = stack.pop()
        if isinstance(item, Value):
            if item in stops:
                ends[item] = None
            elif item.producer is not None and item.producer.graph is not None:
                stack.append((item.producer, False))
            elif item.producer is not None or item.is_input:
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
    for body in node.subgraphs:
        found |= body.captured()
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
    starts = dict.fromkeys([*inputs, *ends])
    graph = next(iter(outputs)).graph
    model = graph.model
    used = dict.fromkeys(v for node in nodes for v in reads(node)) | dict.fromkeys(outputs)
    constants = [v for v in used if v.producer is None and not v.is_input and v not in starts]
    _tell_apart([*starts, *constants, *(value for node in nodes for value in node.outputs)])
    bodies = [body for node in nodes for body in node.subgraphs]
    for root in (*model.functions, *bodies):
        for each in root.nested():
            each.settle()
    # Functions came with version 8 of the format, initializers that are no inputs with 4.
    least = 8 if model.proto.functions else 4
    proto = ModelProto(ir_version=max(model.proto.ir_version, least))
    proto.graph.name = "extract"
    for domain, version in graph.opset_imports.items():
        proto.opset_import.add(domain=domain, version=version)
    proto.functions.extend(model.proto.functions)
    proto.graph.node.extend(node.proto for node in nodes)
    for value in starts:
        info = proto.graph.input.add(name=value.name)
        known = (types or {}).get(value) or value.type
        if known is not None:
            info.type.CopyFrom(known)
    for value in constants:
        if value.initializer is not None:
            proto.graph.initializer.append(value.initializer)
        elif (sparse := value.graph.sparse_tensor(value)) is not None:
            proto.graph.sparse_initializer.append(sparse)
    for value in outputs:
        info = proto.graph.output.add(name=value.name)
        if value.type is not None and value.type.HasField("tensor_type"):
            info.type.tensor_type.elem_type = value.type.tensor_type.elem_type
    return proto


def _tell_apart(values: Iterable[Value]) -> None:
    """Rename what hides another value from a body: they are to live in one graph."""
    named: dict[str, Value] = {}
    for value in values:
        if value.name and (other := named.setdefault(value.name, value)) is not value:
            inner, outer = sorted((value, other), key=lambda v: -v.graph.depth)
            named[value.name] = outer
            inner.rename(inner.graph.model.fresh_name(inner.name))
