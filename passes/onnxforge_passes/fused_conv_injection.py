from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from onnxforge import Const, Decline, Match, RewritePass, Value


class FusedConvInjection(RewritePass):
    """Hand a Conv and the activation after it to ONNX Runtime's own `com.microsoft::FusedConv`.

    The activation is a Relu, LeakyRelu, Clip with constant bounds, Sigmoid, Tanh or HardSigmoid; an
    addition before it, of a residual of the very shape the Conv has, goes along.  Only ONNX Runtime
    runs the result, and its CPU kernel is for float32 alone.
    """

    def pattern(self, op: Any, x: Value, W: Value, B: Value | None, Z: Value | None) -> Any:
        """A Relu after a Conv, or after a residual addition to one."""
        return op.Relu(_sum(op, x, W, B, Z))

    def pattern_leaky(self, op: Any, x: Value, W: Value, B: Value | None, Z: Value | None) -> Any:
        """The same with LeakyRelu."""
        return op.LeakyRelu(_sum(op, x, W, B, Z))

    def pattern_sigmoid(self, op: Any, x: Value, W: Value, B: Value | None, Z: Value | None) -> Any:
        """The same with Sigmoid."""
        return op.Sigmoid(_sum(op, x, W, B, Z))

    def pattern_tanh(self, op: Any, x: Value, W: Value, B: Value | None, Z: Value | None) -> Any:
        """The same with Tanh."""
        return op.Tanh(_sum(op, x, W, B, Z))

    def pattern_hard(self, op: Any, x: Value, W: Value, B: Value | None, Z: Value | None) -> Any:
        """The same with HardSigmoid."""
        return op.HardSigmoid(_sum(op, x, W, B, Z))

    def pattern_clip(
        self,
        op: Any,
        x: Value,
        W: Value,
        B: Value | None,
        Z: Value | None,
        low: Const | None,
        high: Const | None,
    ) -> Any:
        """The same with Clip."""
        return op.Clip(_sum(op, x, W, B, Z), low, high)

    def rewrite(
        self,
        op: Any,
        match: Match,
        x: Value,
        W: Value,
        B: Value | None,
        Z: Value | None,
        low: Const | None,
        high: Const | None,
    ) -> Any:
        """One node for all of it."""
        conv, activation = match.nodes[0], match.root
        shape = conv.output.shape
        if x.dtype != TensorProto.FLOAT:
            raise Decline("the kernel is for float32 alone, and the Conv is not known to be")
        if Z is not None and (shape is None or None in shape or Z.shape != shape):
            raise Decline("the residual is not known to have the shape of the Conv")
        parameters: list[float] | None = None
        match activation.op_type:
            case "LeakyRelu":
                parameters = [activation.attribute("alpha")]
            case "HardSigmoid":
                parameters = [activation.attribute("alpha"), activation.attribute("beta")]
            case "Clip":
                limits = np.finfo(np.float32)  # ONNX Runtime's Clip lets no infinity pass
                parameters = [
                    _bound(activation.attribute("min"), low, limits.min),
                    _bound(activation.attribute("max"), high, limits.max),
                ]
        return op.FusedConv(
            x,
            W,
            B,
            Z,
            domain="com.microsoft",
            activation=activation.op_type,
            activation_params=parameters,
            like=conv,
        )


def _sum(op: Any, x: Value, W: Value, B: Value | None, Z: Value | None) -> Any:
    conv = op.Conv(x, W, B)
    return op.any(conv, op.Add(conv, Z))


def _bound(attribute: float | None, value: Const | None, absent: np.float32) -> float:
    """A bound of a Clip: an attribute until opset 10, an input from 11 on."""
    if attribute is not None:
        return attribute
    return float(absent if value is None else value.numpy().item())
