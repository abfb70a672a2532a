from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, helper

from onnxforge import EvaluationError, Graph, Node, OnnxForgeError, Pass, Value, evaluate, extract
from onnxforge.loops import MAX_TRIPS, most_trips
from onnxforge.storage import from_array

from .constant_region import Region
from .minimum_cut import SINK, SOURCE, Network
from .numpy_kernels import Array, Undefined, compute
from .weights import FLOATS

# A session holds what it computes, and what it reads, in memory.
_BATCH_BYTES = 1 << 25
# They make elements of none, and NumPy has them as views, or by one copy.
_MOVING = frozenset(
    {"Concat", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze"}
    | {"Transpose", "Unsqueeze"}
)
_LOWEST_PRICE = 1 << 8
# What an initializer takes besides its name and its data, at most.
_OVERHEAD = 48


@dataclass(frozen=True)
class ConstantFolding(Pass):
    """Compute now, once, whatever depends on constants alone, unless the file would grow.

    Shapes that are known although no constant says them, such as that of an input of fixed size,
    count as constants.  Random operators and quantized weights are left alone.

    Which nodes to fold is decided for all of them together, so that the file becomes as small as it
    can: what folding adds to it is set against the constants and nodes it frees.  Thus large
    constants may grow on the way to a small one, but a weight stored in float16, or expanded from
    one number, stays as it is.  Constants of up to `allowance` bytes weigh nothing.  No array of
    more than `max_bytes` is ever computed, even in passing.

    With a `price`, the file may grow by up to so many bytes for each node that goes, if that is
    paid for: in all by no more than the run has saved before.  A run on what comes of it saves
    nothing, and so adds nothing.  Weights are not cast to a wider type at any price.
    """

    allowance: int = 1 << 10
    max_bytes: int = 1 << 29
    price: int = 0

    def run(self, graph: Graph) -> int:
        """Fold what pays; return how many values became constants."""
        changes = _skip_copies(graph)
        region = Region(graph, self.max_bytes)
        made: dict[Value, Value] = {}
        while True:
            wanted = _frontier(region, self._kept(region))
            missing = [value for value in wanted if value not in made]
            for batch in _batches(region, missing):
                arrays = _evaluated(region, batch)
                for value in batch:
                    if (array := arrays.get(value)) is not None:
                        made[value] = _constant(value, array)
                    else:
                        region.exclude(value)
            if all(value in made for value in wanted):
                break
        changes += sum(graph.replace(value, made[value]) for value in wanted if value.is_used)
        graph.sweep(made.values())
        return changes

    def _kept(self, region: Region) -> set[object]:
        """The nodes that stay, because no constant can be returned or the file would grow."""
        returned: set[object] = {n for n in region.nodes if any(map(_stays, n.outputs))}
        kept = self._cut(region, returned)
        growing = [node for node in region.nodes if node in kept and node not in returned]
        if growing and self.price:
            stored = returned.union(node for node in growing if _widens(region, node))
            saved, price = region.graph.model.saved, self.price
            while price >= _LOWEST_PRICE:
                fewer = self._cut(region, stored, price)
                if _growth(region, fewer) <= saved:
                    return fewer
                price //= 2
        for node in growing:
            region.graph.decline(f"{node.op_type}: its result is larger than what it frees")
        return kept

    def _cut(self, region: Region, kept: set[object], price: int = 0) -> set[object]:
        """The nodes that stay, besides those *kept* anyway, so that the file is smallest.

        A minimum cut: the nodes on the source's side go.  What is cut through, and so paid for, are
        values that nodes which go leave to nodes which stay, constants that are still needed, and
        the bytes of the nodes that stay themselves, with the *price* of each.
        """
        network = Network()
        touched: dict[Node, None] = {}
        constants = _constants(region)
        for value in (*region.values, *constants):
            # What is freed counts in full, or many small constants would weigh nothing against one.
            weight = region.nbytes(value) - (0 if value in constants else self.allowance)
            if weight <= 0:
                continue
            ends = [reader if reader in region.nodes else SINK for reader in value.consumers]
            if value.is_output:
                ends.append(SINK)
            producer = value.producer if value.producer in region.nodes else None
            network.connect(producer or SOURCE, value, weight)
            for end in ends:
                network.connect(value, end)
            touched.update((node, None) for node in (producer, *ends) if isinstance(node, Node))
        for node in touched:
            network.connect(SOURCE, node, node.proto.ByteSize() + 1 + price)
            if node in kept:
                network.connect(node, SINK)
        if not touched:
            return kept
        side = network.sink_side()
        return kept.union(node for node in touched if node in side)


def _constants(region: Region) -> dict[Value, None]:
    """The constants that nodes of the region read."""
    read = (value for node in region.nodes for value in node.inputs if value is not None)
    return {value: None for value in read if not region.knows(value) and value.is_constant}


def _frontier(region: Region, kept: set[object]) -> list[Value]:
    """The values to make constants of, in order, if the nodes *kept* stay and the others go."""
    folded = dict.fromkeys(node for node in region.nodes if node not in kept)
    return [
        value
        for value in region.values
        if (value.producer in folded or value.producer not in region.nodes)
        and (any(reader not in folded for reader in value.consumers) or value.is_output)
        and not _stays(value)
    ]


def _growth(region: Region, kept: set[object]) -> int:
    """By how many bytes the file grows, at most, if the nodes *kept* stay and the others go."""
    added = sum(region.nbytes(v) + len(v.name) + _OVERHEAD for v in _frontier(region, kept))
    folded = dict.fromkeys(node for node in region.nodes if node not in kept)
    freed: int = sum(node.proto.ByteSize() for node in folded)
    for value in _constants(region):
        if not value.is_output and value.consumers.keys() <= folded.keys():
            freed += region.nbytes(value)
    return added - freed


def _widens(region: Region, node: Node) -> bool:
    """Whether a node is a Cast to a type that takes more room."""
    source = node.inputs[0] if node.op_type == "Cast" and not node.domain else None
    return source is not None and region.nbytes(source) < region.nbytes(node.output)


def _stays(value: Value) -> bool:
    """Whether a graph returns the value, and in its opset there is no Constant of that type."""
    opset = value.graph.opset_imports.get("", 1)
    return _is_returned(value) and opset < 9 and value.dtype not in FLOATS


def _is_returned(value: Value) -> bool:
    """Whether the value is what a graph returns that has initializers, and may not return them."""
    return value.is_output and value.graph.operator is None


def _constant(value: Value, array: Array) -> Value:
    """A constant that can stand for *value*."""
    graph = value.graph
    if not _is_returned(value):
        return graph.constant(array)
    tensor = from_array(array, "", graph.model.scratch)
    return graph.add_node("Constant", (), before=value.producer, value=tensor).output


def _skip_copies(graph: Graph) -> int:
    """Read past each Identity of a constant: folded, it would be the same constant again."""
    changes = 0
    for node in graph.calls("Identity"):
        if not node.domain:
            source = node.inputs[0]
            if source is not None and source.is_constant and not _is_returned(node.output):
                changes += node.output.is_used and graph.replace(node.output, source)
    return changes


def _batches(region: Region, values: list[Value]) -> Iterator[list[Value]]:
    """The values in groups that fit into memory together."""
    batch: list[Value] = []
    size = 0
    for value in values:
        if batch and size + region.nbytes(value) > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(value)
        size += region.nbytes(value)
    if batch:
        yield batch


def _evaluated(region: Region, values: list[Value]) -> dict[Value, Array]:
    """The arrays of *values*, save for those that cannot be computed."""
    known = {value: region.arrays[value] for value in values if value in region.arrays}
    known |= _moved(region, [value for value in values if value not in known])
    unknown = [value for value in values if value not in known]
    return known | (_run(region, unknown) if unknown else {})


def _moved(region: Region, values: list[Value]) -> dict[Value, Array]:
    """Those of *values* that are constants cut, joined, picked, or in another order or shape.

    Such as the weights of an LSTM, whose gates others have in another order: a session would cost
    more than the work.  What only views one constant is not even copied.
    """
    found: dict[Value, Array | None] = {}
    stack = list(values)
    while stack:
        value, node = stack[-1], stack[-1].producer
        if value in found:
            stack.pop()
        elif value in region.arrays:
            found[value] = region.arrays[value]
        elif value.is_constant:
            found[value] = _read(value)
        elif node is None or not _is_moved(region, value, node):
            found[value] = None
        elif missing := [each for each in node.inputs if each is not None and each not in found]:
            stack += missing
        else:
            found |= zip(node.outputs, _rearranged(node, found), strict=True)
    arrays = ((value, found[value]) for value in values)
    return {v: array for v, array in arrays if array is not None and _is_as_inferred(v, array)}


def _is_moved(region: Region, value: Value, node: Node) -> bool:
    if node not in region.nodes or node.domain or node.op_type not in _MOVING:
        return False
    # On the way to others a session does better by large ones: it lets go of what it is done with.
    is_first = all(each is None or each.is_constant for each in node.inputs)
    return is_first or region.nbytes(value) <= _BATCH_BYTES


def _rearranged(node: Node, found: Mapping[Value, Array | None]) -> Sequence[Array | None]:
    """What *node* makes of arrays, each None if that is not known."""
    inputs = [None if value is None else found[value] for value in node.inputs]
    given = [value is not None for value in node.inputs]
    unknown: Sequence[Array | None] = [None] * len(node.outputs)
    if given != [array is not None for array in inputs]:
        return unknown
    try:
        return compute(node, inputs) or unknown
    except Undefined:
        return unknown


def _read(constant: Value) -> Array | None:
    try:
        return constant.numpy()
    except OnnxForgeError:
        return None


def _run(region: Region, values: list[Value]) -> dict[Value, Array]:
    """The arrays of *values*, by one session if it can be, else by as few as can be."""
    try:
        folder = region.graph.model.folder
        proto = _model(region, values)
        if most_trips(proto, folder) > MAX_TRIPS:
            raise EvaluationError("how often a loop runs is not known, or beyond reason")
        results = evaluate(proto, folder=folder, fallback=False)
    except OnnxForgeError as error:
        if len(values) > 1:
            middle = len(values) // 2
            return _run(region, values[:middle]) | _run(region, values[middle:])
        reason = str(error).partition("\n")[0]
        region.graph.decline(f"{values[0].producer!r} cannot be computed: {reason}")
        return {}
    arrays: dict[Value, Array] = {}
    for value, array in zip(values, results, strict=True):
        if isinstance(array, np.ndarray) and _is_as_inferred(value, array):
            arrays[value] = array
        else:
            region.graph.decline(f"{value.producer!r}: the result is not of the inferred type")
    return arrays


def _is_as_inferred(value: Value, array: Array) -> bool:
    assert value.dtype is not None
    return value.shape == array.shape and array.dtype == helper.tensor_dtype_to_np_dtype(
        value.dtype
    )


def _model(region: Region, values: list[Value]) -> ModelProto:
    """A model of the part of the region that computes *values*; what is known already is given."""
    given: dict[Value, Array] = {}
    seen = dict.fromkeys(values)
    stack = list(values)
    while stack:
        producer = stack.pop().producer
        for value in producer.inputs if producer is not None else ():
            if value is None or value in seen or not region.knows(value):
                continue
            seen[value] = None
            if value in region.arrays:
                given[value] = region.arrays[value]
            else:
                stack.append(value)
    proto = extract(values, given)
    del proto.graph.input[:]
    proto.graph.initializer.extend(from_array(a, v.name) for v, a in given.items())
    return proto
