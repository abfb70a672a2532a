from __future__ import annotations

from typing import Any

import numpy as np

from onnxforge import Const, Decline, RewritePass, Value

from .attention import guarded

# A mask is looked at only if it is no larger than masks are.
_MOST_ELEMENTS = 2**22


class NanGuardElimination(RewritePass):
    """Drop the guard of torch's exporters against attention weights that are no numbers.

        where(isnan(softmax(scores + mask)), 0, softmax(scores + mask))

    Weights are no numbers where a mask is minus infinity in a whole row.  The guard goes where
    there is no mask, where the mask is finite everywhere, and where it is constant and leaves
    every row something to attend to.
    """

    def pattern(self, op: Any, q: Value, k: Value, times: Const) -> Any:
        """Scores that are not masked."""
        return guarded(op, op.Softmax(_scores(op, q, k, times)))

    def pattern_mask(self, op: Any, q: Value, k: Value, times: Const, mask: Value) -> Any:
        """Scores that are."""
        return guarded(op, op.Softmax(op.Add(_scores(op, q, k, times), mask)))

    def rewrite(self, op: Any, match: Any, mask: Value | None) -> Any:
        """The weights as they are."""
        (softmax,) = (node for node in match.nodes if node.op_type == "Softmax")
        if mask is not None and not _leaves_something(mask):
            raise Decline("the mask is not known to leave every row something to attend to")
        if mask is not None and softmax.attribute("axis") not in (
            -1,
            (softmax.output.rank or 0) - 1,
        ):
            raise Decline("what is masked is not normalized along rows")
        return softmax.output


def _scores(op: Any, q: Value, k: Value, times: Const) -> Any:
    scores = op.MatMul(q, k)
    return op.any(op.Mul(scores, times), op.Div(scores, times), scores)


def _leaves_something(mask: Value) -> bool:
    node = mask.producer
    if mask.is_constant:
        return _has_finite_rows(mask)
    if node is None or node.domain:
        return False
    if node.op_type in ("Expand", "Unsqueeze", "Identity") and node.inputs[0] is not None:
        return _leaves_something(node.inputs[0])
    if node.op_type == "Where":
        return all(v is not None and v.is_constant and _is_finite(v) for v in node.inputs[1:])
    return False


def _is_finite(value: Value) -> bool:
    tensor = value.tensor
    if tensor is not None and np.prod(tensor.dims, dtype=np.int64) > _MOST_ELEMENTS:
        return False
    return bool(np.isfinite(value.numpy(np.float64)).all())


def _has_finite_rows(mask: Value) -> bool:
    """Whether every row has an entry that is a number, and none that is no or too large a one."""
    tensor = mask.tensor
    if tensor is not None and np.prod(tensor.dims, dtype=np.int64) > _MOST_ELEMENTS:
        return False
    array = mask.numpy(np.float64)
    if array.ndim == 0:
        return bool(np.isfinite(array))
    is_bad = np.isnan(array) | (array == np.inf)
    return bool(not is_bad.any() and np.isfinite(array).any(axis=-1).all())
