from __future__ import annotations

from typing import Any

import numpy as np

from onnxforge import Const, Decline, Match, Node, RewritePass, Value

from .weights import FLOATS, Array, require_broadcasting, rounding

# Of large arguments, or at their steps, these tell apart what differs by a rounding error.
_SENSITIVE = frozenset(
    {"ArgMax", "ArgMin", "Ceil", "Cos", "DynamicQuantizeLinear", "Equal", "Floor", "Mod"}
    | {"QuantizeLinear", "Round", "Sin", "Tan"}
)
_LINEAR = frozenset(
    {"Add", "Cast", "Concat", "CumSum", "Div", "Expand", "Gather", "Identity", "MatMul", "Mul"}
    | {"Neg", "Reshape", "Resize", "Slice", "Squeeze", "Sub", "Tile", "Transpose", "Unsqueeze"}
)
# As far as one looks for such.
_MAX_READERS = 32


class ConstantArithmeticMerging(RewritePass):
    """Add or multiply once where constants are added or multiplied twice.

        (x + a) + b  =  x + (a + b)        (x * a) / b  =  x * (a / b)

    The new constant is computed in float64 and rounded once.  It must be no larger than the larger
    of the two, all of it must be in the range of its type, and rounding a sum must cost no more
    than adding one by one does: of 1e4 and 1e-4 it would leave nothing of the second.  Where adding
    the first rounds, as of 1.5 * 2**23, and the second undoes it, both stay.
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
        is_sum = second.op_type in ("Add", "Sub")
        with np.errstate(all="ignore"):
            match first.op_type, second.op_type:
                case (("Add" | "Sub"), _):
                    a_ = -a_ if first.op_type == "Sub" else a_
                    b_ = -b_ if second.op_type == "Sub" else b_
                    exact, op_type = a_ + b_, "Add"
                case "Div", "Div":
                    exact, op_type = a_ * b_, "Div"
                case "Div", _:
                    exact, op_type = b_ / a_, "Mul"
                case _:
                    exact = a_ * b_ if second.op_type == "Mul" else a_ / b_
                    op_type = "Mul"
            new = exact.astype(dtype)
            lost = np.abs(new - exact)
            close = (lost <= 2**-8 * np.abs(exact)) & np.isfinite(a_) & np.isfinite(b_)
            if is_sum:  # of 1e30 and 1 float64 itself leaves nothing of the second
                lost += np.abs(exact - a_ - b_)
        if exact.size > max(a_.size, b_.size):
            raise Decline("the constants are larger together")
        # The coarsest type, bfloat16, rounds by half of this; NaN compares as False.
        if not close.all():
            raise Decline(f"the constants together are out of the range of {dtype}")
        # What rounding loses is about what adding b loses, unless b is much the smaller.
        if is_sum and ((lost > 0) & (np.abs(a_) > 16 * np.abs(b_))).any():
            raise Decline("the sum of the constants loses digits of the second")
        # Steps of the first stay when it is taken away; what the first adds decides on a step.
        is_undone = rounding(a_, dtype) & (np.abs(exact) < np.abs(a_) / 2)
        if is_sum and (is_undone | (rounding(b_, dtype) & (lost > 0))).any():
            raise Decline("a number that large may be added to round")
        if (is_sum or not (_is_exact(a_) or _is_exact(b_))) and _is_phase(second.output):
            raise Decline("it is not exact, and the last digit counts: it goes into Sin or Floor")
        return getattr(op, op_type)(x, new, like=second)


def _shifted(op: Any, x: Value, a: Const) -> Any:
    return op.any(op.Add(x, a), op.Sub(x, a))


def _scaled(op: Any, x: Value, a: Const) -> Any:
    return op.any(op.Mul(x, a), op.Div(x, a))


def _is_exact(factor: Array) -> bool:
    """Whether a product with such numbers is not rounded: they are powers of two."""
    return bool((np.abs(np.frexp(factor)[0]) == 0.5).all())


def _is_float(cast: Node) -> bool:
    return cast.output.dtype in FLOATS


def _is_phase(value: Value) -> bool:
    """Whether a function of the value is taken that may tell large numbers apart by a digit."""
    work, seen = [value], 0
    while work and seen < _MAX_READERS:
        for node in work.pop().consumers:
            seen += 1
            if node.op_type in _SENSITIVE or (node.op_type == "Cast" and not _is_float(node)):
                return True
            if node.op_type in _LINEAR:
                work += node.outputs
    return False
