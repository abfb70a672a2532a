"""Kernels that make, move or copy elements, of whatever type."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from onnx import TensorProto

from onnxforge.storage import to_array

from .call import FLOATS, Call, Undefined, Unsupported, kernel, room


@kernel("Identity")
def _identity(call: Call) -> Sequence[Any]:
    return [call[0]]


@kernel("Shape")
def _shape(call: Call) -> Sequence[Any]:
    shape = np.array(call[0].shape, np.int64)
    return [shape[slice(call.attribute("start") or 0, call.attribute("end"))]]


@kernel("Size")
def _size(call: Call) -> Sequence[Any]:
    return [np.array(call[0].size, np.int64)]


@kernel("Reshape")
def _reshape(call: Call) -> Sequence[Any]:
    data, shape = call[0], call.numbers(1, "shape")
    if shape is None:
        raise Unsupported
    if not call.attribute("allowzero"):
        shape = [data.shape[axis] if size == 0 else size for axis, size in enumerate(shape)]
    return [data.reshape(shape)]


@kernel("Flatten")
def _flatten(call: Call) -> Sequence[Any]:
    shape, axis = call[0].shape, call.attribute("axis")
    return [call[0].reshape(math.prod(shape[:axis]), math.prod(shape[axis:]))]


@kernel("Squeeze")
def _squeeze(call: Call) -> Sequence[Any]:
    axes = call.numbers(1, "axes")
    if axes is not None and not axes:
        raise Undefined("no axes: some runtimes then squeeze all, others none")
    return [np.squeeze(call[0], None if axes is None else tuple(axes))]


@kernel("Unsqueeze")
def _unsqueeze(call: Call) -> Sequence[Any]:
    return [np.expand_dims(call[0], tuple(call.numbers(1, "axes") or ()))]


@kernel("Transpose")
def _transpose(call: Call) -> Sequence[Any]:
    return [np.transpose(call[0], call.attribute("perm"))]


@kernel("Concat")
def _concat(call: Call) -> Sequence[Any]:
    return [np.concatenate(call.operands, call.attribute("axis"))]


@kernel("Gather")
def _gather(call: Call) -> Sequence[Any]:
    data, indices, axis = call[0], call[1], call.attribute("axis")
    shape = list(data.shape)
    if not ((indices >= -shape[axis]) & (indices < shape[axis])).all():
        raise Undefined("an index is out of range")  # NumPy does not mind where there is no data
    shape[axis] = indices.size
    room(shape, beside=data.size)
    return [np.asarray(np.take(data, indices, axis), data.dtype)]


@kernel("GatherElements")
def _gather_elements(call: Call) -> Sequence[Any]:
    data, indices, axis = call[0], call[1], call.attribute("axis")
    if not data.ndim:
        raise Undefined("the data has no axis")
    if any(size > data.shape[i] for i, size in enumerate(indices.shape) if i != axis % data.ndim):
        raise Undefined("the indices are wider than the data")
    within = tuple(slice(None) if i == axis % data.ndim else slice(n)
                   for i, n in enumerate(indices.shape))  # fmt: skip
    return [np.take_along_axis(data[within], indices, axis)]


# What exporters write for "to the end".
_ENDLESS = 2**31 - 1


@kernel("Slice")
def _slice(call: Call) -> Sequence[Any]:
    data = call[0]
    starts, ends = call.numbers(1, "starts"), call.numbers(2, "ends")
    if starts is None or ends is None:
        raise Unsupported
    axes = call.numbers(3, "axes")
    axes = list(range(len(starts))) if axes is None else axes
    steps = call.numbers(4, "steps") or [1] * len(starts)
    cut = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step < 0 and (start < -data.shape[axis] or end >= _ENDLESS):
            # ONNX Runtime, the specification and its reference evaluator disagree.
            raise Undefined("a backward slice from or to beyond the data")
        cut[axis] = slice(start, end, step)
    return [data[tuple(cut)]]


@kernel("Split")
def _split(call: Call) -> Sequence[Any]:
    data, axis = call[0], call.attribute("axis")
    sizes = call.numbers(1, "split")
    if sizes is None:
        length, count = data.shape[axis], len(call.node.outputs)
        chunk = -(-length // count)
        if length % count if call.node.version < 18 else chunk * (count - 1) >= length:
            raise Undefined("the whole cannot be split into so many parts")
        sizes = [chunk] * (count - 1) + [length - chunk * (count - 1)]
    if sum(sizes) != data.shape[axis] or min(sizes) < 0 or len(sizes) != len(call.node.outputs):
        raise Undefined("the parts do not make up the whole")
    return np.split(data, list(accumulate(sizes))[:-1], axis)


@kernel("Expand")
def _expand(call: Call) -> Sequence[Any]:
    shape = np.broadcast_shapes(call[0].shape, tuple(call[1].tolist()))
    return [np.broadcast_to(call[0], room(shape))]


@kernel("Tile")
def _tile(call: Call) -> Sequence[Any]:
    if call.node.version < 6:
        raise Unsupported
    repeats = call[1].tolist()
    if min(repeats, default=0) < 0:
        raise Undefined("a tensor cannot be repeated less than never")
    room([size * count for size, count in zip(call[0].shape, repeats, strict=True)])
    return [np.tile(call[0], repeats)]


@kernel("ConstantOfShape")
def _constant_of_shape(call: Call) -> Sequence[Any]:
    given = call.attribute("value")
    fill = to_array(given) if isinstance(given, TensorProto) else np.zeros(1, np.float32)
    return [np.full(room(call[0].tolist()), fill.reshape(())[()], fill.dtype)]


@kernel("Where")
def _where(call: Call) -> Sequence[Any]:
    condition, left, right = call.operands
    room(np.broadcast_shapes(condition.shape, left.shape, right.shape))
    if left.dtype in FLOATS and any((np.signbit(x) & (x == 0)).any() for x in (left, right)):
        raise Unsupported  # ONNX Runtime chooses 0.0 where it should be -0.0
    return [np.where(condition, left, right)]


@kernel("NonZero")
def _nonzero(call: Call) -> Sequence[Any]:
    if not call[0].ndim or call[0].dtype == object:
        raise Unsupported
    return [np.array(np.nonzero(call[0]), np.int64)]
