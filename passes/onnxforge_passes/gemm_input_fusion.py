from __future__ import annotations

from typing import Any

import numpy as np

from onnxforge import Const, Decline, Match, RewritePass, Value

from .weights import FLOATS, require_own, rounded, scale_and_shift, scaled

# What a normalization or an activation that is spelt out is scaled after.
_PARTS = frozenset({"Cast", "Div", "Mul"})


class GemmInputFusion(RewritePass):
    """Fold constants that scale the columns a Gemm or MatMul reads into its weights.

    That is Mul and Div with one number for each column, or with one for all, and, of matrices,
    BatchNormalization with constant parameters.

        (k * x + c) @ W + B  =  x @ (k * W) + (c @ W + B)

    An Add or Sub alone is left as it is: where a mean is taken away that is large beside the
    deviations from it, doing so after the product loses their digits.  The new weights are computed
    in float64 and rounded once, to the type the old ones have.
    """

    def pattern(
        self,
        op: Any,
        x: Value,
        W: Const,
        B: Const | None,
        scale: Const,
        bias: Const,
        mean: Const,
        var: Const,
    ) -> Any:
        """A Gemm of what was normalized."""
        norm = op.BatchNormalization(x, scale, bias, mean, var, training_mode=0)
        return op.Gemm(norm, W, B, transA=0)

    def pattern_matmul(
        self, op: Any, x: Value, W: Const, scale: Const, bias: Const, mean: Const, var: Const
    ) -> Any:
        """The same with MatMul."""
        norm = op.BatchNormalization(x, scale, bias, mean, var, training_mode=0)
        return op.MatMul(norm, W)

    def pattern_scaled(self, op: Any, x: Value, W: Const, B: Const | None, k: Const) -> Any:
        """A Gemm of what was scaled."""
        return op.Gemm(_scaled(op, x, k), W, B, transA=0)

    def pattern_scaled_matmul(self, op: Any, x: Value, W: Const, k: Const) -> Any:
        """The same with MatMul."""
        return op.MatMul(_scaled(op, x, k), W)

    def rewrite(self, op: Any, match: Match, x: Value, W: Const, B: Const | None) -> Any:
        """The product with its new weights."""
        scaling, product = match.nodes
        W_ = W.numpy()
        if W_.ndim != 2 or not x.rank or W.dtype not in FLOATS:
            raise Decline("the weights are no matrix of floats")
        if scaling.op_type == "BatchNormalization" and x.rank != 2:
            raise Decline("the product is not known to be one of matrices")
        if x.producer is not None and x.producer.op_type in _PARTS:
            raise Decline("it may be part of an activation or normalization, which would be lost")
        require_own(match, W)
        is_gemm = product.op_type == "Gemm"
        turned = is_gemm and product.attribute("transB")
        inputs = W_.shape[1] if turned else len(W_)
        k, c = scale_and_shift(scaling, x, x.rank, x.rank - 1, inputs)
        if x.shape is None or x.shape[-1] != inputs:
            raise Decline("the input is not known to have the columns it is scaled to")
        if not np.isfinite(k).all():
            raise Decline("the constant has infinities, zeros to divide by, or no numbers")
        dtype = W_.dtype
        weights = scaled(W_, k if turned else k[:, None])
        with np.errstate(all="ignore"):  # `rounded` looks at what came of it
            shift = c @ (W_.T if turned else W_).astype(np.float64)
        if not is_gemm:
            y = op.MatMul(x, weights, like=product)
            return op.Add(y, rounded(shift, dtype)) if shift.any() else y
        if not shift.any():
            return op.Gemm(x, weights, B, like=product)
        shift = product.attribute("alpha") * shift
        if B is not None:
            old = product.attribute("beta") * B.numpy(np.float64)
            if old.size > 1 and old.shape[-1] != len(shift):
                raise Decline("the bias would become a matrix")
            shift = shift + old
        return op.Gemm(x, weights, rounded(shift, dtype), like=product, beta=None)


def _scaled(op: Any, x: Value, k: Const) -> Any:
    return op.any(op.Mul(x, k), op.Div(x, k))
