from __future__ import annotations

from typing import Any

import numpy as np

from onnxforge import Const, Decline, Match, RewritePass, Value

from .weights import require_own, rounded, scale_and_shift


class GemmInputFusion(RewritePass):
    """Fold a BatchNormalization with constant parameters into the Gemm or MatMul that reads it.

        (k * x + c) @ W + B  =  x @ (k * W) + (c @ W + B)

    The new weights are computed in float64 and rounded once, to the type the old ones have.
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
        """The same with MatMul."""
        norm = op.BatchNormalization(x, scale, bias, mean, var, training_mode=0)
        return op.MatMul(norm, W)

    def rewrite(self, op: Any, match: Match, x: Value, W: Const, B: Const | None) -> Any:
        """The product with its new weights."""
        norm, product = match.nodes
        W_, dtype = W.numpy(np.float64), W.numpy().dtype
        if x.rank != 2 or W_.ndim != 2:
            raise Decline("the product is not known to be one of matrices")
        require_own(match, W)
        is_gemm = product.op_type == "Gemm"
        turned = is_gemm and product.attribute("transB")
        inputs = W_.shape[1] if turned else len(W_)
        k, c = scale_and_shift(norm, x, 2, 1, inputs)
        with np.errstate(all="ignore"):  # `rounded` looks at what came of it
            weights = rounded(W_ * (k if turned else k[:, None]), dtype)
            shift = c @ (W_.T if turned else W_)
        if not is_gemm:
            y = op.MatMul(x, weights, like=product)
            return op.Add(y, rounded(shift, dtype))
        shift = product.attribute("alpha") * shift
        if B is not None:
            old = product.attribute("beta") * B.numpy(np.float64)
            if old.size > 1 and old.shape[-1] != len(shift):
                raise Decline("the bias would become a matrix")
            shift = shift + old
        return op.Gemm(x, weights, rounded(shift, dtype), like=product, beta=None)
