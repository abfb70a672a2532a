"""The axes an operator works along, whether an attribute or an input says them."""

from __future__ import annotations

from onnxforge import Node

from .integers import integers

# The opset from which each has its axes as its second input.
_INPUT_SINCE = {"ReduceSum": 13, "Squeeze": 13, "Unsqueeze": 13}
_REDUCE_INPUT_SINCE = 18


def written_axes(node: Node) -> list[int] | None:
    """The axes of a Squeeze, an Unsqueeze or a reduction as they are written.

    None if they are left out, or not known.
    """
    if node.version < input_since(node.op_type):
        axes: list[int] | None = node.attribute("axes")
        return axes or None
    return integers(node.input(1)) or None


def squeezes_none(node: Node) -> bool:
    """Whether a Squeeze may be told to remove no axes at all: ONNX Runtime then removes any of 1."""
    is_told = node.input(1) is not None or node.attribute("axes") is not None
    return is_told and written_axes(node) is None


def input_since(op_type: str) -> int:
    """The opset version from which the operator has its axes as an input."""
    return _INPUT_SINCE.get(op_type, _REDUCE_INPUT_SINCE)


def axes_of(node: Node, rank: int) -> list[int] | None:
    """The axes counted from the front of *rank* dimensions, in order; None if unknown or wrong."""
    written = written_axes(node)
    if written is None or not all(-rank <= axis < rank for axis in written):
        return None
    return sorted({axis % rank for axis in written})
