from __future__ import annotations

from typing import Any

from onnx import TensorProto

from onnxforge import Const, Decline, Match, RewritePass, Value

from .weights import require_broadcasting


class MatmulAddFusion(RewritePass):
    """Write a product of matrices and the constant added to it as one Gemm.

    Only of rank 2, and of float32 or float64: for others ONNX Runtime has no fast Gemm, or none.
    A Gemm takes a first constant likewise, if it has none.
    """

    def pattern(self, op: Any, x: Value, W: Value, B: Const) -> Any:
        """An addition to a product."""
        return op.Add(op.MatMul(x, W), B)

    def pattern_gemm(self, op: Any, x: Value, W: Value, B: Const) -> Any:
        """An addition to a Gemm without."""
        return op.Add(op.Gemm(x, W), B)

    def rewrite(self, op: Any, match: Match, x: Value, W: Value, B: Const) -> Any:
        """The Gemm."""
        product, add = match.nodes
        require_broadcasting(product, add)
        if x.dtype not in (TensorProto.FLOAT, TensorProto.DOUBLE):
            raise Decline("the product is not known to be of float32 or float64")
        if x.rank != 2 or W.rank != 2:
            raise Decline("the product is not known to be one of matrices")
        sizes, added = product.output.shape, B.shape
        assert sizes is not None
        if (
            added is None
            or len(added) > 2
            or any(
                size not in (1, whole) or whole is None
                for size, whole in zip(reversed(added), reversed(sizes), strict=False)
                if size != 1
            )
        ):
            raise Decline("what is added does not broadcast to the product")
        if _is_quantized(x) or _is_quantized(W):
            raise Decline("the product is quantized")
        if product.op_type == "MatMul":
            return op.Gemm(x, W, B, like=product)
        return op.Gemm(x, W, B, like=product, beta=None)


def _is_quantized(value: Value) -> bool:
    return value.producer is not None and value.producer.op_type == "DequantizeLinear"
