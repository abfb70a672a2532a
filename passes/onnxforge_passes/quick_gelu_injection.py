from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from onnxforge import Const, Decline, Value

from .fusion import Fusion


class QuickGeluInjection(Fusion):
    """Call ONNX Runtime's own `com.microsoft::QuickGelu` for x * sigmoid(alpha * x).

    With an alpha of 1 that is SiLU, with 1.702 an approximation of Gelu.
    """

    def pattern(self, op: Any, x: Value, alpha: Const) -> Any:
        """The product, with or without a factor."""
        return op.Mul(x, op.Sigmoid(op.any(op.Mul(x, alpha), x)))

    def rewrite(self, op: Any, x: Value, alpha: Const | None) -> Any:
        """The operator."""
        if x.dtype != TensorProto.FLOAT or x.rank is None:
            raise Decline("the kernel is for float32 alone, and a known rank")
        array = np.ones(()) if alpha is None else alpha.numpy(np.float64)
        if array.size != 1 or array.ndim > x.rank or not np.isfinite(array).all():
            raise Decline("alpha is not one number")
        return op.QuickGelu(x, domain="com.microsoft", alpha=float(array.reshape(())))
