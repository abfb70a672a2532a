from __future__ import annotations

from typing import Any

import numpy as np

from onnxforge import Decline, Value

from .rotary_embedding import RotaryEmbedding


class RotaryEmbeddingFusion(RotaryEmbedding):
    """Rotate pairs of numbers by one RotaryEmbedding, as of opset 23.

        x * cos + concat(-x[half:], x[:half]) * sin

    for cosines and sines of which the second half repeats the first.
    """

    def rotated(self, op: Any, x: Value, cos: Any, sin: Any, **heads: Any) -> Any:
        """The operator, with tables for each of the batch."""
        if op.graph.opset_imports.get("", 1) < 23:
            raise Decline("RotaryEmbedding needs opset 23")
        first = op.Gather(op.Shape(x), np.array([0]), axis=0)
        batch = op.Concat(first, np.array([1, 1]), axis=0)
        tables = [op.Expand(op.Unsqueeze(each, np.array([0])), batch) for each in (cos, sin)]
        return op.RotaryEmbedding(x, *tables, **heads)
