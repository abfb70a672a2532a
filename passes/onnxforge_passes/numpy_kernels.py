"""Operators on small arrays, in NumPy: for the arithmetic of shapes, a session costs too much.

A kernel is here only where NumPy gives, bit for bit, what ONNX asks for.  Anything else is left to
a runtime, and what no runtime can be relied upon to answer is not answered at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from onnxforge import Node
from onnxforge.storage import to_array

Array: TypeAlias = npt.NDArray[Any]

MAX_ELEMENTS = 1 << 12
"""Larger arrays are for a runtime to make."""


class Undefined(Exception):  # noqa: N818 - not an error of ours: the model has no answer here
    """The node fails on these inputs, or its answer depends on the machine it runs on."""


class _Unsupported(Exception):  # noqa: N818 - not an error: a runtime will do it
    """No kernel covers this case."""


@dataclass(frozen=True, slots=True)
class Call:
    """A node, and the arrays it is applied to: None for inputs left out."""

    node: Node
    inputs: Sequence[Array | None]

    def has(self, index: int) -> bool:
        """Whether an input is given."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def __getitem__(self, index: int) -> Array:
        """An input that must be given."""
        array = self.inputs[index] if index < len(self.inputs) else None
        if array is None:
            raise _Unsupported
        return array

    @property
    def operands(self) -> list[Array]:
        """All inputs, which must be given."""
        return [self[index] for index in range(len(self.inputs))]

    def attribute(self, name: str) -> Any:
        """An attribute, or its default."""
        return self.node.attribute(name)

    def numbers(self, index: int, name: str) -> list[int] | None:
        """Integers that older opsets have as an attribute, newer ones as an input."""
        if self.has(index):
            numbers: list[int] = self[index].reshape(-1).tolist()
            return numbers
        given = self.attribute(name)
        return None if given is None else list(given)


Kernel: TypeAlias = Callable[[Call], Sequence[Any]]
_kernels: dict[str, Kernel] = {}


def compute(node: Node, inputs: Sequence[Array | None]) -> list[Array] | None:
    """The outputs of *node*, or None where only a runtime can tell.

    Raises `Undefined` if the node would fail, or answer differently on different machines.
    """
    kernel = _kernels.get(node.op_type) if not node.domain else None
    if kernel is None:
        return None
    try:
        with np.errstate(all="ignore"):
            results = kernel(Call(node, inputs))
    except _Unsupported:
        return None
    except (ArithmeticError, IndexError, TypeError, ValueError) as error:
        raise Undefined(str(error)) from error
    return [np.asarray(result) for result in results]


def _kernel(*op_types: str) -> Callable[[Kernel], Kernel]:
    def register(kernel: Kernel) -> Kernel:
        _kernels.update(dict.fromkeys(op_types, kernel))
        return kernel

    return register


