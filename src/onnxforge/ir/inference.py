"""What is known about values, kept beside the model and brought up to date as it is edited.

The whole model is inferred once, when the first question is asked.  A value made later is inferred
from its node when somebody asks about it, so that passes see the types of what they build, and
nothing is inferred twice.  What the file records is a hint, and never enters here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from itertools import chain, count
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, TypeProto, helper

from onnxforge import shapes
from onnxforge.errors import OnnxForgeError
from onnxforge.ir.calls import Calls
from onnxforge.ir.demands import minimums
from onnxforge.shapes import DimLike, KnownInput, ShapeValue, is_named
from onnxforge.storage import from_array

if TYPE_CHECKING:
    import numpy.typing as npt

    from onnxforge.ir.graph import Graph
    from onnxforge.ir.model import Model
    from onnxforge.ir.node import Node
    from onnxforge.ir.value import Value

# What is known of sizes may show that others cannot be small.
_MAX_DEMANDS = 3
# Longer tensors are no shapes, and not worth reading.
_MAX_LENGTH = 64
# How much more it takes ONNX to infer a node by itself than as one of a model.
_APART = 10
_SHAPE_DTYPES = frozenset((TensorProto.BOOL, TensorProto.INT32, TensorProto.INT64))


@dataclass(frozen=True, slots=True)
class Known(KnownInput):
    """What is known of one value.

    `shape` and `value`, the elements of a small integer tensor, have symbols, also for sizes that
    nobody named.  `given` is the type as ONNX says it, if it does.
    """

    given: TypeProto | None = None

    @property
    def type(self) -> TypeProto | None:
        """The same as a protobuf, without the symbols nobody named; for what is no tensor too."""
        if self.given is None and self.dtype is not None:
            return shapes.tensor_type(self.dtype, self.shape)
        return self.given

    @property
    def is_sized(self) -> bool:
        """Whether it is of a tensor with nothing unknown about its size, which is not empty."""
        if self.shape is None or self.dtype is None:
            return False
        if not all(size if isinstance(size, int) else is_named(size) for size in self.shape):
            return False
        return self.given is None or self.given.HasField("tensor_type")

    @property
    def is_complete(self) -> bool:
        """Whether there is nothing that symbols, or following contents, could add."""
        if self.shape is None:
            return False
        if len(self.shape) < 2 and self.dtype in _SHAPE_DTYPES:
            return self.value is not None and self.value.constants() is not None
        return self.is_sized

    @property
    def is_fixed(self) -> bool:
        """Whether it is complete, and there are no symbols in it."""
        return self.is_complete and all(isinstance(size, int) for size in self.shape or ())


_NOTHING = Known()


class Inference:
    """Answers what is known of the values of a model."""

    def __init__(self, model: Model) -> None:
        self._model = model
        # What ONNX inferred of the model as a whole, before values were made or renamed.
        self._types: dict[Value, Known] | None = None
        self._edits = 0
        # What is known of values that new ones stand for.
        self._inherited: dict[Value, Known] = {}
        self._unnamed = count()
        self._calls = Calls(model)

    def known(self, value: Value) -> Known:
        """What is known of *value*."""
        if value.known is None:
            if self._types is None:
                self._begin()
            if value.known is None:
                self._infer(value)
        return value.known or _NOTHING

    def renew(self) -> None:
        """Forget what is vague, if there were edits since: they may tell more of values after them.

        What is complete stays so, and needs no second look.
        """
        if self._types is None or self._edits == self._model.edits:
            return
        self._edits = self._model.edits
        vague = total = 0
        for graph in self._model.graphs():
            total += len(graph)
            for value in graph.values.values():
                known = value.known or self._types.get(value, _NOTHING)
                if known.is_complete:
                    continue
                if known.is_sized:
                    self._types[value] = replace(known, value=None)
                elif value.producer is not None:
                    vague += 1
                value.known = None
        if vague * _APART > total:
            self._types = None

    def inherit(self, old: Value, new: Value) -> None:
        """Let what is known of *old* hold of *new*, where inferring *new* tells less."""
        if self._types is None or new in self._types or new.known is not None:
            return
        known = old.known or self._inherited.get(old) or self._types.get(old)
        if known is not None and (known.dtype is not None or known.given is not None):
            self._inherited[new] = known

    def learn(self, value: Value, array: npt.NDArray[Any]) -> None:
        """Note what *value* was found to be, so that what depends on it can be inferred."""
        if value.known is None or value.known.value is None:
            dtype = helper.np_dtype_to_tensor_dtype(array.dtype.newbyteorder("="))
            value.known = Known(array.shape, dtype, shapes.value_of(array))

    def look_again(self, value: Value) -> None:
        """Let what depends on *value*, which is constant now, be inferred anew where it was vague."""
        before = self._inherited.pop(value, None)
        if self._types is None or (before is not None and _says_all(before)):
            return
        pending = [value]
        for each in pending:
            for node in each.consumers:
                for output in node.outputs:
                    if output.known is None and output not in self._types:
                        continue
                    known = output.known or self._types.get(output) or _NOTHING
                    if not known.is_complete:
                        self._types.pop(output, None)
                        self._inherited[output] = known
                        output.known = None
                        pending.append(output)

    def _begin(self) -> None:
        """Infer the model as a whole, and how small sizes can be, which tells more of it."""
        types = self._infer_model()
        self._take(types)
        for _ in range(_MAX_DEMANDS):
            found = minimums(self._model.graph, self._model.minimums)
            if found == self._model.minimums:
                break
            self._model.minimums = found
            for graph in self._model.graphs():
                for value in graph.values.values():
                    if value.known is not None and not value.known.is_fixed:
                        value.known = None
            self._take(types)

    def _take(self, types: Mapping[Value, TypeProto]) -> None:
        """Note what ONNX inferred; most of it is complete."""
        self._edits = self._model.edits
        self._types = {value: self._of(type) for value, type in types.items()}
        for value, known in self._types.items():
            node = value.producer
            if node is not None and known.is_complete and node.op_type != "Constant":
                value.known = value.known or known

    def _infer_model(self) -> dict[Value, TypeProto]:
        model = self._model
        inferred = shapes.infer_model(model.settle(), model.folder)
        found = _by_value(model.graph, inferred.graph)
        todo: list[tuple[Graph, shapes.GraphPath]] = [(model.graph, ())]
        while todo:
            graph, path = todo.pop()
            position = {id(proto): index for index, proto in enumerate(graph.proto.node)}
            for node in graph:
                if node.subgraphs:
                    paths = _bodies(node, path, position[id(node.proto)])
                    for body, inner in zip(node.subgraphs, paths, strict=True):
                        found |= _by_value(body, inferred.subgraphs.get(inner, {}))
                        todo.append((body, inner))
        return found

    def _infer(self, value: Value) -> None:
        """Infer what *value* is computed by, and whatever that needs first."""
        if value.producer is None:
            value.known = self._source(value)
            return
        stack = [value.producer]
        while stack:
            node = stack[-1]
            types = self._types_of(node)
            if types is None or not all(known.is_complete for known in types):
                read = chain(node.inputs, *(body.captured() for body in node.subgraphs))
                missing = [v for v in read if v is not None and v.known is None]
                for needed in missing:
                    if needed.producer is None:
                        needed.known = self._source(needed)
                waiting = [v.producer for v in missing if v.producer is not None]
                if waiting:
                    stack += waiting
                    continue
                if types is None:
                    types = self._infer_node(node)
                elif not all(known.is_sized for known in types) and self._has_learned(node):
                    pairs = zip(self._infer_node(node), types, strict=True)
                    types = [known if new is _NOTHING else new for new, known in pairs]
            stack.pop()
            if any(output.known is None for output in node.outputs):
                self._forward(node, types)

    def _source(self, value: Value) -> Known:
        """What is known of an input or an initializer."""
        tensor = value.initializer
        if tensor is None or value.is_input:
            known = (self._types or {}).get(value)
            return self._named(self._passed(value) if known is None else known)
        return Known(tuple(tensor.dims), tensor.data_type or None, _contents(value))

    def _types_of(self, node: Node) -> list[Known] | None:
        """What ONNX inferred of a node's outputs with the whole model; None if it was not there."""
        types = self._types or {}
        found = [types.get(value, _NOTHING) for value in node.outputs]
        return found if any(known is not _NOTHING for known in found) else None

    def _has_learned(self, node: Node) -> bool:
        """Whether symbols told more about an input than ONNX knew when it inferred the model."""
        for value in node.inputs:
            if value is None or value.producer is None or value.known is None:
                continue
            contents = value.known.value
            if contents is not None and contents.constants() and not value.is_constant:
                return True
            before, now = (self._types or {}).get(value, _NOTHING), value.known
            if before.is_complete:
                continue
            is_other = now.given is not None and not now.given.HasField("tensor_type")
            if now.is_complete or (is_other and now.given != before.given):
                return True
        return False

    def _infer_node(self, node: Node) -> list[Known]:
        if node.graph is None:
            return [_NOTHING] * len(node.outputs)
        types: dict[str, TypeProto] = {}
        data: dict[str, TensorProto] = {}
        for value in node.inputs:
            if value is None or value.known is None:
                continue
            if (type := value.known.type) is not None:
                types[value.name] = type
            tensor = value.tensor if value.is_constant else None
            if value.known.value is not None and (tensor := tensor or _tensor_of(value.known)):
                data[value.name] = tensor
        for value in chain.from_iterable(body.captured() for body in node.subgraphs):
            if value.known is not None and (type := value.known.type) is not None:
                types[value.name] = type
        ir_version = self._model.proto.ir_version
        found = shapes.infer_node(node.proto, types, data, node.graph.opset_imports, ir_version)
        named = (found.get(value.name) for value in node.outputs)
        known = [_NOTHING if type is None else self._of(type) for type in named]
        return known if any(each is not _NOTHING for each in known) else self._returned(node)

    def _passed(self, value: Value) -> Known:
        """What holds of an input of a function in all its calls."""
        function = value.graph
        if function.operator is None:
            return _NOTHING
        index = list(function.input_names).index(value.name)
        with self._calls.looking_at(value) as is_new:
            passed = [call.input(index) for call in self._calls.of(function)] if is_new else []
            found = [_NOTHING if each is None else self.known(each) for each in passed]
        return reduce(_common, found) if found else _NOTHING

    def _returned(self, node: Node) -> list[Known]:
        """What holds of the outputs of a function that a node calls, whatever the call."""
        nothing = [_NOTHING] * len(node.outputs)
        function = self._calls.called(node)
        if function is None:
            return nothing
        with self._calls.looking_at(function) as is_new:
            returned = function.outputs[: len(nothing)] if is_new else ()
            found = [replace(self.known(value), value=None) for value in returned]
        return found + nothing[len(found) :]

    def _forward(self, node: Node, known: list[Known]) -> None:
        """Combine what ONNX infers about a node's outputs with what symbols tell."""
        if node.domain or node.has_references:
            pass
        elif node.op_type == "Constant":
            known = [replace(each, value=_contents(node.output)) for each in known]
        else:
            inputs = [v.known or _NOTHING if v is not None else None for v in node.inputs]
            given = (node.op_type, "", node.attributes, node.version, inputs, len(known))
            if any(each.shape is None or None in each.shape for each in known):
                ours = shapes.output_shapes(*given)
                known = [_refined(k, shape) for k, shape in zip(known, ours, strict=True)]
            if any(map(_could_be_shape, known)):
                values = shapes.propagate(*given)
                known = [replace(k, value=v) for k, v in zip(known, values, strict=True)]
        for output, each in zip(node.outputs, known, strict=True):
            inherited = self._inherited.pop(output, None)
            output.known = self._named(each if inherited is None else _completed(each, inherited))

    def _of(self, type: TypeProto) -> Known:
        shape = shapes.shape_of(type, self._model.minimums)
        return Known(shape, shapes.dtype_of(type), None, type)

    def _named(self, known: Known) -> Known:
        """What is known, and a symbol for each size that is not, so that it equals itself."""
        if known.shape is None or None not in known.shape:
            return known
        sizes = (shapes.unnamed(next(self._unnamed)) if s is None else s for s in known.shape)
        return replace(known, shape=tuple(sizes))


