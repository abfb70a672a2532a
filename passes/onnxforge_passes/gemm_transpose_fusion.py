from __future__ import annotations

from typing import Any

from onnx import TensorProto

from onnxforge import Decline, Match, RewritePass, Value


class GemmTransposeFusion(RewritePass):
    """Let a Gemm transpose its operands by itself, and a MatMul of matrices as a Gemm.

    A Transpose that leaves the axes where they are is not one.  A MatMul becomes a Gemm only in
    float32 and float64: for others ONNX Runtime has no fast Gemm, or none.
    """

    shared = True

    def pattern(self, op: Any, a: Value, b: Value, C: Value | None) -> Any:
        """A first operand that is transposed."""
        return op.Gemm(op.Transpose(a), b, C)

    def pattern_second(self, op: Any, a: Value, b: Value, C: Value | None) -> Any:
        """A second operand that is transposed."""
        return op.Gemm(a, op.Transpose(b), C)

    def pattern_matmul(self, op: Any, a: Value, b: Value) -> Any:
        """The same with MatMul."""
        return op.MatMul(op.Transpose(a), b)

    def pattern_matmul_second(self, op: Any, a: Value, b: Value) -> Any:
        """The same with MatMul and its second operand."""
        return op.MatMul(a, op.Transpose(b))

    def rewrite(self, op: Any, match: Match, a: Value, b: Value, C: Value | None) -> Any:
        """The Gemm that reads what was to be transposed."""
        transpose, product = match.nodes
        if transpose.attribute("perm") not in (None, [1, 0]):
            raise Decline("the Transpose leaves the axes where they are")
        side = "transB" if product.inputs[0] is a else "transA"
        if product.op_type == "Gemm":
            turned = 0 if product.attribute(side) else 1
            return op.Gemm(a, b, C, like=product, **{side: turned or None})
        if a.rank != 2 or b.rank != 2:
            raise Decline("the product is not known to be one of matrices")
        if a.dtype not in (TensorProto.FLOAT, TensorProto.DOUBLE):
            raise Decline("the product is not known to be of float32 or float64")
        if product.version < 11:
            raise Decline("before opset 11 a Gemm must have a bias")
        return op.Gemm(a, b, like=product, **{side: 1})
