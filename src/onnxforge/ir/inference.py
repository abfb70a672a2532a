"""What is known about values, kept beside the model and brought up to date as it is edited.

The whole model is inferred once, when the first question is asked.  A value made later is inferred
from its node when somebody asks about it, so that passes see the types of what they build, and
nothing is inferred twice.  What the file records is a hint, and never enters here.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from functools import reduce
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from onnx import GraphProto, TensorProto, TypeProto, helper

from onnxforge import shapes
from onnxforge.errors import OnnxForgeError
from onnxforge.ir import operators
from onnxforge.ir.calls import Calls
from onnxforge.ir.demands import minimums
from onnxforge.ir.known import MAX_LENGTH, NOTHING, Known
from onnxforge.shapes import Dim, Shape, ShapeValue

if TYPE_CHECKING:
    import numpy.typing as npt

    from onnxforge.ir.graph import Graph
    from onnxforge.ir.model import Model
    from onnxforge.ir.node import Node
    from onnxforge.ir.value import Value

# What is known of sizes may show that others cannot be small, again and again.
_MAX_DEMANDS = 12
# Larger nodes are not remembered for others like them.
_MAX_ALIKE = 4096

_Call: TypeAlias = tuple[str, str, Mapping[str, Any], int, Sequence[Known | None], int]
_known, _is_sized = attrgetter("known"), attrgetter("is_sized")
_has_gaps, _could_be_shape = attrgetter("has_gaps"), attrgetter("could_be_shape")


class Inference:
    """Answers what is known of the values of a model."""

    def __init__(self, model: Model) -> None:
        self._model = model
        # What ONNX inferred of the model as a whole, before values were made or renamed.
        self._types: dict[Value, Known] | None = None
        self._edits = 0
        # What is known of values that new ones stand for.
        self._inherited: dict[Value, Known] = {}
        # What stands for the sizes that have no name, the same whenever a value is looked at.
        self._unnamed: dict[tuple[Value, int], Dim] = {}
        # What was known of the inputs of nodes with bodies when ONNX was asked about those.
        self._handed: dict[Node, list[TypeProto | None]] = {}
        # What was found of nodes: the layers of a model are alike.
        self._alike: dict[Hashable, list[Known]] = {}
        # What was found of constants: many are alike.
        self._constants: dict[Hashable, Known] = {}
        self._calls = Calls(model)

    def known(self, value: Value) -> Known:
        """What is known of *value*."""
        if value.known is None:
            if self._types is None:
                if value.is_constant and value.tensor is not None:
                    value.known = self._source(value)
                    return value.known
                if value.is_input and (known := self._declared(value)) is not None:
                    return known
                self._begin()
            if value.known is None:
                self._infer(value)
        return value.known or NOTHING

    def renew(self) -> None:
        """Forget what is vague, if there were edits since: they may tell more of values after them.

        What is complete stays so, and needs no second look.  What ONNX found holds on; it is asked
        again only where more is known of what nodes hand in to bodies, of which nobody else knows
        what comes in, and where functions are called, of which nobody else knows what comes out.
        """
        if self._types is None or self._edits == self._model.edits:
            return
        self._edits = self._model.edits
        is_open = False
        owners: dict[Node, None] = {}
        for graph in self._model.graphs():
            for value in graph.values.values():
                known = value.known or self._types.get(value, NOTHING)
                if known.is_complete:
                    continue
                if known.is_sized:
                    self._types[value] = known.holding(None)
                elif value.producer is None:
                    if graph.owner is not None:
                        owners[graph.owner] = None
                elif known.shape is None:
                    is_open |= self._calls.called(value.producer) is not None
                value.known = None
        for owner in owners:
            types = [None if value is None else self.known(value).type for value in owner.inputs]
            is_open |= types != self._handed.get(owner)
        if is_open:
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
        if self._types is None or (before is not None and before.says_all):
            return
        pending = [value]
        for each in pending:
            for node in each.consumers:
                for output in node.outputs:
                    if output.known is None and output not in self._types:
                        continue
                    known = output.known or self._types.get(output) or NOTHING
                    if not known.is_complete:
                        self._types.pop(output, None)
                        self._inherited[output] = known
                        output.known = None
                        pending.append(output)

    def _begin(self) -> None:
        """Infer the model as a whole, and how small sizes can be, which tells more of it."""
        self._types = {}
        self._edits = self._model.edits
        types, symbols = self._infer_model()
        self._take(types)
        for graph in self._model.graphs():
            if (owner := graph.owner) is not None:
                self._handed[owner] = [
                    None if value is None else self._types.get(value, NOTHING).type
                    for value in owner.inputs
                ]
        if not symbols:
            return  # there is nothing that could be small
        symbolic = {v: type for v, type in types.items() if self._types[v].has_symbols}
        for _ in range(_MAX_DEMANDS):
            found = minimums(self._model.graph, self._model.minimums, symbols)
            if found == self._model.minimums:
                break
            self._model.minimums = found
            for graph in self._model.graphs():
                for value in graph.values.values():
                    if value.known is not None and not value.known.is_fixed:
                        value.known = None
            self._take(symbolic)

    def _take(self, types: Mapping[Value, TypeProto]) -> None:
        """Note what ONNX inferred; most of it is complete."""
        assert self._types is not None
        self._alike.clear()
        # Equal types are one object.
        distinct = {id(type): type for type in types.values()}
        known = {key: self._of(type) for key, type in distinct.items()}
        for value, type in types.items():
            found = self._types[value] = known[id(type)]
            node = value.producer
            if node is not None and found.is_complete and node.op_type != "Constant":
                value.known = value.known or found

    def _infer_model(self) -> tuple[dict[Value, TypeProto], Collection[str]]:
        """What ONNX infers of the model as a whole, and the symbols that there are in it."""
        model = self._model
        inferred = shapes.infer_model(model.settle(), model.folder)
        found = _by_value(model.graph, inferred.graph)
        todo: list[tuple[Graph, shapes.GraphPath]] = [(model.graph, ())]
        while todo:
            graph, path = todo.pop()
            if not graph._owners:
                continue
            position = {id(proto): index for index, proto in enumerate(graph.proto.node)}
            for node in graph._owners:
                paths = _bodies(node, path, position[id(node.proto)])
                for body, inner in zip(node.subgraphs, paths, strict=True):
                    found |= _by_value(body, inferred.subgraphs.get(inner, {}))
                    todo.append((body, inner))
        return found, inferred.symbols

    def _infer(self, value: Value) -> None:
        """Infer what *value* is computed by, and whatever that needs first."""
        if value.producer is None or value.tensor is not None:
            value.known = self._source(value)
            return
        stack = [value.producer]
        while stack:
            node = stack[-1]
            if all(map(_known, node.outputs)):
                stack.pop()
                continue
            read = node.inputs
            if node.subgraphs:
                read = (*read, *chain.from_iterable(body.captured() for body in node.subgraphs))
            waiting = []
            for needed in read:
                if needed is None or needed.known is not None:
                    continue
                if needed.producer is None or needed.tensor is not None:
                    needed.known = self._source(needed)
                else:
                    waiting.append(needed.producer)
            if waiting:
                stack += waiting
                continue
            stack.pop()
            found = self._outputs(node, self._types_of(node))
            for output, known in zip(node.outputs, found, strict=True):
                inherited = self._inherited.pop(output, None)
                told = known if inherited is None else known.completed(inherited)
                output.known = self._named(output, told) if told.has_gaps else told

    def _outputs(self, node: Node, types: list[Known] | None) -> list[Known]:
        """What is known of the outputs of a node, *types* included, as nodes alike have it."""
        is_told = types is not None and (all(map(_is_sized, types)) or not self._has_learned(node))
        if node.graph is None or node.subgraphs or self._calls.called(node):
            return self._combined(node, types, is_told)
        signature = _signature(node)
        if signature is None:
            return self._combined(node, types, is_told)
        inputs = tuple([v and v.known for v in node.inputs])
        alike = signature, inputs, None if types is None else tuple(types), is_told
        if (found := self._alike.get(alike)) is None:
            found = self._alike[alike] = self._combined(node, types, is_told)
        return found

    def _combined(self, node: Node, types: list[Known] | None, is_told: bool) -> list[Known]:
        """What is inferred about a node's outputs, unless it *is told*, with what symbols tell."""
        is_plain = not (node.graph is None or node.domain or node.has_references)
        if not is_plain:
            return types if types is not None and is_told else self._answered(node, types)
        inputs = [v.known or NOTHING if v is not None else None for v in node.inputs]
        call = (node.op_type, "", node.attributes, node.version, inputs, len(node.outputs))
        ours: list[Shape | None] | None = None
        if types is not None and is_told:
            known = types
        else:
            ours = shapes.output_shapes(*call)
            known = _by_rule(node, call, ours) or self._answered(node, types)
        if node.op_type == "Constant":
            return [each.holding(_contents(node.output)) for each in known]
        if any(map(_has_gaps, known)):
            ours = ours or shapes.output_shapes(*call)
            known = [each.refined(shape) for each, shape in zip(known, ours, strict=True)]
        if any(map(_could_be_shape, known)):
            values = shapes.propagate(*call)
            known = [each.holding(value) for each, value in zip(known, values, strict=True)]
        return known

    def _answered(self, node: Node, types: list[Known] | None) -> list[Known]:
        """What ONNX infers from a node by itself, or else of the whole model."""
        known = self._either(node)
        if any(each is NOTHING for each in known):
            known = self._infer_node(node)
        if types is None:
            return known
        return [old if new is NOTHING else new for new, old in zip(known, types, strict=True)]

    def _source(self, value: Value) -> Known:
        """What is known of an input or a constant."""
        tensor = value.tensor
        if tensor is None or value.is_input:
            known = (self._types or {}).get(value)
            return self._named(value, self._passed(value) if known is None else known)
        dims = tuple(tensor.dims)
        is_small = len(dims) < 2 and max(dims, default=1) <= MAX_LENGTH
        raw = tensor.raw_data if is_small and tensor.HasField("raw_data") else None
        key = tensor.data_type, dims, raw
        found = self._constants.get(key)
        if found is None or (is_small and raw is None):
            contents = _contents(value) if is_small else None
            found = self._constants[key] = Known(dims, tensor.data_type or None, contents)
        return found

    def _declared(self, value: Value) -> Known | None:
        """What is declared of an input of the model, where that takes no inference.

        It does where there are symbols: what is known of these grows with what is inferred.
        """
        graph = value.graph
        if graph is self._model.graph and isinstance(graph.proto, GraphProto):
            info = next(info for info in graph.proto.input if info.name == value.name)
            sizes = info.type.tensor_type.shape.dim
            if info.type.tensor_type.HasField("shape") and all(d.dim_value > 0 for d in sizes):
                return self._of(info.type)
        return None

    def _types_of(self, node: Node) -> list[Known] | None:
        """What ONNX inferred of a node's outputs with the whole model; None if it was not there."""
        types = self._types or {}
        for value in node.outputs:
            if value in types:
                return [types.get(value, NOTHING) for value in node.outputs]
        return None

    def _has_learned(self, node: Node) -> bool:
        """Whether symbols told more about an input than ONNX knew when it inferred the model."""
        for value in node.inputs:
            if value is None or value.producer is None or value.known is None:
                continue
            contents = value.known.value
            if contents is not None and contents.constants() and not value.is_constant:
                return True
            before, now = (self._types or {}).get(value, NOTHING), value.known
            if before is now or before.is_complete:
                continue
            is_other = now.given is not None and not now.given.HasField("tensor_type")
            if now.is_complete or (is_other and now.given != before.given):
                return True
        return False

    def _either(self, node: Node) -> list[Known]:
        """What both branches of an If return.

        ONNX finds the same, but looks through both for it, and so at each of the Ifs in them again.
        """
        count = len(node.outputs)
        returned = [body.outputs for body in node.subgraphs]
        if node.op_type != "If" or node.domain or set(map(len, returned)) != {count}:
            return [NOTHING] * count
        return [reduce(Known.common, map(self.known, each)) for each in zip(*returned, strict=True)]

    def _infer_node(self, node: Node) -> list[Known]:
        if node.graph is None:
            return [NOTHING] * len(node.outputs)
        if node.has_references:
            return _whatever_attributes(node)
        types: dict[str, TypeProto] = {}
        data: dict[str, TensorProto] = {}
        for value in node.inputs:
            if value is None or value.known is None:
                continue
            if (type := value.known.type) is not None:
                types[value.name] = type
            tensor = value.tensor if value.is_constant else None
            if value.known.value is not None and (tensor := tensor or value.known.tensor):
                data[value.name] = tensor
        for value in chain.from_iterable(body.captured() for body in node.subgraphs):
            if value.known is not None and (type := value.known.type) is not None:
                types[value.name] = type
        ir_version = self._model.proto.ir_version
        found = shapes.infer_node(node.proto, types, data, node.graph.opset_imports, ir_version)
        named = (found.get(value.name) for value in node.outputs)
        known = [NOTHING if type is None else self._of(type) for type in named]
        return known if any(each is not NOTHING for each in known) else self._returned(node)

    def _passed(self, value: Value) -> Known:
        """What holds of an input of a function in all its calls."""
        function = value.graph
        if function.operator is None:
            return NOTHING
        index = list(function.input_names).index(value.name)
        with self._calls.looking_at(value) as is_new:
            passed = [call.input(index) for call in self._calls.of(function)] if is_new else []
            found = [NOTHING if each is None else self.known(each) for each in passed]
        return reduce(Known.common, found) if found else NOTHING

    def _returned(self, node: Node) -> list[Known]:
        """What holds of the outputs of a function that a node calls, whatever the call."""
        nothing = [NOTHING] * len(node.outputs)
        function = self._calls.called(node)
        if function is None:
            return nothing
        with self._calls.looking_at(function) as is_new:
            returned = function.outputs[: len(nothing)] if is_new else ()
            found = [self.known(value).holding(None) for value in returned]
        return found + nothing[len(found) :]

    def _of(self, type: TypeProto) -> Known:
        shape, dtype = shapes.shape_of(type, self._model.minimums), shapes.dtype_of(type)
        is_said = dtype is not None and type.HasField("tensor_type")
        return Known(shape, dtype, None, None if is_said else type)

    def _named(self, value: Value, known: Known) -> Known:
        """What is known, and a symbol for each size that is not, so that it equals itself."""
        if known.shape is None or not known.has_gaps:
            return known
        sizes = [self._symbol(value, n) if s is None else s for n, s in enumerate(known.shape)]
        return Known(tuple(sizes), known.dtype, known.value, known.given)

    def _symbol(self, value: Value, axis: int) -> Dim:
        """What stands for a size of *value*, the same whenever one looks."""
        return self._unnamed.setdefault((value, axis), shapes.unnamed(len(self._unnamed)))