def _by_value(graph: Graph, types: Mapping[str, TypeProto]) -> dict[Value, TypeProto]:
    return {graph.values[name]: type for name, type in types.items() if name in graph.values}


def _of_any_call(known: Known) -> Known:
    """What is known of a function's output, without the sizes that may differ from call to call."""
    if known.shape is None:
        return replace(known, value=None)
    sizes = (size if shapes.is_named(size) else None for size in known.shape)
    return replace(known, shape=tuple(sizes), value=None)


def _common(one: Known, other: Known) -> Known:
    """What is known of two values alike."""
    if one.dtype is None or one.dtype != other.dtype:
        return _NOTHING
    shape: tuple[DimLike, ...] | None = None
    if one.shape is not None and other.shape is not None and len(one.shape) == len(other.shape):
        pairs = zip(one.shape, other.shape, strict=True)
        shape = tuple(size if size == too else None for size, too in pairs)
    return Known(shape, one.dtype)


def _completed(known: Known, inherited: Known) -> Known:
    """What is known, and what *inherited* adds to it if the two agree."""
    type, before = known.type, inherited.type
    if type is None:
        return inherited
    if before is None or shapes.contradicts(before, type):
        return known
    if known.dtype is None and known.shape is None:
        return replace(inherited, value=known.value or inherited.value)
    known = replace(
        known, dtype=known.dtype or inherited.dtype, value=known.value or inherited.value
    )
    return _refined(known, inherited.shape)


