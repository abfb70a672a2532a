"""Values: the named edges of a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import AttributeProto, TensorProto, TypeProto

from onnxforge.errors import InterfaceError, InvalidModelError, NotConstantError
from onnxforge.ir import naming
from onnxforge.ir.operators import attribute_kinds, python_value
from onnxforge.storage import to_array

if TYPE_CHECKING:
    import numpy.typing as npt

    from onnxforge.ir.graph import Graph
    from onnxforge.ir.known import Known
    from onnxforge.ir.node import Node
    from onnxforge.shapes import DimLike, ShapeValue

# The dtypes in which a Constant node spells scalars and lists.
_CONSTANT_DTYPES: dict[str, Any] = {
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
    "value_string": object,
    "value_strings": object,
}


class Value:
    """A named edge: an input of the graph, an initializer, or an output of a node.

    `producer` is the node that computes it, None for inputs and initializers.  `consumers` are the
    nodes that read it, in this graph and in the bodies inside it, as an insertion-ordered set.
    `initializer` is its `TensorProto`, if it has one.  `output_of` are the graphs it is an output
    of: its own, or a body that returns it from outside.
    """

    __slots__ = (
        "consumers",
        "graph",
        "initializer",
        "known",
        "name",
        "output_of",
        "producer",
    )

    def __init__(self, graph: Graph, name: str, producer: Node | None = None) -> None:
        self.graph = graph
        self.name = name
        self.producer = producer
        self.consumers: dict[Node, None] = {}
        self.initializer: TensorProto | None = None
        self.output_of: tuple[Graph, ...] = ()
        self.known: Known | None = None

    def __repr__(self) -> str:
        return f"Value({self.name!r})"

    @property
    def is_output(self) -> bool:
        """Whether a graph returns the value."""
        return bool(self.output_of)

    @property
    def is_used(self) -> bool:
        """Whether a node reads the value or a graph returns it."""
        return bool(self.consumers or self.output_of)

    @property
    def is_input(self) -> bool:
        """Whether a caller provides the value, or may override its initializer."""
        return self.producer is None and self.name in self.graph.input_names

    @property
    def is_constant(self) -> bool:
        """Whether the data is known now: a Constant, or an initializer no caller can override."""
        if self.initializer is not None:
            return self.name not in self.graph.input_names
        node = self.producer
        return (
            node is not None
            and node.op_type == "Constant"
            and self._constant_attribute() is not None
        )

    def _constant_attribute(self) -> AttributeProto | None:
        """The attribute in which a Constant node spells its data."""
        assert self.producer is not None
        if self.producer.domain:
            return None
        for attribute in self.producer.proto.attribute:
            name = attribute.name
            if name == "value" or name in _CONSTANT_DTYPES:
                kind, _ = attribute_kinds("Constant", "", 13)[name]
                is_known = attribute.type == kind and not attribute.ref_attr_name
                return attribute if is_known else None
        return None

    @property
    def tensor(self) -> TensorProto | None:
        """The protobuf that holds a constant's data; None if a Constant spells it otherwise."""
        if self.initializer is not None:
            return self.initializer
        if self.producer is not None and self.producer.op_type == "Constant":
            constant = self._constant_attribute()
            if constant is not None and constant.name == "value":
                tensor: TensorProto = constant.t
                return tensor
        return None

    def numpy(self, dtype: npt.DTypeLike | None = None) -> npt.NDArray[Any]:
        """A constant's data, converted to *dtype* if one is given.

        Large data is mapped from its file and read-only; 16-bit, 8-bit and 4-bit floats have the
        dtypes of ml_dtypes.

        Raises `NotConstantError` if the value is not constant, `InvalidModelError` if its data is
        damaged or cannot be converted.
        """
        if not self.is_constant:
            raise NotConstantError(f"{self.name!r} is not constant: test is_constant first")
        if (tensor := self.tensor) is not None:
            array = to_array(tensor, self.graph.model.folder)
        else:
            constant = self._constant_attribute()
            assert constant is not None
            array = np.array(python_value(constant), _CONSTANT_DTYPES[constant.name])
        try:
            return array if dtype is None else array.astype(dtype)
        except ValueError as error:  # strings that are no numbers
            raise InvalidModelError(f"{self.name!r} cannot be converted: {error}") from error

    # What is known beside the protobuf

    @property
    def type(self) -> TypeProto | None:
        """What inference proves about the type; what the file records is not trusted."""
        return (self.known or self.graph.model.inference.known(self)).type

    @property
    def dtype(self) -> int | None:
        """The element type, as a `TensorProto.DataType`; None if unknown or not a tensor."""
        return (self.known or self.graph.model.inference.known(self)).dtype

    @property
    def shape(self) -> tuple[DimLike, ...] | None:
        """The dimensions: each a number or a symbolic `Dim`, which a size without a name is, too.

        None in place of the tuple if not even the rank is known.
        """
        return (self.known or self.graph.model.inference.known(self)).shape

    @property
    def rank(self) -> int | None:
        """The number of dimensions, if known."""
        shape = self.shape
        return None if shape is None else len(shape)

    @property
    def contents(self) -> ShapeValue | None:
        """The elements of a small integer tensor, with symbols, as far as they can be derived."""
        return (self.known or self.graph.model.inference.known(self)).value

    def is_ahead_of(self, node: Node) -> bool:
        """Whether a node produces the value ahead of *node*, or of that which *node* is inside."""
        assert self.producer is not None
        return self.producer._position < node.holder_in(self.graph)._position

    def rename(self, name: str) -> None:
        """Give the value another name, wherever it is written.

        Raises `InterfaceError` if it is an input or output of the model or of a function.
        """
        graph = self.graph
        if graph.outer is None and (self.is_input or graph in self.output_of):
            raise InterfaceError(f"{self.name!r} is an input or output: its name is for callers")
        naming.rename_references(self, name)
        del graph.values[self.name]
        self._take(name)
        graph.touch()

    def swap_names(self, other: Value) -> None:
        """Exchange names with another value of the graph, whose outputs keep theirs."""
        name, spare = self.name, other.name
        self._take(spare)
        other._take(name)

    def _take(self, name: str) -> None:
        graph = self.graph
        if self.output_of or graph.outer is not None:
            naming.rename_declarations(self, name)
        graph.values[name] = self
        self.name = name
        if self.initializer is not None:
            self.initializer.name = name
        if self.producer is not None:
            self.producer.proto.output[self.producer.outputs.index(self)] = name
        for node in self.consumers:
            for index, value in enumerate(node.inputs):
                if value is self:
                    node.proto.input[index] = name
            if node.graph is not None and node.graph is not graph:
                naming.uncover(node.graph, self)
        for body in self.output_of:
            if body is not graph:
                naming.uncover(body, self)
