"""Nodes: calls of operators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from onnx import AttributeProto, NodeProto

from onnxforge.errors import InvalidModelError
from onnxforge.ir import naming, operators
from onnxforge.ir.operators import Operator, python_value

if TYPE_CHECKING:
    from onnxforge.ir.graph import Graph
    from onnxforge.ir.value import Value

_reference = attrgetter("ref_attr_name")


class Attributes(Mapping[str, Any]):
    """A node's explicit attributes as Python values, read from its protobuf on demand."""

    __slots__ = ("_proto",)

    def __init__(self, proto: NodeProto) -> None:
        self._proto = proto

    def __getitem__(self, name: str) -> Any:
        for attribute in self._proto.attribute:
            if attribute.name == name:
                return python_value(attribute)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (attribute.name for attribute in self._proto.attribute)

    def __len__(self) -> int:
        return len(self._proto.attribute)


class Node:
    """One call of an operator, backed by its `NodeProto`.

    `inputs` has None where an optional input is left out.  `graph` is None once the node has left
    its graph; it keeps its links then, so that whoever stands on it can walk on.
    """

    __slots__ = (
        "_has_references",
        "_next",
        "_position",
        "_previous",
        "domain",
        "graph",
        "inputs",
        "op_type",
        "outputs",
        "proto",
        "subgraphs",
    )

    def __init__(self, graph: Graph | None, proto: NodeProto) -> None:
        self.graph = graph
        self.proto = proto
        self.op_type: str = proto.op_type
        self.domain: str = operators.domain_of(proto.domain)
        self.inputs: tuple[Value | None, ...] = ()
        self.outputs: tuple[Value, ...] = ()
        self.subgraphs: tuple[Graph, ...] = ()
        self._has_references: bool | None = None
        self._previous: Node | None = None
        self._next: Node | None = None
        # Grows along the graph, unless that is out of order.
        self._position = 0

    def __repr__(self) -> str:
        return f"{', '.join(self.proto.output)} = {self.op_type}({', '.join(self.proto.input)})"

    @property
    def name(self) -> str:
        """The node's own name; may be empty."""
        return self.proto.name

    @property
    def attributes(self) -> Attributes:
        """The attributes the node spells out."""
        return Attributes(self.proto)

    @property
    def version(self) -> int:
        """The opset version of the node's domain."""
        assert self.graph is not None
        return self.graph.opset_imports.get(self.domain, 1)

    def attribute(self, name: str) -> Any:
        """An attribute's value: as written, else the operator schema's default, else None.

        In a function's body it can be an `AttributeReference`, which equals no value.  Raises
        `InvalidModelError` if the schema has it of another type, or has it and the node has not.
        """
        kinds = operators.attribute_kinds(self.op_type, self.domain, self.version)
        kind, is_required = kinds.get(name, (None, False))
        for attribute in self.proto.attribute:
            if attribute.name == name:
                if kind not in (None, attribute.type) and not attribute.ref_attr_name:
                    written = AttributeProto.AttributeType.Name(attribute.type)
                    raise InvalidModelError(
                        f"{self!r} has {name!r} of type {written}, and it has to be "
                        f"{AttributeProto.AttributeType.Name(kind)}: the file is damaged"
                    )
                return python_value(attribute)
        if is_required:
            raise InvalidModelError(f"{self!r} lacks its attribute {name!r}: the file is damaged")
        return operators.attribute_defaults(self.op_type, self.domain, self.version).get(name)

    @property
    def has_references(self) -> bool:
        """Whether an attribute is left for the caller of the enclosing function to set."""
        if self._has_references is None:
            self._has_references = any(map(_reference, self.proto.attribute))
        return self._has_references

    def input(self, index: int) -> Value | None:
        """An input; None if it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    @property
    def output(self) -> Value:
        """The first output: the only one of most operators."""
        return self.outputs[0]

    @property
    def operator(self) -> Operator:
        """What may be done with the node, its bodies and the function it calls included."""
        known = self._operator()
        if self.op_type == "Dropout" and not self.domain and self.input(2) is not None:
            known = operators.RANDOM  # unless it turns out not to be in training mode
        for graph in self.subgraphs:
            for node in graph:
                inner = node.operator
                known = Operator(
                    known.deterministic and inner.deterministic, known.effects or inner.effects
                )
        return known

    def _operator(self) -> Operator:
        if self.graph is not None and self.graph.model.proto.functions:
            called = self.graph.model.function_operators.get((self.domain, self.op_type))
            if called is not None:
                return called
        return operators.lookup(self.op_type, self.domain)

    def holder_in(self, graph: Graph) -> Node:
        """The node of *graph* that is this one, or has it in its bodies."""
        node = self
        while node.graph is not graph:
            assert node.graph is not None
            assert node.graph.owner is not None
            node = node.graph.owner
        return node

    def set_input(self, index: int, value: Value | None) -> None:
        """Let the node read *value* in place of its input at *index*.

        Raises `InvalidModelError` if *value* is out of the node's sight.
        """
        assert self.graph is not None
        if value is not None:
            self.graph.expect(value)
            if value.producer is not None and not value.is_ahead_of(self):
                value.graph._is_unsorted = True
        old = self.inputs[index]
        self.inputs = (*self.inputs[:index], value, *self.inputs[index + 1 :])
        self.proto.input[index] = value.name if value is not None else ""
        if old is not None and old not in self.inputs:
            del old.consumers[self]
        if value is not None:
            value.consumers[self] = None
            naming.uncover(self.graph, value)
        self.graph.touch(self)
