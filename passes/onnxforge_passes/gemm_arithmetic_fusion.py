from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from onnxforge import Const, Decline, Match, Node, RewritePass, Value

from .weights import FLOATS, Array, require_own, rounded, scale_and_shift, scaled


class GemmArithmeticFusion(RewritePass):
    """Fold constants into the Gemm or MatMul whose columns they scale or shift.

    That is Neg, Mul and Div with one number for each column, or with one for all,
    BatchNormalization with constant parameters, and Add and Sub where there is a bias already.

        k * (x @ W + B) + c  =  x @ (W * k) + (k * B + c)

    A Reshape, a Flatten and a Transpose may be in between, as long as they keep the columns apart.
    The new weights are computed in float64 and rounded once, to the type the old ones have.
    """

    def pattern(
        self,
        op: Any,
        x: Value,
        W: Const,
        B: Const | None,
        to: Value,
        scale: Const,
        bias: Const,
        mean: Const,
        var: Const,
    ) -> Any:
        """A BatchNormalization of a product."""
        columns = _moved(op, _product(op, x, W, B), to)
        return op.BatchNormalization(columns, scale, bias, mean, var, training_mode=0)

    def pattern_mul(self, op: Any, x: Value, W: Const, B: Const | None, to: Value, k: Const) -> Any:
        """A scale for each column."""
        return op.Mul(_moved(op, _product(op, x, W, B), to), k)

    def pattern_div(self, op: Any, x: Value, W: Const, B: Const | None, to: Value, k: Const) -> Any:
        """A divisor for each column."""
        return op.Div(_moved(op, _product(op, x, W, B), to), k)

    def pattern_add(self, op: Any, x: Value, W: Const, B: Const | None, to: Value, k: Const) -> Any:
        """Another bias."""
        return op.Add(_moved(op, _biased(op, x, W, B), to), k)

    def pattern_sub(self, op: Any, x: Value, W: Const, B: Const | None, to: Value, k: Const) -> Any:
        """A bias to take away."""
        return op.Sub(_moved(op, _biased(op, x, W, B), to), k)

    def pattern_sub_from(
        self, op: Any, x: Value, W: Const, B: Const | None, to: Value, k: Const
    ) -> Any:
        """A constant to take the columns from."""
        return op.Sub(k, _moved(op, _biased(op, x, W, B), to))

    def pattern_neg(self, op: Any, x: Value, W: Const, B: Const | None, to: Value) -> Any:
        """The opposite."""
        return op.Neg(_moved(op, _product(op, x, W, B), to))

    def rewrite(self, op: Any, match: Match, x: Value, W: Const, B: Const | None) -> Any:
        """The product with its new weights, moved as before."""
        product, *moves, arithmetic = match.nodes
        add = moves.pop(0) if moves and moves[0].op_type == "Add" else None
        if W.dtype not in FLOATS or (W_ := W.numpy()).ndim != 2 or not W_.size:
            raise Decline("the weights are no matrix of floats, or an empty one")
        turned = product.op_type == "Gemm" and product.attribute("transB")
        columns = len(W_) if turned else W_.shape[1]
        y = (product if add is None else add).output
        k, shift = _along_columns(y, moves, arithmetic, columns)
        weights: Any = W
        if not (k == 1).all():
            require_own(match, W)
            if not np.isfinite(k).all():
                raise Decline("the constant has infinities, zeros to divide by, or no numbers")
            weights = scaled(W_, k[:, None] if turned else k)
        if product.op_type == "Gemm":
            beta = product.attribute("beta")
            total = _bias(B, beta * k, shift, W_.dtype)
            y = op.Gemm(x, weights, total, like=product, beta=None)
        else:
            total = _bias(B, k, shift, W_.dtype)
            y = op.MatMul(x, weights, like=product)
            if total is not None:
                y = op.Add(y, total) if add is None else op.Add(y, total, like=add)
        for move in moves:
            y = getattr(op, move.op_type)(y, *move.inputs[1:], like=move)
        return y


def _product(op: Any, x: Value, W: Const, B: Const | None) -> Any:
    product = op.MatMul(x, W)
    return op.any(op.Gemm(x, W, B), product, op.Add(product, B))


def _biased(op: Any, x: Value, W: Const, B: Const | None) -> Any:
    return op.any(op.Gemm(x, W, B), op.Add(op.MatMul(x, W), B))


def _moved(op: Any, y: Any, to: Value) -> Any:
    reshaped = op.any(op.Reshape(y, to), op.Flatten(y))
    return op.any(y, reshaped, op.Transpose(y), op.Transpose(reshaped))


def _along_columns(
    y: Value, moves: Iterable[Node], arithmetic: Node, columns: int
) -> tuple[Array, Array]:
    """What the arithmetic does to each column of the product *y*, once it is moved."""
    axis: int | None = -1
    for move in moves:
        y = move.output
        if move.op_type == "Transpose":
            perm = move.attribute("perm") or list(reversed(range(len(y.shape or ()))))
            axis = perm.index(axis % len(perm)) if axis is not None and perm else None
        elif axis is not None and not (axis == -1 and y.shape and y.shape[-1] == columns):
            axis = None
    is_matrix = y.producer is not None and y.producer.op_type == "Gemm"
    rank = 2 if is_matrix else y.rank
    if rank is None:
        raise Decline("the rank of the product is not known")
    if arithmetic.op_type == "BatchNormalization" and axis is not None and axis % rank != 1:
        axis = None
    if axis is not None:
        return scale_and_shift(arithmetic, y, rank, axis, columns)
    # Whatever became of the columns, one number for all is one for each.
    k, shift = scale_and_shift(arithmetic, y, rank, 0, 1)
    return k.repeat(columns), shift.repeat(columns)


def _bias(B: Const | None, k: Array, shift: Array, dtype: np.dtype[Any]) -> Array | None:
    """The bias k * B + shift, unless there is none; it may be a matrix, but not become one."""
    if B is None:
        return rounded(shift, dtype) if shift.any() else None
    old = B.numpy(np.float64)
    if (k == k[0]).all() and (shift == shift[0]).all():
        k, shift = k[:1].reshape(()), shift[:1].reshape(())
    with np.errstate(all="ignore"):
        new = old * k + shift
    if new.size > max(old.size, k.size):
        raise Decline("the bias would become a matrix")
    return rounded(new, dtype)
