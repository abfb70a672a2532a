"""Shape values under arithmetic, comparisons and reductions.

One thing is taken for granted: arithmetic on sizes does not overflow int32 and int64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from onnx import TensorProto

from onnxforge.shapes.call import MAX_ELEMENTS, Call, Rules, ShapeValue, Unknown
from onnxforge.shapes.dims import (
    DimLike,
    Known,
    at_least,
    ceil_div,
    known_different,
    maximum,
    minimum,
)

rules: Rules[ShapeValue] = Rules()

# The whole numbers each type holds without a gap.
RANGES: Mapping[int, tuple[int, int]] = {
    TensorProto.BOOL: (0, 1),
    TensorProto.INT8: (-(2**7), 2**7 - 1),
    TensorProto.INT16: (-(2**15), 2**15 - 1),
    TensorProto.INT32: (-(2**31), 2**31 - 1),
    TensorProto.INT64: (-(2**63), 2**63 - 1),
    TensorProto.UINT8: (0, 2**8 - 1),
    TensorProto.UINT16: (0, 2**16 - 1),
    TensorProto.UINT32: (0, 2**32 - 1),
    TensorProto.UINT64: (0, 2**64 - 1),
    TensorProto.FLOAT16: (-(2**11), 2**11),
    TensorProto.FLOAT: (-(2**24), 2**24),
    TensorProto.DOUBLE: (-(2**53), 2**53),
}
SIZES = TensorProto.INT32, TensorProto.INT64
INTEGERS = frozenset(
    kind for kind, (_, high) in RANGES.items() if kind != TensorProto.BOOL and high % 2
)


def fit(element: DimLike, dtype: int | None) -> DimLike:
    """The element if *dtype* is sure to hold it as it is, otherwise unknown."""
    if element is None or dtype is None or dtype not in RANGES:
        return None
    low, high = RANGES[dtype]
    if isinstance(element, int):
        return element if low <= element <= high else None
    return element if dtype in SIZES else None


@rules("Cast")
def _cast(call: Call) -> list[ShapeValue]:
    source, target = call.input(0).dtype, call.integer("to", 0)
    value = call.value()
    if target == TensorProto.BOOL and source != TensorProto.BOOL:
        return [_each(lambda x: _truth(known_different(x, 0), x == 0), None, value)]
    return [ShapeValue(tuple(fit(x, target) for x in value.elements), value.rank)]


@rules("Neg", "Abs", "Floor", "Ceil", "Round")
def _unary(call: Call) -> list[ShapeValue]:
    dtype = call.input(0).dtype
    if call.op_type == "Neg":
        # -0.0 is not 0.0, and a float keeps the difference.
        apply: _Unary = lambda x: None if dtype not in INTEGERS and x == 0 else -x
    elif call.op_type == "Abs":
        apply = _absolute
    else:
        apply = _same
    return [_each(apply, dtype, call.value())]


_Unary: TypeAlias = Callable[[Known], DimLike]
_Binary: TypeAlias = Callable[[Known, Known], DimLike]


def _same(x: Known) -> DimLike:
    return x


def _absolute(x: Known) -> DimLike:
    if isinstance(x, int):
        return abs(x)
    return x if at_least(x, 0) else -x if at_least(-x, 0) else None


def _quotient(a: Known, b: Known) -> DimLike:
    """The quotient rounded to zero, as C and ONNX have it for integers."""
    if isinstance(a, int) and isinstance(b, int):
        return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    # Dividing what divides needs no rounding; otherwise the signs must be known.
    if at_least(a, 0) and at_least(b, 0):
        return a // b
    if at_least(-a, 0) and at_least(b, 0):
        return -(-a // b)
    if isinstance(b, int) and b < 0:
        inner = _quotient(a, -b)
        return None if inner is None else -inner
    whole = a // b
    return whole if whole * b == a else None


def _floats_quotient(a: Known, b: Known) -> DimLike:
    exact = isinstance(a, int) and isinstance(b, int) and b > 0 and a % b == 0
    return a // b if exact else None


def _remainder(a: Known, b: Known) -> DimLike:
    return a % b


def _c_remainder(a: Known, b: Known) -> DimLike:
    quotient = _quotient(a, b)
    # ONNX Runtime goes by way of double precision.
    exact = all(fit(x, TensorProto.DOUBLE) is not None for x in (a, b) if isinstance(x, int))
    return a - b * quotient if quotient is not None and exact else None


_arithmetic: dict[str, _Binary] = {
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Mul": lambda a, b: a * b,
    "Max": lambda a, b: maximum((a, b)),
    "Min": lambda a, b: minimum((a, b)),
}


@rules("Add", "Sub", "Mul", "Div", "Mod", "Max", "Min")
def _binary(call: Call) -> list[ShapeValue]:
    dtype = call.input(0).dtype
    integer = dtype in INTEGERS
    if call.integer("broadcast", 0) or (not integer and call.op_type == "Mod"):
        raise Unknown
    if call.op_type == "Div":
        apply: _Binary = _quotient if integer else _floats_quotient
    elif call.op_type == "Mod":
        apply = _c_remainder if call.integer("fmod", 0) else _remainder
    else:
        apply = _arithmetic[call.op_type]
        if not integer and call.op_type == "Mul":
            # 0.0 * -1.0 is -0.0.
            apply = lambda a, b: (
                None if a * b == 0 and not (at_least(a, 0) and at_least(b, 0)) else a * b
            )
    result = call.value(0)
    for index in range(1, len(call.inputs)):
        result = _pairwise(apply, dtype, result, call.value(index))
    return [result]


@rules("And", "Or", "Xor", "Not")
def _logic(call: Call) -> list[ShapeValue]:
    if call.op_type == "Not":
        return [_each(lambda x: _truth(x == 0, x == 1), None, call.value())]
    apply: dict[str, _Binary] = {
        "And": lambda a, b: _truth(a == 1 and b == 1, a == 0 or b == 0),
        "Or": lambda a, b: _truth(a == 1 or b == 1, a == 0 and b == 0),
        "Xor": lambda a, b: a ^ b if isinstance(a, int) and isinstance(b, int) else None,
    }
    return [_pairwise(apply[call.op_type], TensorProto.BOOL, call.value(0), call.value(1))]


_comparisons: dict[str, _Binary] = {
    "Equal": lambda a, b: _truth(a == b, known_different(a, b)),
    "Greater": lambda a, b: _truth(at_least(a - b, 1), at_least(b - a, 0)),
    "Less": lambda a, b: _truth(at_least(b - a, 1), at_least(a - b, 0)),
    "GreaterOrEqual": lambda a, b: _truth(at_least(a - b, 0), at_least(b - a, 1)),
    "LessOrEqual": lambda a, b: _truth(at_least(b - a, 0), at_least(a - b, 1)),
}


@rules(*_comparisons)
def _compare(call: Call) -> list[ShapeValue]:
    if call.integer("broadcast", 0):
        raise Unknown
    apply = _comparisons[call.op_type]
    return [_pairwise(apply, TensorProto.BOOL, call.value(0), call.value(1))]


def _truth(yes: bool, no: bool) -> int | None:
    return 1 if yes else 0 if no else None


@rules("Where")
def _where(call: Call) -> list[ShapeValue]:
    condition, left, right = (call.value(index) for index in range(3))
    operands = [_stretched(value, condition, left, right) for value in (condition, left, right)]
    chosen = tuple(
        a if c == 1 else b if c == 0 else (a if a is not None and a == b else None)
        for c, a, b in zip(*operands, strict=True)
    )
    return [ShapeValue(chosen, max(condition.rank, left.rank, right.rank))]


@rules("Range")
def _range(call: Call) -> list[ShapeValue]:
    (start,), (limit,), (delta,) = (call.value(index).elements for index in range(3))
    if start is None or limit is None or not isinstance(delta, int):
        raise Unknown
    length = ceil_div(limit - start, delta)
    if not isinstance(length, int) or length > MAX_ELEMENTS:
        raise Unknown
    dtype = call.input(0).dtype
    return [ShapeValue(tuple(fit(start + i * delta, dtype) for i in range(max(length, 0))))]


@rules("ReduceProd", "ReduceSum", "ReduceMax", "ReduceMin")
def _reduce(call: Call) -> list[ShapeValue]:
    value, dtype = call.value(), call.input(0).dtype
    axes = call.axes(value.rank)
    if not axes and call.integer("noop_with_empty_axes", 0):
        return [value]
    # Runtimes differ on what an empty tensor sums up to, and in which shape.
    if value.rank != 1 or not value.elements or None in value.elements:
        raise Unknown
    elements = [element for element in value.elements if element is not None]
    result: Known
    if call.op_type in ("ReduceMax", "ReduceMin"):
        result = maximum(elements) if call.op_type == "ReduceMax" else minimum(elements)
    else:
        result = 0 if call.op_type == "ReduceSum" else 1
        for element in elements:
            result = result + element if call.op_type == "ReduceSum" else result * element
            if fit(result, dtype) is None:
                raise Unknown
    return [ShapeValue((fit(result, dtype),), call.integer("keepdims", 1))]


def _each(apply: _Unary, dtype: int | None, value: ShapeValue) -> ShapeValue:
    results = (None if x is None else apply(x) for x in value.elements)
    fitted = (fit(x, TensorProto.BOOL if dtype is None else dtype) for x in results)
    return ShapeValue(tuple(fitted), value.rank)


def _pairwise(apply: _Binary, dtype: int | None, left: ShapeValue, right: ShapeValue) -> ShapeValue:
    pairs = zip(_stretched(left, right), _stretched(right, left), strict=True)
    results = (None if a is None or b is None else apply(a, b) for a, b in pairs)
    return ShapeValue(tuple(fit(x, dtype) for x in results), max(left.rank, right.rank))


def _stretched(value: ShapeValue, *others: ShapeValue) -> tuple[DimLike, ...]:
    """The elements, repeated as broadcasting against *others* asks."""
    lengths = {len(v.elements) for v in (value, *others) if v.rank and len(v.elements) != 1}
    if len(lengths) > 1:
        raise Unknown
    length = next(iter(lengths), 1)
    return value.elements * length if len(value.elements) == 1 else value.elements
