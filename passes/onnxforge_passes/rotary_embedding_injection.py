from __future__ import annotations

from typing import Any

import numpy as np

from onnxforge import Value

from .rotary_embedding import RotaryEmbedding


class RotaryEmbeddingInjection(RotaryEmbedding):
    """Rotate pairs of numbers by ONNX Runtime's own `com.microsoft::RotaryEmbedding`.

        x * cos + concat(-x[half:], x[:half]) * sin

    for cosines and sines of which the second half repeats the first.
    """

    def rotated(self, op: Any, x: Value, cos: Any, sin: Any, **heads: Any) -> Any:
        """The operator, from the first row of the tables on."""
        start = np.zeros(1, np.int64)
        return op.RotaryEmbedding(x, start, cos, sin, domain="com.microsoft", **heads)
