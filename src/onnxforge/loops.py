"""How often the bodies of loops run, as far as constants tell.

A `Loop` may ask for 2**62 iterations, or for as many as its condition holds: whoever runs a model
must know whether it is sure to end.
"""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import TypeAlias

from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto

from onnxforge import storage
from onnxforge.errors import InvalidModelError
from onnxforge.ir import operators

MAX_TRIPS = 1_000_000
"""Iterations that end in seconds, if a body is small; of loops in loops, multiplied."""

_Scope: TypeAlias = MutableMapping[str, TensorProto]


def most_trips(proto: ModelProto, folder: Path | None = None) -> float:
    """How often the body of a loop runs at most: 0 without loops, infinity if no constant tells.

    Of loops in loops it is the product; how often functions are called is not followed.
    """
    most = 0.0
    waiting: list[tuple[GraphProto | FunctionProto, _Scope, float]]
    waiting = [(proto.graph, ChainMap(), 1.0)]
    waiting += [(function, ChainMap(), math.inf) for function in proto.functions]
    while waiting:
        graph, outer, factor = waiting.pop()
        bodies = [
            node for node in graph.node if operators.may_have_bodies(node.op_type, node.domain)
        ]
        if not bodies:
            continue
        scope = ChainMap(_integers(graph), outer)
        for node in bodies:
            inner = factor
            if node.op_type == "Loop" and not node.domain:
                inner *= _trips(node, scope, folder)
                most = max(most, inner)
            for attribute in node.attribute:
                found = [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
                waiting += [(body, scope, inner) for body in found]
    return most


def _integers(graph: GraphProto | FunctionProto) -> dict[str, TensorProto]:
    """The constants of one int64 that a graph has, by name."""
    found = list(graph.initializer) if isinstance(graph, GraphProto) else []
    named = {tensor.name: tensor for tensor in found}
    for node in graph.node:
        if node.op_type == "Constant" and not node.domain and node.output:
            for attribute in node.attribute:
                if attribute.name == "value":
                    named[node.output[0]] = attribute.t
                elif attribute.name == "value_int":
                    named[node.output[0]] = TensorProto(
                        data_type=TensorProto.INT64, int64_data=[attribute.i]
                    )
    return {
        name: tensor
        for name, tensor in named.items()
        if tensor.data_type == TensorProto.INT64 and math.prod(tensor.dims) == 1
    }


def _trips(node: NodeProto, scope: Mapping[str, TensorProto], folder: Path | None) -> float:
    tensor = scope.get(node.input[0]) if node.input else None
    try:
        return math.inf if tensor is None else float(storage.to_array(tensor, folder).item())
    except (InvalidModelError, OSError):  # for whoever runs it to complain about
        return math.inf
