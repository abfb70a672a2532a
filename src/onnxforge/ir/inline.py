"""Copying the nodes of one graph into another: what inlining a body or a function comes down to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from onnx import AttributeProto, FunctionProto, GraphProto, NodeProto

from onnxforge.ir.graph import Graph

if TYPE_CHECKING:
    from onnxforge.ir.node import Node
    from onnxforge.ir.value import Value


def inline(
    graph: Graph,
    body: Graph,
    arguments: Sequence[Value | None] = (),
    *,
    before: Node | None = None,
    attributes: Mapping[str, AttributeProto] | None = None,
) -> list[Value | None]:
    """Copy *body*'s nodes into *graph*, ahead of *before*; return what its outputs became.

    *arguments* stand for the body's inputs, in order; *attributes* for the references in a
    function's body.  Every copied value gets a name no other has, *body* itself stays as it is.
    """
    copy = type(body.proto)()
    copy.CopyFrom(body.proto)
    if isinstance(copy, FunctionProto):
        _bind(copy, attributes or {})
    view = Graph(graph.model, copy, outer=graph)
    given = [*arguments, *[None] * (len(view.inputs) - len(arguments))]
    stands_for: dict[Value, Value | None] = dict(zip(view.inputs, given, strict=True))
    for formal, actual in stands_for.items():
        for reader in list(formal.consumers):
            for index, value in enumerate(reader.inputs):
                if value is formal:
                    reader.set_input(index, actual)
    for value in list(view.values.values()):
        if value not in stands_for:
            value.rename(graph.model.fresh_name(value.name))
    if isinstance(copy, GraphProto):
        for tensor in copy.initializer:
            value = view.values[tensor.name]
            stands_for[value] = constant = graph.add_tensor(tensor)
            value.rename(constant.name)
    nodes = list(view)
    for node in nodes:
        proto = graph.proto.node.add()
        proto.CopyFrom(node.proto)
        moved = graph.adopt(proto, before)
        stands_for.update(zip(node.outputs, moved.outputs, strict=True))
    outputs = [stands_for.get(value, value) for value in view.outputs]
    view.dissolve()
    return outputs


def _bind(function: FunctionProto, attributes: Mapping[str, AttributeProto]) -> None:
    """Put the call's attributes, or the function's defaults, in place of references to them."""
    given = {each.name: each for each in function.attribute_proto} | dict(attributes)
    protos: list[NodeProto] = list(function.node)
    while protos:
        proto = protos.pop()
        for index in reversed(range(len(proto.attribute))):
            attribute = proto.attribute[index]
            protos.extend(attribute.g.node)
            for body in attribute.graphs:
                protos.extend(body.node)
            if not attribute.ref_attr_name:
                continue
            name, source = attribute.name, given.get(attribute.ref_attr_name)
            if source is None:
                del proto.attribute[index]  # left out by the call, so the default holds
            else:
                attribute.CopyFrom(source)
                attribute.name = name
