"""Rotary position embedding, as exporters spell it."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from onnxforge import Const, Decline, Match, Value

from .attention import FLOATS, as_heads, as_rows
from .fusion import Fusion

# What may lie between a Concat of angles with themselves and the cosine that is multiplied with.
_STEPS = ("Cos", "Sin", "Unsqueeze", "Cast", "Identity")


class RotaryEmbedding(Fusion):
    """Finds x * cos + concat(-x[half:], x[:half]) * sin, for angles that repeat in both halves."""

    def pattern(self, op: Any, x: Value, halves: Const, cos: Value, sin: Value) -> Any:
        """Both halves turned."""
        first, second = op.Split(x, halves, outputs=2)
        turned = op.Concat(op.Neg(second), first)
        return op.Add(op.Mul(x, cos), op.Mul(turned, sin))

    def rewrite(self, op: Any, match: Match, x: Value, cos: Value, sin: Value) -> Any:
        """What `rotated` makes of it, on heads side by side if a Transpose took them apart."""
        split, concat = (n for n in match.nodes if n.op_type in ("Split", "Concat"))
        if x.rank != 4 or split.attribute("axis") not in (-1, 3):
            raise Decline("what is rotated has not four dimensions, or another axis is split")
        assert x.shape is not None
        _, count, _, size = x.shape
        first, second = split.outputs
        if concat.attribute("axis") not in (-1, 3) or first.shape != second.shape:
            raise Decline("the halves are not put together again")
        if x.dtype not in FLOATS or not isinstance(size, int) or not isinstance(count, int):
            raise Decline(
                "the kernel is for float32 and float16, and heads of known number and size"
            )
        tables = [_table(op, each, x) for each in (cos, sin)]
        rows = as_rows(op, x)
        if rows is None:
            return self.rotated(op, x, *tables)
        return as_heads(op, self.rotated(op, rows, *tables, num_heads=count), count, size)

    @abstractmethod
    def rotated(self, op: Any, x: Value, cos: Any, sin: Any, **heads: Any) -> Any:
        """Draw the operator, for cosines and sines [rows, size / 2]."""


def _table(op: Any, factor: Value, x: Value) -> Value | np.ndarray[Any, Any]:
    """[rows, size / 2] of a factor [1, 1, rows, size] whose halves are the same."""
    assert x.shape is not None
    if factor.shape is None or factor.shape[:-2] not in ((1, 1), (1,), ()):
        raise Decline("the angles are not known to be the same for the whole batch")
    if factor.shape[-2:] != x.shape[-2:]:
        raise Decline("the angles are not known to be one for each row and number")
    half = int(x.shape[3]) // 2  # type: ignore[arg-type]
    target = np.array([-1, half])
    if factor.is_constant:
        array = factor.numpy()
        if not np.array_equal(array[..., :half], array[..., half:]):
            raise Decline("the two halves have different angles")
        return array[..., :half].reshape(-1, half)
    chain, value = [], factor
    while (node := value.producer) is not None and node.op_type in _STEPS and not node.domain:
        chain.append(node)
        assert node.inputs[0] is not None
        value = node.inputs[0]
    if (
        node is None
        or node.op_type != "Concat"
        or node.attribute("axis") not in (-1, (value.rank or 0) - 1)
    ):
        raise Decline("the two halves are not known to have the same angles")
    if len(node.inputs) != 2 or node.inputs[0] is not node.inputs[1]:
        raise Decline("the two halves have different angles")
    angles = op.Reshape(node.inputs[0], target)
    for each in reversed(chain):
        if each.op_type not in ("Unsqueeze", "Identity"):
            angles = getattr(op, each.op_type)(angles, like=each)
    return angles  # type: ignore[no-any-return]
