"""What is in a model, and what stands in the way of optimizing it.  No weight is read for it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from onnx import FunctionProto, GraphProto, ModelProto, TensorProto, TypeProto

from onnxforge import shapes, storage
from onnxforge.errors import InvalidModelError
from onnxforge.extract import reads
from onnxforge.ir import Graph, Model, Node, Value
from onnxforge.shapes import Dim, is_named
from onnxforge.storage.span import location_of

_LARGEST = 10
_OVERRIDABLE = "initializers that callers may override"


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor the model holds."""

    name: str
    type: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class ExternalFile:
    """A data file beside the model: the bytes read of it, and its size, None if it cannot be read."""

    location: str
    used: int
    size: int | None


@dataclass(frozen=True, slots=True)
class Folding:
    """What constant folding could do with the main graph.

    `constant` nodes depend on constants alone.  The nodes in `waiting` would, were it not for what
    they are listed under: a symbolic size, the size of what an operator answers, overridable
    initializers, random numbers.  A node that waits for two things is listed twice; `waiting_nodes`
    counts it once.
    """

    constant: int = 0
    waiting_nodes: int = 0
    waiting: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Inspection:
    """What is in a model.

    Types are written as in ONNX text: `float[N, 3]`.  `operators` counts the nodes of the main
    graph, of all bodies and of functions, by `domain::name` where the domain is not ONNX's own.
    `parameters` are the elements of all tensors, `bytes_by_type` what they take.  `problems` are
    sentences on what is wrong with the model, or misleading in it.
    """

    ir_version: int
    opset_imports: dict[str, int]
    producer: str
    nodes: int
    functions: int
    inputs: dict[str, str]
    outputs: dict[str, str]
    overridable: list[str]
    operators: dict[str, int]
    parameters: int
    bytes_by_type: dict[str, int]
    largest: list[Tensor]
    external_files: list[ExternalFile]
    metadata: dict[str, str]
    folding: Folding
    problems: list[str]

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data for JSON."""
        return asdict(self)


def inspect(model: Model) -> Inspection:
    """What is in *model*.

    A model that dangles or has cycles is described as far as possible, its defect being among the
    `problems`.
    """
    proto = model.commit()
    tensors = list(storage.tensors(proto))
    sizes, problems = _sizes(tensors)
    initialized = {tensor.name for tensor in proto.graph.initializer}
    files, unreadable = _external_files(model, tensors)
    problems += unreadable
    folding = Folding()
    try:
        folding = fold(model.graph)
        for graph in model.graphs():
            problems += _node_names(graph)
            problems += _stale_types(graph)
    except InvalidModelError as error:
        problems.append(str(error))
    # A name that is not UTF-8 comes as bytes, and among the problems.
    operators = Counter(map(str, _operators(proto)))
    by_type: Counter[str] = Counter()
    for tensor, nbytes in zip(tensors, sizes, strict=True):
        by_type[_elem_type(tensor.data_type)] += nbytes
    largest = sorted(zip(tensors, sizes, strict=True), key=lambda pair: -pair[1])[:_LARGEST]
    return Inspection(
        ir_version=proto.ir_version,
        opset_imports={e.domain or "ai.onnx": e.version for e in proto.opset_import},
        producer=" ".join(filter(None, (proto.producer_name, proto.producer_version))),
        nodes=operators.total(),
        functions=len(proto.functions),
        inputs={
            info.name: type_text(info.type)
            for info in proto.graph.input
            if info.name not in initialized
        },
        outputs={info.name: type_text(info.type) for info in proto.graph.output},
        overridable=[info.name for info in proto.graph.input if info.name in initialized],
        operators=dict(sorted(operators.items(), key=lambda pair: (-pair[1], pair[0]))),
        parameters=sum(math.prod(tensor.dims) for tensor in tensors),
        bytes_by_type=dict(by_type.most_common()),
        largest=[Tensor(t.name, _tensor_type(t), n) for t, n in largest],
        external_files=files,
        metadata={entry.key: entry.value for entry in proto.metadata_props},
        folding=folding,
        problems=problems,
    )


def type_text(type: TypeProto | None) -> str:
    """A type as ONNX text has it; `?` for what is not known."""
    kind = type.WhichOneof("value") if type is not None else None
    if type is None or kind is None:
        return "?"
    if kind == "sequence_type":
        return f"seq({type_text(type.sequence_type.elem_type)})"
    if kind == "optional_type":
        return f"optional({type_text(type.optional_type.elem_type)})"
    if kind == "map_type":
        return f"map({_elem_type(type.map_type.key_type)}, {type_text(type.map_type.value_type)})"
    if kind == "opaque_type":
        return f"opaque({type.opaque_type.domain}, {type.opaque_type.name})"
    elements, shape = _elem_type(shapes.dtype_of(type) or 0), shapes.shape_of(type)
    if shape is None:
        text = f"{elements}[...]"
    else:
        text = f"{elements}[{', '.join('?' if size is None else str(size) for size in shape)}]"
    return f"sparse_tensor({text})" if kind == "sparse_tensor_type" else text


# What the protobuf says


def _elem_type(data_type: int) -> str:
    if not data_type:
        return "?"
    try:
        return str(TensorProto.DataType.Name(data_type)).lower()
    except ValueError:
        return f"type {data_type}"


def _tensor_type(tensor: TensorProto) -> str:
    return f"{_elem_type(tensor.data_type)}[{', '.join(map(str, tensor.dims))}]"


def _sizes(tensors: list[TensorProto]) -> tuple[list[int], list[str]]:
    """The bytes each tensor takes, and what is wrong with those of which that cannot be told."""
    sizes, problems = [], []
    for tensor in tensors:
        try:
            sizes.append(storage.nbytes(tensor))
        except InvalidModelError as error:
            sizes.append(0)
            problems.append(str(error))
    return sizes, problems


def _operators(proto: ModelProto) -> Iterator[str]:
    waiting: list[GraphProto | FunctionProto] = [proto.graph, *proto.functions]
    while waiting:
        for node in waiting.pop().node:
            own = node.domain in ("", "ai.onnx")
            yield node.op_type if own else f"{node.domain}::{node.op_type}"
            for attribute in node.attribute:
                waiting += attribute.graphs
                if attribute.HasField("g"):
                    waiting.append(attribute.g)


def _external_files(
    model: Model, tensors: list[TensorProto]
) -> tuple[list[ExternalFile], list[str]]:
    """The data files, and of each what is wrong with the first tensor that cannot be read."""
    used: Counter[str] = Counter()
    sizes: dict[str, int] = {}
    problems: dict[str, str] = {}
    for tensor in filter(storage.is_external, tensors):
        location = location_of(tensor)
        used[location] += 0
        try:
            span = storage.Span.of(tensor, model.folder)
        except InvalidModelError as error:
            problems.setdefault(location, str(error))
        else:
            assert span is not None
            used[location] += span.length
            sizes[location] = Path(span.path).stat().st_size
    files = [ExternalFile(each, used[each], sizes.get(each)) for each in sorted(used)]
    return files, list(problems.values())


# What the graph says


def _node_names(graph: Graph) -> Iterator[str]:
    names = Counter(node.name for node in graph if node.name)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        yield (
            f"graph {graph.proto.name!r}: {len(twice)} node names are used more than once, "
            f"{twice[0]!r} for one"
        )


def _stale_types(graph: Graph) -> Iterator[str]:
    if graph.operator is not None:
        return  # the types inside a function depend on who calls it
    gone = []
    for name, recorded in graph.recorded_types().items():
        value = graph.values.get(name)
        if value is None:
            gone.append(name)
        elif value.type is not None and shapes.contradicts(recorded, value.type):
            yield (
                f"{name!r} is recorded as {type_text(recorded)}, "
                f"and its producer gives {type_text(value.type)}"
            )
    # A body may return a value from outside, whose type it then declares.
    gone = [name for name in gone if name not in graph.output_names]
    if gone:
        yield (
            f"graph {graph.proto.name!r} records types of {len(gone)} values that are not there, "
            f"{gone[0]!r} for one"
        )


def fold(graph: Graph) -> Folding:
    """What constant folding could do with *graph*, and what it waits for."""
    # By value: what stands between it and a constant; None if it depends on data of the caller.
    known: dict[Value, frozenset[str] | None] = {}
    waiting: Counter[str] = Counter()
    constant = 0
    waiting_nodes = 0
    for node in graph:
        found = _obstacles(node, known)
        for value in node.outputs:
            known[value] = found
        if found is None or not node.inputs:
            continue
        if found:
            waiting.update(found)
            waiting_nodes += 1
        else:
            constant += 1
    return Folding(
        constant, waiting_nodes, dict(sorted(waiting.items(), key=lambda e: (-e[1], e[0])))
    )


def _obstacles(node: Node, known: dict[Value, frozenset[str] | None]) -> frozenset[str] | None:
    if not node.domain and node.op_type in ("Shape", "Size"):
        return _unknown_sizes(node)
    if all(_is_known(value) for value in node.outputs):
        return frozenset()
    found: frozenset[str] = frozenset()
    for value in reads(node):
        each = known.get(value) if value.producer is not None else _of_source(value)
        if each is None:
            return None
        found |= each
    if not node.operator.deterministic:
        found |= {f"{node.op_type}, which may answer anew each time"}
    return found


def _of_source(value: Value) -> frozenset[str] | None:
    if value.is_constant:
        return frozenset()
    return frozenset({_OVERRIDABLE}) if value.initializer is not None else None


def _is_known(value: Value) -> bool:
    contents = value.contents
    return contents is not None and all(isinstance(element, int) for element in contents.elements)


def _unknown_sizes(node: Node) -> frozenset[str]:
    """The sizes that the answer of a Shape or Size depends on."""
    value = node.inputs[0]
    assert value is not None
    shape = value.shape
    if shape is None:
        return frozenset({f"the rank of {_origin(value)}"})
    if node.op_type == "Shape":
        start, end = node.attribute("start") or 0, node.attribute("end")
        shape = shape[start:end]
    found: dict[str, None] = {}
    for size in shape:
        if not is_named(size):
            found[f"a size of {_origin(value)}"] = None
        elif isinstance(size, Dim):
            found.update(dict.fromkeys(f"the size {symbol!r}" for symbol in size.symbols))
    return frozenset(found)


def _origin(value: Value) -> str:
    """Where what is unknown of a value's shape comes from."""
    seen = {value}
    while value.producer is not None:
        before = next(
            (v for v in value.producer.inputs if v is not None and _is_vague(v) and v not in seen),
            None,
        )
        if before is None:
            return f"what {value.producer.op_type} gives"
        value = before
        seen.add(value)
    return f"input {value.name!r}"


def _is_vague(value: Value) -> bool:
    return value.shape is None or not all(map(is_named, value.shape))
