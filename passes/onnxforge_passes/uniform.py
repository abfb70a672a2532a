"""What a tensor is made of that has the same number everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxforge import Value
from onnxforge.storage import to_array

# Operators whose output has no other elements than their first input.
_REARRANGE = frozenset(
    {"Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze"}
    | {"Tile", "Transpose", "Unsqueeze"}
)


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
            tensor = value.tensor
            number = None if tensor is not None and 0 in tensor.dims else _of_array(value.numpy())
        elif node is None or node.domain or node.has_references:
            return None
        elif node.op_type == "ConstantOfShape":
            tensor = node.attribute("value")
            folder = value.graph.model.folder
            number = 0.0 if tensor is None else _of_array(to_array(tensor, folder))
        elif node.op_type in _REARRANGE or node.op_type == "Cast":
            is_cast |= node.op_type == "Cast"
            value = node.inputs[0]
            continue
        else:
            return None
        # All types have these two, and casting keeps them.
        return number if not is_cast or number in (0, 1) else None
    return None


def _of_array(array: np.ndarray[Any, Any]) -> Any:
    if array.size == 0 or array.dtype == object:
        return None
    first = array.reshape(-1)[0]
    # Most weights differ at their ends already, and need not be read.
    if array.reshape(-1)[-1] != first or not (array == first).all():
        return None
    return first.item()
