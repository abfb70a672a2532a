"""How nodes do what they do on tensors whose dimensions are in another order."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from onnxforge import Builder, Node, Value

from .integers import integers

Perm = tuple[int, ...]
"""The order of a Transpose: for each dimension of the result, which of the input's it is."""

# Constants that others read as well are copied only if they are smaller.
_MAX_COPIED = 1 << 10


def inverse(perm: Perm) -> Perm:
    """The order that undoes *perm*."""
    return tuple(map(perm.index, range(len(perm))))


@dataclass
class Transposed:
    """A node as it is if its operands are before a Transpose rather than after it.

    `operands` are the indices of the inputs that were transposed, by *perm*, and `result` is the
    order by which what it computes now gives what it computed.  `attributes` and `inputs` are what
    it has in place of its own.
    """

    perm: Perm
    operands: list[int]
    result: Perm
    attributes: dict[str, Any] = field(default_factory=dict)
    inputs: dict[int, npt.NDArray[Any]] = field(default_factory=dict)

    def build(self, op: Builder, node: Node, operands: dict[int, Value]) -> tuple[Value, ...]:
        """Draw the node, reading *operands* in place of those that were transposed."""
        values: list[Any] = list(node.inputs)
        for index, value in operands.items():
            values[index] = value
        for index, array in self.inputs.items():
            values[index] = array
        made = getattr(op, node.op_type)(
            *values, like=node, outputs=len(node.outputs), **self.attributes
        )
        return made if isinstance(made, tuple) else (made,)


def transposed(node: Node, perm: Perm) -> Transposed | None:
    """*node*, if what is transposed by *perm* in its operands can be so in its results instead."""
    if node.domain or node.has_references or not node.inputs or node.version < 7:
        return None
    rule = _elementwise if node.operator.elementwise else _RULES.get(node.op_type)
    found = rule(node, perm) if rule is not None else None
    return found if found is not None and found.operands else None


_Rule = Callable[[Node, Perm], Transposed | None]


def _elementwise(node: Node, perm: Perm) -> Transposed | None:
    if node.op_type == "CastLike" or node.output.rank != len(perm):
        return None
    return _together(node, perm)


def _together(node: Node, perm: Perm) -> Transposed | None:
    """All operands in the same order; those of one element alone are left as they are."""
    found = Transposed(perm, [], perm)
    for index, value in enumerate(node.inputs):
        if value is None:
            continue
        shape = value.shape
        if shape is None or len(shape) > len(perm):
            return None
        if value.is_constant:
            if math.prod(size for size in shape if isinstance(size, int)) == 1:
                continue
            array = _moved(value, perm)
            if array is None:
                return None
            found.inputs[index] = array
        elif len(shape) == len(perm):
            found.operands.append(index)
        elif any(size != 1 for size in shape):
            return None
    return found


def _moved(constant: Value, perm: Perm) -> npt.NDArray[Any] | None:
    """A constant that is broadcast to the rank of *perm*, before the Transpose."""
    array = constant.numpy()
    if array.size > _MAX_COPIED and len(constant.consumers) > 1:
        return None
    array = array.reshape((1,) * (len(perm) - array.ndim) + array.shape)
    return array.transpose(inverse(perm))


def _concat(node: Node, perm: Perm) -> Transposed | None:
    axis = _axis(node, perm)
    found = Transposed(perm, [], perm, {"axis": axis})
    for index, value in enumerate(node.inputs):
        if value is None or value.rank != len(perm):
            return None
        if value.is_constant:
            array = _moved(value, perm)
            if array is None:
                return None
            found.inputs[index] = array
        else:
            found.operands.append(index)
    return found if axis is not None else None


def _axis(node: Node, perm: Perm) -> int | None:
    """Where the axis of a node is before the Transpose."""
    axis = node.attribute("axis")
    if not isinstance(axis, int) or not -len(perm) <= axis < len(perm):
        return None
    return perm[axis]


def _is_of_rank(value: Value | None, perm: Perm) -> bool:
    return value is not None and not value.is_constant and value.rank == len(perm)


def _split(node: Node, perm: Perm) -> Transposed | None:
    axis = _axis(node, perm)
    if axis is None or not _is_of_rank(node.inputs[0], perm):
        return None
    return Transposed(perm, [0], perm, {"axis": axis})


