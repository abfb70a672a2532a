from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
from onnx import TensorProto

from onnxforge import Builder, Graph, Node, Pass, Value

from .uniform import uniform

# Operators that never return less than zero, of any type they take.  What is approximated is not
# bounded from above, for runtimes may exceed it by a rounding error.
_NOT_NEGATIVE = frozenset(
    {"Exp", "HardSigmoid", "ReduceL1", "ReduceL2", "Relu", "Sigmoid", "Softmax", "Sqrt"}
)
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)

Interval = tuple[Any, Any]


class ClipMerging(Pass):
    """Clip once where a value is clipped twice, and not at all where it cannot be out of bounds.

    Relu is a Clip at zero.  ONNX computes min(max(x, low), high), so that the upper bound wins, and
    a chain of them, in whatever order the bounds are, is one whose bounds are where the chain sends
    the lowest and the highest number.
    """

    operators = ("Clip", "Relu")

    def run(self, graph: Graph) -> int:
        """Merge the chains; return how many nodes went."""
        return sum(_simplify(graph, node) for node in graph.calls(*self.operators))


def _simplify(graph: Graph, node: Node) -> bool:
    """Read past a Clip of what lies within its bounds already, or merge it with one before."""
    bounds, x = _bounds(node), node.inputs[0]
    if bounds is None or x is None:
        return False
    low, high = range_of(x)
    if low >= bounds[0] and high <= bounds[1] and graph.replace(node.output, x):
        return True
    return x.producer is not None and _merge(graph, node, bounds, x.producer)


def _merge(graph: Graph, node: Node, second: Interval, inner: Node) -> bool:
    first, x, between = _bounds(inner), inner.input(0), inner.output
    if first is None or x is None or between.is_output or len(between.consumers) > 1:
        return False
    low, high = (_clip(_clip(end, first), second) for end in (-inf, inf))
    relus = [each for each in (node, inner) if each.op_type == "Relu"]
    clips = [each for each in (node, inner) if each.op_type == "Clip"]
    op = Builder(graph, before=node)
    if relus and (low, high) == (0, inf):
        new = op.Relu(x, like=relus[0])
    elif node.version < 11:
        if not np.isfinite([low, high]).all():
            return False
        new = op.Clip(x, like=clips[0], min=float(low), max=float(high))
    else:
        given = [v for clip in clips for v in clip.inputs[1:] if v is not None]
        if not given:
            return False  # neither clips anything, and a checker keeps them
        dtype = given[0].numpy().dtype
        ends = [None if end in (-inf, inf) else np.array(end, dtype) for end in (low, high)]
        new = op.Clip(x, *ends, like=clips[0])
    replaced = graph.replace(node.output, new)
    op.undo()
    return replaced


def _clip(number: Any, bounds: Interval) -> Any:
    return min(max(number, bounds[0]), bounds[1])


def _bounds(node: Node) -> Interval | None:
    """The bounds of a Clip or Relu, if they are known; infinite where there is none."""
    if node.domain or node.has_references:
        return None
    if node.op_type == "Relu":
        return 0, inf
    if node.op_type != "Clip":
        return None
    if node.version < 6:
        return None
    if node.version < 11:
        return node.attribute("min"), node.attribute("max")
    ends = []
    for index, missing in ((1, -inf), (2, inf)):
        value = node.input(index)
        end = missing if value is None else uniform(value) if value.is_constant else None
        if end is None:
            return None
        ends.append(end)
    return ends[0], ends[1]


def range_of(value: Value) -> Interval:
    """Bounds that the elements of *value* are never out of, no number excepted."""
    node = value.producer
    if node is None or node.domain:
        return -inf, inf
    if (bounds := _bounds(node)) is not None:
        return _clip(-inf, bounds), _clip(inf, bounds)
    if (node.op_type in _NOT_NEGATIVE or node.op_type == "Abs") and value.dtype in _FLOATS:
        return 0, inf
    return -inf, inf