def _says_all(known: Known) -> bool:
    """Whether of a value so known nothing more is learned from its data."""
    if not known.is_sized or known.shape is None:
        return False
    if known.value is not None and known.value.constants() is not None:
        return True
    return len(known.shape) > 1 or any(isinstance(n, int) and n > _MAX_LENGTH for n in known.shape)


def _tensor_of(known: Known) -> TensorProto | None:
    """The tensor whose elements are all known."""
    numbers = known.value.constants() if known.value is not None else None
    if numbers is None or known.dtype is None or known.value is None:
        return None
    array = np.array(numbers, helper.tensor_dtype_to_np_dtype(known.dtype))
    return from_array(array.reshape(known.value.shape), "")


def _could_be_shape(known: Known) -> bool:
    """Whether a tensor is one that shapes are made of."""
    if known.dtype not in _SHAPE_DTYPES and known.dtype is not None:
        return False
    return known.shape is None or len(known.shape) <= 1


def _refined(known: Known, shape: tuple[DimLike, ...] | None) -> Known:
    """What is known, with the sizes that only our own rules find."""
    if shape is None:
        return known
    if known.shape is not None:
        if len(known.shape) != len(shape):
            return known
        pairs = zip(known.shape, shape, strict=True)
        shape = tuple(new if size is None else size for size, new in pairs)
    return Known(shape, known.dtype, known.value, known.given if known.dtype is None else None)


def _contents(value: Value) -> ShapeValue | None:
    """The elements of a constant, if it is small and whole-numbered."""
    tensor = value.tensor
    if tensor is not None and (len(tensor.dims) > 1 or max(tensor.dims, default=1) > _MAX_LENGTH):
        return None
    try:
        return shapes.value_of(value.numpy()) if value.is_constant else None
    except OnnxForgeError:  # unreadable data is for whoever needs it to complain about
        return None


def _bodies(node: Node, path: shapes.GraphPath, index: int) -> list[shapes.GraphPath]:
    """The paths of a node's bodies, in the order of `Node.subgraphs`."""
    paths = []
    for attribute in node.proto.attribute:
        if attribute.HasField("g"):
            paths.append((*path, (index, attribute.name, 0)))
        paths += [(*path, (index, attribute.name, i)) for i in range(len(attribute.graphs))]
    return paths
