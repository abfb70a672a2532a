"""What a tensor is made of that has the same number everywhere."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
from onnx import TensorProto

from onnxforge import Node, Value
from onnxforge.ir.operators import REARRANGING
from onnxforge.storage import to_array

_COMPARISONS = frozenset({"Greater", "GreaterOrEqual", "Less", "LessOrEqual"})
_INTEGERS = (TensorProto.INT32, TensorProto.INT64)
_ANY = (-inf, inf)
# Longer chains of them are nothing exporters write.
_MAX_STEPS = 8


def uniform(value: Value | None) -> Any:
    """The number that every element of *value* is, as a Python scalar, or None if unknown.

    A tensor without elements has none.
    """
    is_cast = False
    for _ in range(_MAX_STEPS):
        if value is None:
            return None
        node = value.producer
        if value.is_constant:
            number = value.graph.model.recall(_of_constant, value)
        elif node is None or node.domain or node.has_references:
            return None
        elif node.op_type == "ConstantOfShape":
            tensor = node.attribute("value")
            folder = value.graph.model.folder
            number = 0.0 if tensor is None else _of_array(to_array(tensor, folder))
        elif node.op_type in _COMPARISONS:
            number = _verdict(node)
        elif node.op_type in REARRANGING or node.op_type == "Cast":
            is_cast |= node.op_type == "Cast"
            value = node.inputs[0]
            continue
        else:
            return None
        # All types have these two, and casting keeps them.
        return number if not is_cast or number in (0, 1) else None
    return None


def _verdict(node: Node) -> bool | None:
    """What a comparison of whole numbers comes to for all of them; None if that is not known."""
    left, right = map(_interval, node.inputs)
    if node.op_type.startswith("Less"):
        left, right = right, left
    low, high = left[0] - right[1], left[1] - right[0]
    if node.op_type.endswith("OrEqual"):
        return True if low >= 0 else False if high < 0 else None
    return True if low > 0 else False if high <= 0 else None


def _interval(value: Value | None) -> tuple[float, float]:
    """Numbers that no element of an integer tensor is below, or above."""
    for _ in range(_MAX_STEPS):
        node = value.producer if value is not None else None
        if value is None or value.dtype not in _INTEGERS:
            break
        if node is None or value.is_constant or node.op_type == "ConstantOfShape":
            number = uniform(value)
            return _ANY if number is None else (number, number)
        if node.domain or node.has_references:
            break
        if node.op_type == "Range":
            start, step = uniform(node.inputs[0]), uniform(node.inputs[2])
            return (start, inf) if start is not None and step is not None and step > 0 else _ANY
        if node.op_type not in REARRANGING:
            break
        value = node.inputs[0]
    return _ANY


def _of_constant(value: Value) -> Any:
    return _of_array(value.numpy())


def _of_array(array: np.ndarray[Any, Any]) -> Any:
    if array.size == 0 or array.dtype == object:
        return None
    first = array.reshape(-1)[0]
    # Most weights differ at their ends already, and need not be read.
    if array.reshape(-1)[-1] != first or not (array == first).all():
        return None
    return first.item()
