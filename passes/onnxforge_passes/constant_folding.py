from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, helper

from onnxforge import EvaluationError, Graph, Node, OnnxForgeError, Pass, Value, evaluate, extract
from onnxforge.loops import MAX_TRIPS, most_trips
from onnxforge.storage import from_array

from .constant_region import Region
from .minimum_cut import SINK, SOURCE, Network
from .numpy_kernels import Array

_BATCH_BYTES = 1 << 28


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
    """

    allowance: int = 1 << 10
    max_bytes: int = 1 << 29

    def run(self, graph: Graph) -> int:
        """Fold what pays; return how many values became constants."""
        changes = _skip_copies(graph)
        region = Region(graph, self.max_bytes)
        made: dict[Value, Value] = {}
        while True:
            wanted = self._frontier(region)
            missing = [value for value in wanted if value not in made]
            for batch in _batches(region, missing):
                arrays = _evaluated(region, batch)
                for value in batch:
                    if (array := arrays.get(value)) is not None:
                        made[value] = graph.constant(array)
                    else:
                        region.exclude(value)
            if all(value in made for value in wanted):
                break
        changes += sum(graph.replace(value, made[value]) for value in wanted if value.is_used)
        graph.sweep(made.values())
        return changes

    def _frontier(self, region: Region) -> list[Value]:
        """The values to make constants of, in order."""
        kept = self._kept(region)
        gone = [node for node in region.nodes if node not in kept]
        folded = dict.fromkeys(gone)
        return [
            value
            for value in region.values
            if (value.producer in folded or value.producer not in region.nodes)
            and (any(reader not in folded for reader in value.consumers) or value.is_output)
            and not _stays(value)
        ]

    def _kept(self, region: Region) -> set[object]:
        """The nodes that stay, because a graph returns what they compute or the file would grow.

        A minimum cut: the nodes on the source's side go.  What is cut through, and so paid for, are
        values that nodes which go leave to nodes which stay, constants that are still needed, and
        the bytes of the nodes that stay themselves.
        """
        kept: set[object] = {node for node in region.nodes if any(map(_stays, node.outputs))}
        network = Network()
        touched: dict[Node, None] = {}
        constants: dict[Value, None] = {}
        for node in region.nodes:
            for value in node.inputs:
                if value is not None and not region.knows(value) and value.is_constant:
                    constants[value] = None
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
            network.connect(SOURCE, node, node.proto.ByteSize() + 1)
            if node in kept:
                network.connect(node, SINK)
        if touched:
            side = network.sink_side()
            growing = [node for node in touched if node in side and node not in kept]
            for node in growing:
                region.graph.decline(f"{node.op_type}: its result is larger than what it frees")
            kept.update(growing)
        return kept


def _stays(value: Value) -> bool:
    """Whether the value is returned by a graph that cannot return an initializer."""
    return value.is_output and value.graph.operator is None


def _skip_copies(graph: Graph) -> int:
    """Read past each Identity of a constant: folded, it would be the same constant again."""
    changes = 0
    for node in graph.calls("Identity"):
        if not node.domain:
            source = node.inputs[0]
            if source is not None and source.is_constant and not _stays(node.output):
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
    unknown = [value for value in values if value not in known]
    return known | (_run(region, unknown) if unknown else {})


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
