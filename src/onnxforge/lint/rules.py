"""The subgraphs that are miscompiled: patterns, and what a pattern cannot say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto

from onnxforge import shapes
from onnxforge.ir import Graph, Node, Value
from onnxforge.pattern import Const, Match, Pattern

_NEVER_NEGATIVE = frozenset({"Abs", "Exp", "HardSigmoid", "Relu", "Sigmoid", "Softmax", "Sqrt"})
_LEADING = 2
"""Dimensions of an image that are not spatial."""
_EPSILON = 1e-5
"""What a normalization adds to the variance if its fusion finds no other number."""
_PACKED = (TensorProto.INT4, TensorProto.UINT4, TensorProto.INT8, TensorProto.UINT8)


@dataclass(frozen=True)
class Rule:
    """A subgraph, in one spelling or several, and whether an occurrence of it is affected."""

    patterns: tuple[Callable[..., Any], ...]
    is_affected: Callable[[Match], bool] = lambda _: True

    def find(self, graph: Graph) -> Iterator[Node]:
        """The last node of each occurrence in *graph* that is affected."""
        patterns = [Pattern(each) for each in self.patterns]
        for node in graph:
            matches = (pattern.match(node) for pattern in patterns)
            if any(match is not None and self.is_affected(match) for match in matches):
                yield node


def _padded(op: Any, x: Any) -> Any:
    return op.MaxPool(op.Pad(x))


def _padded_by(op: Any, x: Any, pads: Const, value: Const | None) -> Any:
    return op.MaxPool(op.Pad(x, pads, value))


def _becomes_padding(match: Match) -> bool:
    pad, pool = match.nodes
    value, pads = match.values.get("value"), match.values.get("pads")
    number = value.numpy() if value is not None else pad.attribute("value") or 0
    sizes = pads.numpy().tolist() if pads is not None else pad.attribute("pads") or []
    rank = len(sizes) // 2
    leading = [*sizes[:_LEADING], *sizes[rank : rank + _LEADING]]
    source = match.values["x"].producer if match.values["x"] is not None else None
    return (
        pad.attribute("mode") in ("constant", None)
        and pad.input(3) is None
        and pool.attribute("auto_pad") in ("NOTSET", None)
        and len(pool.outputs) == 1
        and not number
        and not any(leading)
        and min(sizes, default=0) >= 0 < max(sizes, default=0)
        and not (source is not None and source.op_type in _NEVER_NEGATIVE)
    )


def _drawn(op: Any, x: Any) -> Any:
    return op.Bernoulli(x)


def _is_drawn_before(match: Match) -> bool:
    """Whether another draw from the same input comes first; those with seeds are meant to agree."""
    (node,) = match.nodes
    (x,) = match.values.values()
    if x is None or node.attribute("seed") is not None:
        return False
    alike = [each for each in x.consumers if _spelling(each) == _spelling(node)]
    return alike[0] is not node


def _spelling(node: Node) -> tuple[str, list[bytes]]:
    return node.op_type, sorted(each.SerializeToString() for each in node.proto.attribute)


def _reshaped(op: Any, x: Any, data: Any, shape: Any) -> Any:
    return op.Reshape(x, op.Reshape(data, shape))


def _is_static(match: Match) -> bool:
    """Whether the size of the result is known, or said to be: the fused Reshape is made of it."""
    value = match.nodes[-1].output
    recorded = value.graph.recorded_types().get(value.name)
    claims = (value.shape, shapes.shape_of(recorded))
    return any(
        shape is not None and all(isinstance(size, int) for size in shape) for shape in claims
    )


def _rms_norm(op: Any, x: Any, axes: Any, e: Any, scale: Const) -> Any:
    mean = op.ReduceMean(op.any(op.Pow(x, 2.0), op.Mul(x, x)), axes)
    return op.Mul(op.Div(x, op.Sqrt(op.Add(mean, e))), scale)


def _old_rms_norm(op: Any, x: Any, e: Any, scale: Const) -> Any:
    mean = op.ReduceMean(op.any(op.Pow(x, 2.0), op.Mul(x, x)))
    return op.Mul(op.Div(x, op.Sqrt(op.Add(mean, e))), scale)


def _layer_norm(op: Any, x: Any, axes: Any, e: Any, scale: Const, bias: Const) -> Any:
    centred = op.Sub(x, op.ReduceMean(x, axes))
    variance = op.ReduceMean(op.any(op.Pow(centred, 2.0), op.Mul(centred, centred)), axes)
    return op.Add(op.Mul(op.Div(centred, op.Sqrt(op.Add(variance, e))), scale), bias)


def _old_layer_norm(op: Any, x: Any, e: Any, scale: Const, bias: Const) -> Any:
    centred = op.Sub(x, op.ReduceMean(x))
    variance = op.ReduceMean(op.any(op.Pow(centred, 2.0), op.Mul(centred, centred)))
    return op.Add(op.Mul(op.Div(centred, op.Sqrt(op.Add(variance, e))), scale), bias)


def _is_widened(match: Match) -> bool:
    """Whether a vector of several is applied to what has one element in its last dimension."""
    x = match.values["x"]
    if x is None or not x.shape or x.shape[-1] != 1:
        return False
    vectors = (match.values.get(name) for name in ("scale", "bias"))
    return any(each is not None and each.shape and each.shape[-1] != 1 for each in vectors)


def _is_widened_alone(match: Match) -> bool:
    """Whether it is a norm without a mean, which would be subtracted before."""
    x = match.values["x"]
    is_centred = x is not None and x.producer is not None and x.producer.op_type == "Sub"
    return not is_centred and _is_widened(match)


def _is_misread(match: Match) -> bool:
    """Whether the number added to the variance is not found where it is looked for."""
    x, e = match.values["x"], match.values["e"]
    operators = [node.op_type for node in match.nodes]
    if x is None or e is None or "Pow" not in operators or not _is_over_last(match, x):
        return False
    if e.is_constant and (e.numpy(np.float32) == np.float32(_EPSILON)).all():
        return False
    if "Sub" in operators:
        add = next(n for n in match.nodes if n.op_type == "Add" and e in n.inputs)
        return e is not add.input(1) or not e.is_constant
    is_centred = x.producer is not None and x.producer.op_type == "Sub"
    return not is_centred and (not e.is_constant or x.dtype == TensorProto.DOUBLE)


def _is_over_last(match: Match, x: Value) -> bool:
    """Whether all means are over the last axis alone."""
    means = [node for node in match.nodes if node.op_type == "ReduceMean"]
    axes = match.values.get("axes")
    if axes is None:
        found = [node.attribute("axes") for node in means]
    else:
        found = [axes.numpy().reshape(-1).tolist()] if axes.is_constant else [None]
    return all(each in ([-1], [(x.rank or 0) - 1]) for each in found)


def _dequantized(op: Any, x: Any, weights: Const, scales: Const, zeros: Const | None) -> Any:
    return op.MatMul(x, op.DequantizeLinear(weights, scales, zeros))


def _becomes_bits(match: Match) -> bool:
    weights, x = match.values["weights"], match.values["x"]
    return (
        weights is not None
        and weights.dtype in _PACKED
        and weights.rank == 2
        and x is not None
        and x.dtype in (TensorProto.FLOAT, TensorProto.FLOAT16, None)
    )


def _clipped(op: Any, x: Any, low: Const, high: Any) -> Any:
    return op.Clip(op.Relu(x), low, high)


def _clipped_below(op: Any, x: Any, low: Const) -> Any:
    return op.Clip(op.Relu(x), low)


def _is_of_another_type(match: Match) -> bool:
    x = match.values["x"]
    return x is not None and x.dtype not in (TensorProto.FLOAT, TensorProto.FLOAT16, None)


def _transposed(op: Any, x: Any) -> Any:
    return op.Transpose(x)


def _feeds_a_product_as_it_was(match: Match) -> bool:
    (node,) = match.nodes
    readers = node.output.consumers
    return node.attribute("perm") == [0, 1] and any(
        r.op_type in ("Gemm", "MatMul") for r in readers
    )


RULES: Mapping[str, Rule] = {
    "pad-into-max-pool": Rule((_padded, _padded_by), _becomes_padding),
    "merged-draws": Rule((_drawn,), _is_drawn_before),
    "reshaped-shape": Rule((_reshaped,), _is_static),
    "widened-rms-norm": Rule((_rms_norm, _old_rms_norm), _is_widened_alone),
    "widened-layer-norm": Rule((_layer_norm, _old_layer_norm), _is_widened),
    "rounded-activations": Rule((_dequantized,), _becomes_bits),
    "misread-epsilon": Rule((_rms_norm, _old_rms_norm, _layer_norm, _old_layer_norm), _is_misread),
    "relu-into-clip": Rule((_clipped, _clipped_below), _is_of_another_type),
    "identity-transpose": Rule((_transposed,), _feeds_a_product_as_it_was),
}
"""What to look for, by the names in the data files."""