def _softmax(node: Node, perm: Perm) -> Transposed | None:
    axis = _axis(node, perm)
    if node.version < 13 or axis is None or not _is_of_rank(node.inputs[0], perm):
        return None
    last = len(perm) - 1
    if axis != last and perm[last] == axis:
        return None  # runtimes transpose, to compute along any other dimension than the last
    return Transposed(perm, [0], perm, {"axis": axis})


def _quantize(node: Node, perm: Perm) -> Transposed | None:
    data, scale = node.inputs[0], node.input(1)
    if not _is_of_rank(data, perm) or scale is None or node.attribute("block_size"):
        return None
    if scale.rank == 0:
        return Transposed(perm, [0], perm)
    axis = _axis(node, perm)
    if scale.rank != 1 or axis is None or node.version < 13:
        return None
    return Transposed(perm, [0], perm, {"axis": axis})


def _reduce(node: Node, perm: Perm) -> Transposed | None:
    if not _is_of_rank(node.inputs[0], perm) or node.attribute("noop_with_empty_axes"):
        return None
    value = node.input(1)
    axes = node.attribute("axes") if value is None else integers(value)
    if value is not None and axes is None:
        return None
    rank = len(perm)
    if axes and not all(-rank <= axis < rank for axis in axes):
        return None
    found = Transposed(perm, [0], perm)
    gone = [axis % rank for axis in axes] if axes else list(range(rank))
    if axes:
        before = [perm[axis] for axis in gone]
        if gone == [rank - 1] != before and _is_of_a_normalization(node):
            return None  # runtimes know normalizations over the last dimension alone
        if value is None:
            found.attributes["axes"] = before
        else:
            found.inputs[1] = np.array(before, np.int64)
    if not node.attribute("keepdims"):
        found.result = _left(perm, gone)
    return found


def _is_of_a_normalization(node: Node) -> bool:
    """Whether the root is taken of a mean, with something added to it or not."""
    if node.op_type != "ReduceMean":
        return False
    readers = node.output.consumers
    added = [value for each in readers if each.op_type == "Add" for value in each.outputs]
    after = [each for value in added for each in value.consumers]
    return any(each.op_type == "Sqrt" for each in (*readers, *after))


def _arg(node: Node, perm: Perm) -> Transposed | None:
    axis = _axis(node, perm)
    if axis is None or not _is_of_rank(node.inputs[0], perm):
        return None
    gone = [node.attribute("axis") % len(perm)]
    result = perm if node.attribute("keepdims") else _left(perm, gone)
    return Transposed(perm, [0], result, {"axis": axis})


def _left(perm: Perm, gone: list[int]) -> Perm:
    """The order of the dimensions that are left when those in *gone* are reduced."""
    left = [source for axis, source in enumerate(perm) if axis not in gone]
    return tuple(sorted(left).index(source) for source in left)


def _pad(node: Node, perm: Perm) -> Transposed | None:
    if not _is_of_rank(node.inputs[0], perm) or node.version < 11 or node.input(3) is not None:
        return None
    pads = integers(node.input(1))
    rank = len(perm)
    if pads is None or len(pads) != 2 * rank:
        return None
    order = inverse(perm)
    before = [pads[axis + side] for side in (0, rank) for axis in order]
    return Transposed(perm, [0], perm, inputs={1: np.array(before, np.int64)})


def _slice(node: Node, perm: Perm) -> Transposed | None:
    if not _is_of_rank(node.inputs[0], perm) or node.version < 10:
        return None
    rank = len(perm)
    axes = integers(node.input(3))
    if axes is None or not all(-rank <= axis < rank for axis in axes):
        return None
    before = np.array([perm[axis] for axis in axes], np.int64)
    starts = node.input(1)
    if starts is None or starts.dtype != 7:  # int64, as the axes have to be
        return None
    return Transposed(perm, [0], perm, inputs={3: before})


_RULES: dict[str, _Rule] = {
    "ArgMax": _arg,
    "ArgMin": _arg,
    "Concat": _concat,
    "DequantizeLinear": _quantize,
    "LogSoftmax": _softmax,
    "Pad": _pad,
    "QuantizeLinear": _quantize,
    "ReduceL1": _reduce,
    "ReduceL2": _reduce,
    "ReduceLogSumExp": _reduce,
    "ReduceMax": _reduce,
    "ReduceMean": _reduce,
    "ReduceMin": _reduce,
    "ReduceProd": _reduce,
    "ReduceSum": _reduce,
    "ReduceSumSquare": _reduce,
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
}
