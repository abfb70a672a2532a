"""What is added to the scores of attention: as an operator reads it, and what it leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from onnxforge import Decline, Value
from onnxforge.ir.operators import REARRANGING
from onnxforge.shapes import DimLike, known_equal

from .attention import Heads
from .weights import Array

# A mask is looked at only if it is no larger than masks are.
_MOST_ELEMENTS = 2**22
# Longer chains are nothing exporters write.
_MOST_STEPS = 16
# The lowest number of each type, and the one above it.
_LOWEST: dict[int | None, tuple[Any, Any]] = {
    dtype: (np.finfo(numbers).min, np.nextafter(np.finfo(numbers).min, numbers(0)))
    for dtype, numbers in ((TensorProto.FLOAT, np.float32), (TensorProto.FLOAT16, np.float16))
}


def full_mask(op: Any, heads: Heads, rows: Value | None) -> Value | None:
    """The mask with four dimensions, the last two of which are written out.

    *rows* are the queries side by side, if they can be.

    Raises `Decline` if the sizes are not known to be those of the scores, or 1.
    """
    mask = heads.mask
    if mask is None:
        return None
    assert heads.q.shape is not None
    assert heads.k.shape is not None
    wanted = (*heads.q.shape[:3], heads.k.shape[2])
    if mask.shape is None or len(mask.shape) > 4:
        raise Decline("the rank of the mask is not known, or more than four")
    sizes: tuple[DimLike, ...] = (1,) * (4 - len(mask.shape)) + mask.shape
    for size, whole in zip(sizes, wanted, strict=True):
        if size != 1 and not known_equal(size, whole):
            raise Decline("the mask is not known to have the shape of the scores")
    if sizes[3] == 1 and wanted[3] != 1:
        raise Decline("the mask is the same for all columns")
    if len(mask.shape) < 4:
        leading = list(range(4 - len(mask.shape)))
        mask = _unsqueeze(op, mask, leading)
    if sizes[2] == 1 and wanted[2] != 1:
        mask = op.Expand(mask, _target(op, wanted[2], heads.q, rows))
    return mask


def leaves_something(mask: Value) -> bool:
    """Whether the mask is known to leave every row something to attend to."""
    if mask.is_constant:
        return not _closed_rows(mask, -np.inf).size
    parts = _parts(mask)
    return parts is not None and all(np.isfinite(each).all() for each in parts)


def readable_mask(op: Any, heads: Heads) -> Value | None:
    """The mask, such that ONNX Runtime's Attention weighs every row as the graph does.

    A row that is masked as a whole, by minus infinity or by the lowest number of its type, is none
    the operator attends to: it returns zeros.  The graph computes no numbers for the one, or zeros
    if it is guarded, and weighs all columns alike for the other, as for any number.  So the lowest
    number is raised to the next.

    Raises `Decline` if what is in the mask is not known, or such that this does not help.
    """
    mask = heads.mask
    if mask is None:
        return None
    lowest, above = _LOWEST[heads.q.dtype]
    parts = [_closed_rows(mask, float(lowest))] if mask.is_constant else _parts(mask)
    if parts is None:
        raise Decline("a row that is masked as a whole would be attended to otherwise")
    has_lowest = any((each == lowest).any() for each in parts)
    least = -np.inf if heads.guarded and not has_lowest else lowest
    if not all(((each >= least) & (each < np.inf)).all() for each in parts):
        raise Decline("a row that is masked as a whole would be attended to otherwise")
    return op.Max(mask, above) if has_lowest else mask


def _unsqueeze(op: Any, value: Value, axes: list[int]) -> Value:
    """The value with more axes of size 1, in any opset."""
    if value.graph.opset_imports.get("", 1) < 13:
        return op.Unsqueeze(value, axes=axes)  # type: ignore[no-any-return]
    return op.Unsqueeze(value, np.array(axes))  # type: ignore[no-any-return]


def _target(op: Any, size: DimLike, q: Value, rows: Value | None) -> Any:
    """What expands a mask to as many rows as there are queries."""
    if isinstance(size, int):
        return np.array([1, 1, size, 1])
    shape, axis = (op.Shape(q), 2) if rows is None else (op.Shape(rows), 1)
    size = op.Gather(shape, np.array([axis]), axis=0)
    return op.Concat(np.array([1, 1]), size, np.array([1]), axis=0)


def _parts(value: Value) -> list[Array] | None:
    """The constants that the elements of a value are taken from; None if there are others."""
    parts = []
    pending = [value]
    for each in pending:
        node = each.producer
        if each.is_constant:
            parts.append(_numbers(each))
        elif node is None or node.domain or len(pending) > _MOST_STEPS:
            return None
        elif node.op_type in REARRANGING or node.op_type == "Where":
            read = node.inputs[1:] if node.op_type == "Where" else node.inputs[:1]
            pending += [v for v in read if v is not None]
        else:
            return None
    return parts


def _closed_rows(mask: Value, lowest: float) -> Array:
    """The rows of a constant that have no element above *lowest*, or one that is no mask's."""
    rows = np.atleast_1d(_numbers(mask))
    is_open = (rows > lowest).any(axis=-1) & (rows < np.inf).all(axis=-1)
    closed: Array = rows[~is_open]
    return closed


def _numbers(constant: Value) -> Array:
    """The elements of a constant; not a number in place of those of too large a one."""
    tensor = constant.tensor
    if tensor is not None and np.prod(tensor.dims, dtype=np.int64) > _MOST_ELEMENTS:
        return np.array(np.nan)
    return constant.numpy(np.float64)
