"""Rules for operators that work element by element."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from onnxforge.testing.operators.rules import (
    BINARY,
    BITS,
    BOOL,
    COMPARISONS,
    FLOAT,
    FLOATS,
    INT32,
    INT64,
    LOGIC,
    NUMBERS,
    UNARY,
    rule,
)
from onnxforge.testing.operators.sizes import broadcast, fits

if TYPE_CHECKING:
    from onnxforge.testing.sketch import Sketch, Tensor


@rule(*UNARY)
def _unary(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick(FLOATS if op_type != "Celu" else (FLOAT,))
    return x and sketch.add(op_type, [x], x.dtype, x.shape)


@rule(*BINARY)
def _binary(sketch: Sketch, op_type: str) -> Tensor | None:
    a = sketch.pick(FLOATS if op_type in ("Mean", "PRelu", "Pow", "Sum") else NUMBERS)
    if a is None:
        return None
    if op_type == "Div" and a.dtype not in FLOATS:
        b = sketch.constant(a.dtype, (), low=1, high=3)
        return sketch.add(op_type, [a, b], a.dtype, a.shape)
    b = sketch.partner(a, one_way=op_type == "PRelu")
    return sketch.add(op_type, [a, b], a.dtype, broadcast(a.shape, b.shape))


@rule(*COMPARISONS)
def _compare(sketch: Sketch, op_type: str) -> Tensor | None:
    a = sketch.pick(NUMBERS)
    if a is None:
        return None
    b = sketch.partner(a)
    return sketch.add(op_type, [a, b], BOOL, broadcast(a.shape, b.shape))


@rule(*LOGIC)
def _logic(sketch: Sketch, op_type: str) -> Tensor | None:
    a = sketch.pick((BOOL,))
    if a is None:
        return None
    b = sketch.partner(a)
    return sketch.add(op_type, [a, b], BOOL, broadcast(a.shape, b.shape))


@rule(*BITS)
def _bits(sketch: Sketch, op_type: str) -> Tensor | None:
    a = sketch.pick((INT32, INT64))
    if a is None:
        return None
    b = sketch.constant(a.dtype, (), low=1, high=7)
    return sketch.add(op_type, [a, b], a.dtype, a.shape)


@rule("Not")
def _not(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick((BOOL,))
    return x and sketch.add(op_type, [x], BOOL, x.shape)


@rule("IsNaN", "IsInf")
def _is(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick((FLOAT,))
    return x and sketch.add(op_type, [x], BOOL, x.shape)


@rule("Where")
def _where(sketch: Sketch, op_type: str) -> Tensor | None:
    condition, a = sketch.pick((BOOL,)), sketch.pick(NUMBERS)
    if condition is None or a is None:
        return None
    b = sketch.partner(a)
    shape = broadcast(a.shape, b.shape)
    if not fits(condition.shape, shape):
        return None
    shape = broadcast(shape, condition.shape)
    return sketch.add(op_type, [condition, a, b], a.dtype, shape)


@rule("Clip")
def _clip(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick(FLOATS)
    if x is None:
        return None
    low, high = sketch.draw(st.sampled_from([(0, 6), (-1, 1), (0, None), (None, 1), (2, 1)]))
    bounds = [None if b is None else sketch.scalar(x.dtype, b) for b in (low, high)]
    return sketch.add(op_type, [x, *bounds], x.dtype, x.shape)


@rule("Cast")
def _cast(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick((*NUMBERS, BOOL))
    if x is None:
        return None
    # A float beyond the integers' range has no defined integer value.
    targets = FLOATS if x.dtype in FLOATS else (*NUMBERS, BOOL)
    to = sketch.draw(st.sampled_from(targets))
    return sketch.add(op_type, [x], to, x.shape, to=to)


@rule("CastLike")
def _cast_like(sketch: Sketch, op_type: str) -> Tensor | None:
    x, like = sketch.pick((INT32, INT64, BOOL)), sketch.pick(FLOATS)
    if x is None or like is None:
        return None
    return sketch.add(op_type, [x, like], like.dtype, x.shape)


@rule("Dropout")
def _dropout(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick(FLOATS)
    return x and sketch.add(op_type, [x], x.dtype, x.shape)
