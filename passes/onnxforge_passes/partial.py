"""Whether what is computed of numbers is made of numbers, or may be none, or infinite."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from onnxforge import Node, Value
from onnxforge.ir.operators import REARRANGING

# Operators that some numbers of usual size make none of, or infinite.  Division, roots and powers
# are looked at one by one.
_PARTIAL = frozenset(
    {"Acos", "Acosh", "Asin", "Atanh", "Cosh", "Exp", "Log", "ReduceLogSum", "ReduceProd", "Sinh"}
)
_NOT_NEGATIVE = frozenset(
    {"Abs", "Exp", "ReduceL1", "ReduceL2", "ReduceSumSquare", "Relu", "Sigmoid", "Softplus"}
)
# What these make of what is not negative, or above zero, is so, too.
_KEEP_SIGN = REARRANGING | {"Cast", "ReduceMean", "ReduceSum", "Sqrt"}
_INTEGERS = (TensorProto.INT32, TensorProto.INT64)
_MAX_STEPS = 12
"""How far it is looked for why a value is above zero."""


def is_number(value: Value, known: dict[Node, None]) -> bool:
    """Whether a value is made of finite numbers if those that go into the model are, of usual size.

    Constants count among them; an infinite mask is for whoever asks to look at.  The nodes found to
    keep numbers are noted in *known*, so that looking on takes no second look.
    """
    found: dict[Node, None] = {}
    pending = [value]
    while pending:
        each = pending.pop()
        node = each.producer
        if each.is_constant:
            continue
        if node is None:
            if each.graph.outer is not None or each.graph.operator is not None:
                return False
        elif node not in known and node not in found:
            if node.domain or node.subgraphs or node.has_references or not _keeps_numbers(node):
                return False
            found[node] = None
            pending += [read for read in node.inputs if read is not None]
    known |= found
    return True


def _keeps_numbers(node: Node) -> bool:
    if node.op_type in ("Div", "Reciprocal"):
        divisor = node.inputs[-1]
        if divisor is not None and divisor.is_constant:
            return bool(np.all(divisor.numpy() != 0))
        return _is_above_zero(divisor)
    if node.op_type == "Sqrt":
        return _is_not_negative(node.inputs[0])
    if node.op_type == "Pow":
        powers = _numbers(node.inputs[1])
        return powers is not None and bool(np.all((powers == np.round(powers)) & (powers >= 0)))
    return node.op_type not in _PARTIAL


def _is_not_negative(value: Value | None, steps: int = _MAX_STEPS) -> bool:
    if (numbers := _numbers(value)) is not None:
        return bool(np.all(numbers >= 0))
    node = value.producer if value is not None else None
    if value is None or node is None or node.domain or not steps:
        return False
    if node.op_type in _NOT_NEGATIVE or value.dtype in _INTEGERS:  # the latter are sizes
        return True
    if node.op_type in _KEEP_SIGN:
        return _is_not_negative(node.inputs[0], steps - 1)
    if node.op_type == "Pow":
        powers = _numbers(node.inputs[1])
        return powers is not None and bool(np.all(powers % 2 == 0))
    if node.op_type == "Mul" and node.inputs[0] is node.inputs[1]:
        return True
    if node.op_type in ("Add", "Mul", "Max"):
        return all(_is_not_negative(each, steps - 1) for each in node.inputs)
    return False


def _is_above_zero(value: Value | None, steps: int = _MAX_STEPS) -> bool:
    if (numbers := _numbers(value)) is not None:
        return bool(np.all(numbers > 0))
    node = value.producer if value is not None else None
    if value is None or node is None or node.domain or not steps:
        return False
    if value.dtype in _INTEGERS:
        return True  # a size, of which 0 leaves nothing to compute
    if node.op_type in _KEEP_SIGN:
        return _is_above_zero(node.inputs[0], steps - 1)
    if node.op_type == "Add":
        return all(_is_not_negative(each, steps - 1) for each in node.inputs) and any(
            _is_above_zero(each, steps - 1) for each in node.inputs
        )
    if node.op_type == "Clip":
        return any(_is_above_zero(each, steps - 1) for each in node.inputs[:2])
    return node.op_type == "Max" and any(_is_above_zero(each, steps - 1) for each in node.inputs)


def _numbers(value: Value | None) -> npt.NDArray[np.float64] | None:
    """The numbers that a constant holds; None for anything else."""
    if value is None or not value.is_constant:
        return None
    array = value.numpy()
    return None if array.dtype == object else array.astype(np.float64)