def _room(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape, if an array of it is small."""
    if math.prod(shape) > MAX_ELEMENTS:
        raise _Unsupported
    return tuple(shape)


# Moving elements, of whatever type


@_kernel("Identity")
def _identity(call: Call) -> Sequence[Any]:
    return [call[0]]


@_kernel("Shape")
def _shape(call: Call) -> Sequence[Any]:
    shape = np.array(call[0].shape, np.int64)
    return [shape[slice(call.attribute("start") or 0, call.attribute("end"))]]


@_kernel("Size")
def _size(call: Call) -> Sequence[Any]:
    return [np.array(call[0].size, np.int64)]


@_kernel("Reshape")
def _reshape(call: Call) -> Sequence[Any]:
    data, shape = call[0], call.numbers(1, "shape")
    if shape is None:
        raise _Unsupported
    if not call.attribute("allowzero"):
        shape = [data.shape[axis] if size == 0 else size for axis, size in enumerate(shape)]
    return [data.reshape(shape)]


@_kernel("Flatten")
def _flatten(call: Call) -> Sequence[Any]:
    shape, axis = call[0].shape, call.attribute("axis")
    return [call[0].reshape(math.prod(shape[:axis]), math.prod(shape[axis:]))]


@_kernel("Squeeze")
def _squeeze(call: Call) -> Sequence[Any]:
    axes = call.numbers(1, "axes")
    if axes is not None and not axes:
        raise Undefined("no axes: some runtimes then squeeze all, others none")
    return [np.squeeze(call[0], None if axes is None else tuple(axes))]


@_kernel("Unsqueeze")
def _unsqueeze(call: Call) -> Sequence[Any]:
    return [np.expand_dims(call[0], tuple(call.numbers(1, "axes") or ()))]


@_kernel("Transpose")
def _transpose(call: Call) -> Sequence[Any]:
    return [np.transpose(call[0], call.attribute("perm"))]


@_kernel("Concat")
def _concat(call: Call) -> Sequence[Any]:
    return [np.concatenate(call.operands, call.attribute("axis"))]


@_kernel("Gather")
def _gather(call: Call) -> Sequence[Any]:
    axis = call.attribute("axis")
    shape = list(call[0].shape)
    shape[axis] = call[1].size
    _room(shape)
    return [np.take(call[0], call[1], axis)]


@_kernel("GatherElements")
def _gather_elements(call: Call) -> Sequence[Any]:
    data, indices, axis = call[0], call[1], call.attribute("axis")
    if any(size > data.shape[i] for i, size in enumerate(indices.shape) if i != axis % data.ndim):
        raise Undefined("the indices are wider than the data")
    within = tuple(slice(None) if i == axis % data.ndim else slice(n)
                   for i, n in enumerate(indices.shape))  # fmt: skip
    return [np.take_along_axis(data[within], indices, axis)]


# What exporters write for "to the end".
_ENDLESS = 2**31 - 1


@_kernel("Slice")
def _slice(call: Call) -> Sequence[Any]:
    data = call[0]
    starts, ends = call.numbers(1, "starts"), call.numbers(2, "ends")
    if starts is None or ends is None:
        raise _Unsupported
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


@_kernel("Split")
def _split(call: Call) -> Sequence[Any]:
    data, axis = call[0], call.attribute("axis")
    sizes = call.numbers(1, "split")
    if sizes is None:
        count = len(call.node.outputs)
        chunk = -(-data.shape[axis] // count)
        sizes = [chunk] * (count - 1) + [data.shape[axis] - chunk * (count - 1)]
    if sum(sizes) != data.shape[axis] or min(sizes) < 0 or len(sizes) != len(call.node.outputs):
        raise Undefined("the parts do not make up the whole")
    bounds = pairwise(accumulate(sizes, initial=0))
    return [np.take(data, range(start, end), axis) for start, end in bounds]


@_kernel("Expand")
def _expand(call: Call) -> Sequence[Any]:
    shape = np.broadcast_shapes(call[0].shape, tuple(call[1].tolist()))
    return [np.broadcast_to(call[0], _room(shape))]


@_kernel("Tile")
def _tile(call: Call) -> Sequence[Any]:
    if call.node.version < 6:
        raise _Unsupported
    repeats = call[1].tolist()
    _room([size * count for size, count in zip(call[0].shape, repeats, strict=True)])
    return [np.tile(call[0], repeats)]


@_kernel("ConstantOfShape")
def _constant_of_shape(call: Call) -> Sequence[Any]:
    given = call.attribute("value")
    fill = to_array(given) if isinstance(given, TensorProto) else np.zeros(1, np.float32)
    return [np.full(_room(call[0].tolist()), fill.reshape(())[()], fill.dtype)]


@_kernel("Where")
def _where(call: Call) -> Sequence[Any]:
    condition, left, right = call.operands
    _room(np.broadcast_shapes(condition.shape, left.shape, right.shape))
    if left.dtype in _FLOATS and any((np.signbit(x) & (x == 0)).any() for x in (left, right)):
        raise _Unsupported  # ONNX Runtime chooses 0.0 where it should be -0.0
    return [np.where(condition, left, right)]


@_kernel("NonZero")
def _nonzero(call: Call) -> Sequence[Any]:
    if not call[0].ndim or call[0].dtype == object:
        raise _Unsupported
    return [np.array(np.nonzero(call[0]), np.int64)]


# Arithmetic

_FLOATS = (np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64))


def _is_integer(array: Array) -> bool:
    return array.dtype.kind in "iu"


def _integers(arrays: list[Array]) -> list[Array]:
    if not all(map(_is_integer, arrays)):
        raise _Unsupported
    return arrays


def _numeric(arrays: list[Array]) -> list[Array]:
    """Integers, or floats whose sums, differences, products and quotients NumPy rounds right."""
    if not all(_is_integer(array) or array.dtype in _FLOATS for array in arrays):
        raise _Unsupported
    return arrays


def _broadcast(call: Call) -> list[Array]:
    """The operands, if they broadcast as they do in NumPy, and to something small."""
    if call.node.version < 7:
        raise _Unsupported
    _room(np.broadcast_shapes(*(array.shape for array in call.operands)))
    return call.operands


@_kernel("Add", "Sub", "Mul", "Sum")
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


@_kernel("Div")
def _div(call: Call) -> Sequence[Any]:
    left, right = _numeric(_broadcast(call))
    if not _is_integer(left):
        return [np.divide(left, right)]
    _check_divisor(left, right)
    return [(left - np.fmod(left, right)) // right]  # rounds to zero, as C does


@_kernel("Mod")
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


@_kernel("Max", "Min")
def _extreme(call: Call) -> Sequence[Any]:
    if call.node.version < 8:
        raise _Unsupported
    first, *others = _integers(_broadcast(call))
    for other in others:
        first = (np.maximum if call.node.op_type == "Max" else np.minimum)(first, other)
    return [first]


_unary = {"Neg": np.negative, "Abs": np.abs, "Floor": np.floor, "Ceil": np.ceil, "Sqrt": np.sqrt}


@_kernel(*_unary)
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


@_kernel(*_comparisons)
def _compare(call: Call) -> Sequence[Any]:
    operands = _broadcast(call)
    if any(array.dtype != np.bool_ for array in operands):
        _numeric(operands)
    return [_comparisons[call.node.op_type](*operands)]


@_kernel("And", "Or", "Xor")
def _logic(call: Call) -> Sequence[Any]:
    apply = {"And": np.logical_and, "Or": np.logical_or, "Xor": np.logical_xor}
    return [apply[call.node.op_type](*_broadcast(call))]


@_kernel("Not")
def _not(call: Call) -> Sequence[Any]:
    return [np.logical_not(call[0])]


@_kernel("Range")
def _range(call: Call) -> Sequence[Any]:
    start, limit, delta = (int(array.reshape(())) for array in _integers(call.operands))
    if not delta:
        raise Undefined("a range has no step")
    numbers = range(start, limit, delta)
    _room([len(numbers)])
    return [np.array(numbers, call[0].dtype)]


@_kernel("CumSum")
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


@_kernel(*_reductions)
def _reduce(call: Call) -> Sequence[Any]:
    data, axes = _integers([call[0]])[0], call.numbers(1, "axes")
    if not axes and call.attribute("noop_with_empty_axes"):
        return [data]
    over, keepdims = tuple(axes) if axes else None, bool(call.attribute("keepdims"))
    ufunc = _reductions[call.node.op_type]
    if ufunc in (np.add, np.multiply):
        bound = ufunc.reduce(np.maximum(np.abs(data.astype(np.float64)), 1), None)
        if bound > np.iinfo(data.dtype).max / 2:
            raise Undefined("a reduction may overflow")
    return [ufunc.reduce(data, over, data.dtype, keepdims=keepdims)]


# Conversion


@_kernel("Cast")
def _cast(call: Call) -> Sequence[Any]:
    return [_converted(call[0], np.dtype(helper.tensor_dtype_to_np_dtype(call.attribute("to"))))]


@_kernel("CastLike")
def _cast_like(call: Call) -> Sequence[Any]:
    return [_converted(call[0], call[1].dtype)]


_BFLOAT16 = np.dtype(helper.tensor_dtype_to_np_dtype(TensorProto.BFLOAT16))
# How many bits the whole numbers have that these types hold without a gap.
_HALVES = {np.dtype(np.float16): 11, _BFLOAT16: 8}


def _converted(array: Array, dtype: np.dtype[Any]) -> Array:
    source = array.dtype
    for each in (source, dtype):
        if not (each == np.bool_ or each in _FLOATS or each in _HALVES or each.kind in "iu"):
            raise _Unsupported
    if source == dtype:
        return array
    if source in _FLOATS or source in _HALVES:
        wide = array.astype(np.float64)
        if dtype.kind in "iu":
            _check_range(wide, dtype)
            return wide.astype(dtype)
        if dtype in _HALVES:
            if source == np.float64:
                raise _Unsupported  # some runtimes round twice, by way of float32
            return array.astype(np.float32).astype(dtype)
        return wide.astype(dtype)
    if dtype in _HALVES:
        if array.dtype != np.bool_ and np.abs(array.astype(np.float64)).max(
            initial=0
        ) > 2 ** _HALVES[dtype]:  # fmt: skip
            raise _Unsupported  # the same: rounded twice
        return array.astype(np.float32).astype(dtype)
    return array.astype(dtype)


def _check_range(wide: Array, dtype: np.dtype[Any]) -> None:
    bits = 8 * dtype.itemsize
    low, high = (0, 2.0**bits) if dtype.kind == "u" else (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1))
    if not ((wide > low - 1) & (wide < high)).all():
        raise Undefined("a float is cast to an integer type that does not hold it")
