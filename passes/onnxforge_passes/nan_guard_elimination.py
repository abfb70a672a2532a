from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from onnxforge import Const, Decline, Graph, Node, RewritePass, Value

from .attention import guarded
from .attention_mask import leaves_something
from .partial import is_number


class NanGuardElimination(RewritePass):
    """Drop the guard of torch's exporters against attention weights that are no numbers.

        where(isnan(softmax(scores + mask)), 0, softmax(scores + mask))

    Weights are no numbers where a mask is minus infinity in a whole row.  The guard goes where
    there is no mask, where the mask is finite everywhere, and where it is constant and leaves
    every row something to attend to.  What goes into the model is taken to be numbers of usual
    size; the guard stays where something on the way, such as a logarithm, may make them none.  In
    float16 it stays: scores of ordinary numbers may be infinite there.
    """

    def __init__(self) -> None:
        self._sound: dict[Node, None] = {}

    def run(self, graph: Graph) -> int:
        """Drop the guards of *graph*; return how many there were."""
        self._sound.clear()
        return super().run(graph)

    def pattern(self, op: Any, q: Value, k: Value, times: Const) -> Any:
        """Scores that are not masked."""
        return guarded(op, op.Softmax(_scores(op, q, k, times)))

    def pattern_mask(self, op: Any, q: Value, k: Value, times: Const, mask: Value) -> Any:
        """Scores that are."""
        return guarded(op, op.Softmax(op.Add(_scores(op, q, k, times), mask)))

    def rewrite(self, op: Any, match: Any, times: Const | None, mask: Value | None) -> Any:
        """The weights as they are."""
        (softmax,) = (node for node in match.nodes if node.op_type == "Softmax")
        if softmax.output.dtype == TensorProto.FLOAT16:
            raise Decline("scores may be infinite in float16")
        if times is not None and not _is_scale(times):
            raise Decline("the scale is infinite, zero or no number")
        if mask is not None and not leaves_something(mask):
            raise Decline("the mask is not known to leave every row something to attend to")
        if mask is not None and softmax.attribute("axis") not in (
            -1,
            (softmax.output.rank or 0) - 1,
        ):
            raise Decline("what is masked is not normalized along rows")
        (scores,) = (node for node in match.nodes if node.op_type == "MatMul")
        if not all(is_number(each, self._sound) for each in scores.inputs):
            raise Decline("what scores are made of may be no numbers")
        return softmax.output


def _is_scale(times: Const) -> bool:
    """Whether numbers stay numbers, multiplied and divided by this constant."""
    numbers = times.numpy(np.float64)
    return bool(np.isfinite(numbers).all() and numbers.all())


def _scores(op: Any, q: Value, k: Value, times: Const) -> Any:
    scores = op.MatMul(q, k)
    return op.any(op.Mul(scores, times), op.Div(scores, times), scores)
