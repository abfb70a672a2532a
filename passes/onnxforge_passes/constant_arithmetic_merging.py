from __future__ import annotations

from typing import Any

import numpy as np

from onnxforge import Const, Decline, Match, RewritePass, Value

from .weights import FLOATS, Array, require_broadcasting


class ConstantArithmeticMerging(RewritePass):
    """Add or multiply once where constants are added or multiplied twice.

        (x + a) + b  =  x + (a + b)        (x * a) / b  =  x * (a / b)

    The new constant is computed in float64 and rounded once.  It must be no larger than the larger
    of the two, all of it must be in the range of its type, and rounding a sum must cost no more
    than adding one by one does: of 1e8 and 1e-3 it would leave nothing of the second.
    """

    def pattern(self, op: Any, x: Value, a: Const, b: Const) -> Any:
        """A sum of a sum."""
        return op.Add(_shifted(op, x, a), b)

    def pattern_sub(self, op: Any, x: Value, a: Const, b: Const) -> Any:
        """A difference of a sum."""
        return op.Sub(_shifted(op, x, a), b)

    def pattern_mul(self, op: Any, x: Value, a: Const, b: Const) -> Any:
        """A product of a product."""
        return op.Mul(_scaled(op, x, a), b)

    def pattern_div(self, op: Any, x: Value, a: Const, b: Const) -> Any:
        """A quotient of a product."""
        return op.Div(_scaled(op, x, a), b)

    def rewrite(self, op: Any, match: Match, x: Value, a: Const, b: Const) -> Any:
        """The one operation."""
        first, second = match.nodes
        require_broadcasting(first, second)
        if x.is_constant:
            raise Decline("all of it is constant, and may be folded")
        if a.dtype not in FLOATS:
            raise Decline("the arithmetic is not one of floats")
        dtype = a.numpy().dtype
        a_, b_ = a.numpy(np.float64), b.numpy(np.float64)
        kinds = first.op_type, second.op_type
        with np.errstate(all="ignore"):
            if "Add" in kinds or "Sub" in kinds:
                a_ = -a_ if kinds[0] == "Sub" else a_
                b_ = -b_ if kinds[1] == "Sub" else b_
                return op.Add(x, _sum(a_, b_, dtype), like=second)
            if kinds == ("Div", "Div"):
                return op.Div(x, _as_good(a_ * b_, a_, b_, dtype), like=second)
            factor = (
                a_ * b_ if kinds == ("Mul", "Mul") else a_ / b_ if kinds[0] == "Mul" else b_ / a_
            )
            return op.Mul(x, _as_good(factor, a_, b_, dtype), like=second)


def _shifted(op: Any, x: Value, a: Const) -> Any:
    return op.any(op.Add(x, a), op.Sub(x, a))


def _scaled(op: Any, x: Value, a: Const) -> Any:
    return op.any(op.Mul(x, a), op.Div(x, a))


def _sum(a: Array, b: Array, dtype: np.dtype[Any]) -> Array:
    exact = a + b
    # What rounding loses is less than adding b loses, unless b is much the smaller.
    if ((np.abs(a) > 16 * np.abs(b)) & (exact.astype(dtype) != exact)).any():
        raise Decline("the sum of the constants loses digits of the second")
    return _as_good(exact, a, b, dtype)


def _as_good(exact: Array, a: Array, b: Array, dtype: np.dtype[Any]) -> Array:
    """The constant rounded, if it can stand for the two."""
    if exact.size > max(a.size, b.size):
        raise Decline("the constants are larger together")
    new = exact.astype(dtype)
    # The coarsest type, bfloat16, rounds by half of this; NaN compares as False.
    if not (np.abs(new - exact) <= 2**-8 * np.abs(exact)).all():
        raise Decline(f"the constants together are out of the range of {dtype}")
    return new
