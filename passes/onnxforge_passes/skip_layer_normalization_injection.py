from __future__ import annotations

from typing import Any

from onnx import TensorProto

from onnxforge import Const, Decline, Match, Value
from onnxforge.shapes import known_equal

from .fusion import Fusion
from .normalization import Axes, number, reduced_axes, standardized


class SkipLayerNormalizationInjection(Fusion):
    """Add a residual and normalize by ONNX Runtime's own `com.microsoft::SkipLayerNormalization`.

    A bias of one number for each channel, added to one of the two before, goes along; the sum may
    be read elsewhere, too.
    """

    def pattern(
        self, op: Any, x: Value, skip: Value, bias: Const, scale: Const, shift: Const | None
    ) -> Any:
        """A sum, and its LayerNormalization."""
        total = _total(op, x, skip, bias)
        return total, op.LayerNormalization(total, scale, shift)

    def pattern_spelled(
        self,
        op: Any,
        x: Value,
        skip: Value,
        bias: Const,
        scale: Const,
        shift: Const,
        axes: Const | None,
        axes2: Const | None,
        eps: Const,
    ) -> Any:
        """A sum, and its normalization spelled out."""
        total = _total(op, x, skip, bias)
        normal = standardized(op, total, axes, axes2, eps)
        return total, op.Add(op.Mul(normal, scale), shift)

    def rewrite(
        self,
        op: Any,
        match: Match,
        x: Value,
        skip: Value,
        bias: Const | None,
        scale: Const,
        shift: Const | None,
        eps: Const | None,
    ) -> Any:
        """The operator, and its fourth output, the sum."""
        total = match.outputs[0]
        if bias is not None and bias.shape != scale.shape:
            x, bias = match.nodes[0].output, None
        epsilon = match.root.attribute("epsilon") if eps is None else number(eps, total)
        axes = last_axes(match, total) if eps is None else reduced_axes(match, total)
        parameters = (scale, shift, bias)
        return skipping(op, "SkipLayerNormalization", total, (x, skip), parameters, axes, epsilon)


def last_axes(match: Match, x: Value) -> Axes:
    """The axes that the operator at the root normalizes."""
    if not x.rank or match.root.attribute("axis") is None:
        raise Decline("the rank is not known or 0, or the operator is none of ONNX's in this opset")
    return tuple(range(match.root.attribute("axis") % x.rank, x.rank))


def skipping(
    op: Any,
    op_type: str,
    total: Value,
    added: tuple[Value, Value],
    parameters: tuple[Value | None, ...],
    axes: Axes,
    epsilon: float,
) -> Any:
    """The sum of two values of a shape, and its normalization.

    Raises `Decline` if the kernel is not for them.
    """
    shape = total.shape
    if total.dtype != TensorProto.FLOAT or shape is None or len(shape) not in (2, 3):
        raise Decline("the kernel is for float32, and two or three dimensions")
    if shape[-1] == 0:
        raise Decline("the kernel is not for rows without elements")
    if axes != (len(shape) - 1,):
        raise Decline("not the last axis is normalized")
    for each in added:
        if each.shape is None or len(each.shape) != len(shape):
            raise Decline("what is added is not known to have one shape")
        if not all(map(known_equal, each.shape, shape)):
            raise Decline("what is added is not known to have one shape")
    if any(each is not None and each.shape != shape[-1:] for each in parameters):
        raise Decline("a parameter has not one number for each channel")
    while parameters[-1] is None:
        parameters = parameters[:-1]
    normal, _, _, skip = getattr(op, op_type)(
        *added, *parameters, domain="com.microsoft", epsilon=epsilon, outputs=4
    )
    return skip, normal


def _total(op: Any, x: Value, skip: Value, bias: Const) -> Any:
    return op.Add(op.any(op.Add(x, bias), x), skip)
