"""Copying the nodes of one graph into another: what inlining a body or a function comes down to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto

from onnxforge.errors import InvalidModelError
from onnxforge.ir import naming
from onnxforge.ir.graph import Graph
from onnxforge.ir.operators import schema

if TYPE_CHECKING:
    from onnxforge.ir.node import Node
    from onnxforge.ir.value import Value

Names: TypeAlias = dict[str, str]


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
    function's body.  Every copied value gets a name no other has; those of inner bodies do where
    they would hide something.  *body* itself stays as it is.

    Raises `InvalidModelError`, before anything is copied, if a function's operators mean something
    else at the opset versions of *graph*, if *graph* cannot see what *body* reads from outside, or
    if there are more arguments than inputs.
    """
    for each in body.nested():
        each.settle()
    if len(arguments) > len(body.input_names):
        raise InvalidModelError(
            f"{body} has {len(body.input_names)} inputs, and there are {len(arguments)} arguments"
        )
    _import_opsets(graph, body)
    given = dict(zip(body.inputs, arguments, strict=False))
    for value in (*given.values(), *body.captured()):
        if value is not None:
            graph.expect(value)
            naming.uncover(graph, value)

    became: dict[Value, Value | None] = dict.fromkeys(body.inputs) | given
    fresh = graph.model.fresh_name
    if isinstance(body.proto, GraphProto):
        for tensor in body.proto.initializer:
            if became.get(value := body.values[tensor.name]) is None:
                became[value] = graph.add_tensor(tensor, fresh(tensor.name))
        for sparse in body.proto.sparse_initializer:
            name = sparse.values.name
            became[body.values[name]] = graph.add_sparse_tensor(sparse, fresh(name))
    names = {formal.name: value.name if value else "" for formal, value in became.items()}
    names |= {
        value.name: fresh(value.name) for node in body for value in node.outputs if value.name
    }
    taken = {*names.values(), *naming.visible(graph)}
    defaults = {each.name: each for each in getattr(body.proto, "attribute_proto", ())}
    for node in body:
        proto = graph.proto.node.add()
        proto.CopyFrom(node.proto)
        if body.operator is not None:
            bind(proto, defaults | dict(attributes or {}))
        _rename(proto, names, lambda name: fresh(name) if name in taken else name)
        became.update(zip(node.outputs, graph.adopt(proto, before).outputs, strict=True))
    return [became.get(value, value) for value in body.outputs]


def _import_opsets(graph: Graph, body: Graph) -> None:
    """Make sure that *body*'s operators mean the same in *graph*."""
    wanted, present = body.opset_imports, graph.opset_imports
    missing: dict[str, int] = {}
    for domain, op_type in {(n.domain, n.op_type): None for each in body.nested() for n in each}:
        version = wanted.get(domain, 1)
        if domain not in present:
            missing[domain] = version
        elif version != present[domain] and not (
            (domain, op_type) in graph.model.function_operators
            or _is_same(op_type, domain, version, present[domain])
        ):
            raise InvalidModelError(
                f"{body} cannot be inlined: it calls {domain or 'ai.onnx'}::{op_type} of opset "
                f"{version}, which opset {present[domain]} changed"
            )
    for domain, version in missing.items():
        graph.import_opset(domain, version)


def _is_same(op_type: str, domain: str, version: int, other: int) -> bool:
    """Whether an operator means the same at two opset versions, as far as ONNX knows it."""
    one, two = schema(op_type, domain, version), schema(op_type, domain, other)
    return one is not None and two is not None and one.since_version == two.since_version


def bind(node: NodeProto, given: Mapping[str, AttributeProto]) -> None:
    """Put the call's attributes, or the function's defaults, in place of references to them."""
    protos = [node]
    while protos:
        proto = protos.pop()
        for index in reversed(range(len(proto.attribute))):
            attribute = proto.attribute[index]
            for body in _bodies(attribute):
                protos.extend(body.node)
            if not attribute.ref_attr_name:
                continue
            name, source = attribute.name, given.get(attribute.ref_attr_name)
            if source is None:
                del proto.attribute[index]  # left out by the call, so the default holds
            else:
                attribute.CopyFrom(source)
                attribute.name = name


def _rename(node: NodeProto, names: Names, inner_name: Callable[[str], str]) -> None:
    """Rename what the node and its bodies read and write; what bodies define, as *inner_name* says."""
    pending = [(node, names)]
    while pending:
        proto, names = pending.pop()
        for field in (proto.input, proto.output):
            for index, name in enumerate(field):
                field[index] = names.get(name, name)
        for attribute in proto.attribute:
            for body in _bodies(attribute):
                inner = names | {name: inner_name(name) for name in _defined(body) if name}
                for named in _named(body):
                    named.name = inner.get(named.name, named.name)
                for annotation in body.quantization_annotation:
                    name = annotation.tensor_name
                    annotation.tensor_name = inner.get(name, name)
                    for entry in annotation.quant_parameter_tensor_names:
                        entry.value = inner.get(entry.value, entry.value)
                if not all(info.name for info in body.output):
                    raise InvalidModelError(
                        f"{body.name!r} returns an input of the function that the call leaves out"
                    )
                pending.extend((each, inner) for each in body.node)


def _bodies(attribute: AttributeProto) -> list[GraphProto]:
    return [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def _defined(body: GraphProto) -> dict[str, None]:
    """The names a body defines, those of bodies inside it left out."""
    names = dict.fromkeys(info.name for info in body.input)
    names |= dict.fromkeys(tensor.name for tensor in body.initializer)
    names |= dict.fromkeys(sparse.values.name for sparse in body.sparse_initializer)
    return names | dict.fromkeys(name for node in body.node for name in node.output)


def _named(body: GraphProto) -> Iterator[ValueInfoProto | TensorProto]:
    """Whatever bears the name of a value in a body, but for its nodes."""
    yield from (*body.input, *body.output, *body.value_info, *body.initializer)
    yield from (sparse.values for sparse in body.sparse_initializer)
