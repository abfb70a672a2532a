"""Kernels that compute: arithmetic, comparisons, reductions, conversions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from .call import FLOATS, Array, Call, Undefined, Unsupported, kernel, room


def _is_integer(array: Array) -> bool:
    return array.dtype.kind in "iu"


def _integers(arrays: list[Array]) -> list[Array]:
    if not all(map(_is_integer, arrays)):
        raise Unsupported
    return arrays


def _numeric(arrays: list[Array]) -> list[Array]:
    """Integers, or floats whose sums, differences, products and quotients NumPy rounds right."""
    if not all(_is_integer(array) or array.dtype in FLOATS for array in arrays):
        raise Unsupported
    return arrays


def _broadcast(call: Call) -> list[Array]:
    """The operands, if they broadcast as they do in NumPy, and to something small."""
    if call.node.version < 7:
        raise Unsupported
    room(np.broadcast_shapes(*(array.shape for array in call.operands)))
    return call.operands


@kernel("Add", "Sub", "Mul", "Sum")
def _arithmetic(call: Call) -> Sequence[Any]:
    first, *others = _numeric(_broadcast(call))
    if len(others) > 1:
        _integers([first])  # where floats are rounded in a longer sum is up to the runtime
    for other in others:
        if call.node.op_type == "Mul":
            first = np.multiply(first, other)
        elif call.node.op_type == "Sub":
            first = np.subtract(first, other)
        else:
            first = np.add(first, other)
    return [first]


@kernel("Div")
def _div(call: Call) -> Sequence[Any]:
    left, right = _numeric(_broadcast(call))
    if not _is_integer(left):
        return [np.divide(left, right)]
    _check_divisor(left, right)
    return [(left - np.fmod(left, right)) // right]  # rounds to zero, as C does


@kernel("Mod")
def _mod(call: Call) -> Sequence[Any]:
    left, right = _integers(_broadcast(call))
    _check_divisor(left, right)
    if not call.attribute("fmod"):
        return [np.mod(left, right)]
    if max(np.abs(x.astype(np.float64)).max(initial=0) for x in (left, right)) > 2**53:
        raise Undefined("ONNX Runtime divides by way of double precision")
    return [np.fmod(left, right)]


def _check_divisor(left: Array, right: Array) -> None:
    if not right.all():
        raise Undefined("an integer is divided by zero")
    lowest = np.iinfo(left.dtype).min
    if lowest and np.logical_and(left == lowest, right == -1).any():
        raise Undefined("an integer division overflows")


@kernel("Max", "Min")
def _extreme(call: Call) -> Sequence[Any]:
    if call.node.version < 8:
        raise Unsupported
    first, *others = _integers(_broadcast(call))
    for other in others:
        first = (np.maximum if call.node.op_type == "Max" else np.minimum)(first, other)
    return [first]


_unary = {"Neg": np.negative, "Abs": np.abs, "Floor": np.floor, "Ceil": np.ceil, "Sqrt": np.sqrt}


@kernel(*_unary)
def _apply(call: Call) -> Sequence[Any]:
    (array,) = _numeric(call.operands)
    return [_unary[call.node.op_type](array).astype(array.dtype, copy=False)]


_comparisons = {
    "Equal": np.equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
}


@kernel(*_comparisons)
def _compare(call: Call) -> Sequence[Any]:
    operands = _broadcast(call)
    if any(array.dtype != np.bool_ for array in operands):
        _numeric(operands)
    return [_comparisons[call.node.op_type](*operands)]


@kernel("And", "Or", "Xor")
def _logic(call: Call) -> Sequence[Any]:
    apply = {"And": np.logical_and, "Or": np.logical_or, "Xor": np.logical_xor}
    return [apply[call.node.op_type](*_broadcast(call))]


@kernel("Not")
def _not(call: Call) -> Sequence[Any]:
    return [np.logical_not(call[0])]


@kernel("Range")
def _range(call: Call) -> Sequence[Any]:
    start, limit, delta = (_whole(array) for array in call.operands)
    if not delta:
        raise Undefined("a range has no step")
    numbers = range(start, limit, delta)
    room([len(numbers)])
    return [np.array(numbers, call[0].dtype)]


def _whole(array: Array) -> int:
    """The one number in an array, if it is whole, and floats of its type hold all up to it."""
    number = _numeric([array])[0].reshape(()).item()
    if isinstance(number, float):
        most = 2 << np.finfo(array.dtype).nmant
        if not (number.is_integer() and abs(number) <= most) or str(number) == "-0.0":
            raise Unsupported
    return int(number)


@kernel("CumSum")
def _cumsum(call: Call) -> Sequence[Any]:
    data, axis = _integers([call[0]])[0], int(call[1].reshape(()))
    backward = slice(None, None, -1) if call.attribute("reverse") else slice(None)
    data = np.moveaxis(data, axis, 0)[backward]
    result = np.cumsum(data, 0, data.dtype)
    if call.attribute("exclusive"):
        result = result - data
    return [np.moveaxis(result[backward], 0, axis)]


_reductions: dict[str, np.ufunc] = {
    "ReduceSum": np.add,
    "ReduceProd": np.multiply,
    "ReduceMax": np.maximum,
    "ReduceMin": np.minimum,
}


@kernel(*_reductions)
def _reduce(call: Call) -> Sequence[Any]:
    data, axes = _integers([call[0]])[0], call.numbers(1, "axes")
    if not axes and call.attribute("noop_with_empty_axes"):
        return [data]
    if not data.size:
        raise Undefined("ONNX Runtime leaves axes without elements where it reduces them")
    over, keepdims = tuple(axes) if axes else None, bool(call.attribute("keepdims"))
    ufunc = _reductions[call.node.op_type]
    if ufunc in (np.add, np.multiply):
        bound = ufunc.reduce(np.maximum(np.abs(data.astype(np.float64)), 1), None)
        if bound > min(np.iinfo(data.dtype).max / 2, 2**53):
            raise Undefined("a reduction may overflow, or be rounded")
    return [ufunc.reduce(data, over, data.dtype, keepdims=keepdims)]


# Conversion


@kernel("Cast")
def _cast(call: Call) -> Sequence[Any]:
    return [_converted(call[0], np.dtype(helper.tensor_dtype_to_np_dtype(call.attribute("to"))))]


@kernel("CastLike")
def _cast_like(call: Call) -> Sequence[Any]:
    return [_converted(call[0], call[1].dtype)]


_BFLOAT16 = np.dtype(helper.tensor_dtype_to_np_dtype(TensorProto.BFLOAT16))
# How many bits the whole numbers have that these types hold without a gap.
_HALVES = {np.dtype(np.float16): 11, _BFLOAT16: 8}


def _converted(array: Array, dtype: np.dtype[Any]) -> Array:
    source = array.dtype
    for each in (source, dtype):
        if not (each == np.bool_ or each in FLOATS or each in _HALVES or each.kind in "iu"):
            raise Unsupported
    if source == dtype:
        return array
    if source in FLOATS or source in _HALVES:
        wide = array.astype(np.float64)
        if dtype.kind in "iu":
            _check_range(wide, dtype)
            return wide.astype(dtype)
        if dtype in _HALVES:
            if source == np.float64:
                raise Unsupported  # some runtimes round twice, by way of float32
            return array.astype(np.float32).astype(dtype)
        return wide.astype(dtype)
    if dtype in _HALVES:
        if array.dtype != np.bool_ and np.abs(array.astype(np.float64)).max(
            initial=0
        ) > 2 ** _HALVES[dtype]:  # fmt: skip
            raise Unsupported  # the same: rounded twice
        return array.astype(np.float32).astype(dtype)
    return array.astype(dtype)


def _check_range(wide: Array, dtype: np.dtype[Any]) -> None:
    bits = 8 * dtype.itemsize
    low, high = (0, 2.0**bits) if dtype.kind == "u" else (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1))
    if not ((wide > low - 1) & (wide < high)).all():
        raise Undefined("a float is cast to an integer type that does not hold it")