def _by_rule(node: Node, call: _Call, found: list[Shape | None]) -> list[Known] | None:
    """What our own rules tell, which *found* these shapes, if there is no more to know.

    Asking ONNX takes longer, and it knows less of sizes without a name.
    """
    op_type, _, attributes, opset, inputs, outputs = call
    if node.subgraphs or any(each is not None and each.given is not None for each in inputs):
        return None
    if any(shape is None or any(size is None for size in shape) for shape in found):
        return None
    dtypes = shapes.output_dtypes(op_type, attributes, opset, inputs, outputs)
    if None in dtypes:
        return None
    return [Known(shape, dtype) for shape, dtype in zip(found, dtypes, strict=True)]


def _whatever_attributes(node: Node) -> list[Known]:
    """What holds of the outputs however attributes are set, which ONNX takes for 0 or empty.

    That is the element type, of outputs that have it from an input.
    """
    outputs = len(node.outputs)
    schema = operators.schema(node.op_type, node.domain, node.version)
    if schema is None:
        return [NOTHING] * outputs
    dtypes = {
        formal.type_str: value.known.dtype
        for formal, value in zip(schema.inputs, node.inputs, strict=False)
        if value is not None and value.known is not None and value.known.given is None
    }
    found = [Known(None, dtypes.get(formal.type_str)) for formal in schema.outputs]
    return [*found, *[NOTHING] * outputs][:outputs]


def _signature(node: Node) -> Hashable:
    """What two nodes have in common that infer alike from the same inputs; None if it is large."""
    assert node.graph is not None
    attributes: list[bytes] = []
    if node.proto.attribute:
        if node.proto.ByteSize() > _MAX_ALIKE:
            return None
        attributes = [attribute.SerializeToString() for attribute in node.proto.attribute]
    imports = node.graph.opset_imports
    versions = imports.get(node.domain, 1), imports.get("", 1) if node.domain else None
    used = [bool(value.name) for value in node.outputs]
    return node.op_type, node.domain, versions, tuple(attributes), tuple(used)


def _by_value(graph: Graph, types: Mapping[str, TypeProto]) -> dict[Value, TypeProto]:
    return {graph.values[name]: type for name, type in types.items() if name in graph.values}


def _contents(value: Value) -> ShapeValue | None:
    """The elements of a constant, if it is small and whole-numbered."""
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
