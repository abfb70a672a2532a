"""Scaled dot product attention, as exporters spell it, and its heads side by side in rows."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from itertools import starmap
from math import prod
from typing import Any

import numpy as np
from onnx import TensorProto

from onnxforge import Const, Decline, Match, Node, Value
from onnxforge.shapes import DimLike, known_equal

from .fusion import Fusion
from .split_deferral import split_into

# How q, k and v lie: [batch, heads, rows, size], of which transposing makes [batch, rows, ...].
SWAPPED = [0, 2, 1, 3]
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)


@dataclass(frozen=True)
class Heads:
    """What attention is computed of, all [batch, heads, rows, size], and at what scale.

    `count` is the number of heads, `size` that of the numbers in a row of the values.
    `mask` is added to the scores.  If `guarded`, weights that are no numbers count as zeros, as
    they are where a whole row is masked by minus infinity.
    """

    q: Value
    k: Value
    v: Value
    count: int
    size: int
    mask: Value | None
    scale: float
    guarded: bool


class Attention(Fusion):
    """Finds softmax(scale * q @ k.T + mask) @ v.

    The scale may be on either side, or split, and the mask may be missing.
    """

    def pattern(
        self,
        op: Any,
        q: Value,
        kt: Value,
        v: Value,
        mask: Value,
        q_times: Const,
        q_by: Const,
        k_times: Const,
        times: Const,
        by: Const,
    ) -> Any:
        """The weighted sum of the values."""
        left = op.any(op.Mul(q, q_times), op.Div(q, q_by), q)
        scores = op.MatMul(left, op.any(op.Mul(kt, k_times), kt))
        scaled = op.any(op.Mul(scores, times), op.Div(scores, by), scores)
        weights = op.Softmax(op.any(op.Add(scaled, mask), scaled))
        return op.MatMul(op.any(guarded(op, weights), weights), v)

    def rewrite(
        self,
        op: Any,
        match: Match,
        q: Value,
        kt: Value,
        v: Value,
        mask: Value | None,
        q_times: Const | None,
        q_by: Const | None,
        k_times: Const | None,
        times: Const | None,
        by: Const | None,
    ) -> Any:
        """What `fused` makes of it."""
        nodes = {node.op_type: node for node in match.nodes}
        if nodes["Softmax"].attribute("axis") not in (-1, 3) or q.rank != 4:
            raise Decline("the weights of a row are not normalized together")
        scale = prod(map(_number, (q_times, k_times, times))) / (_number(q_by) * _number(by))
        if not scale > 0:
            raise Decline("operators scale by the square of a root, and so by no negative number")
        k = _untransposed(op, kt)
        count, size = _fit(q, k, v)
        return self.fused(op, Heads(q, k, v, count, size, mask, scale, "IsNaN" in nodes))

    @abstractmethod
    def fused(self, op: Any, heads: Heads) -> Any:
        """Draw what attends, and return [batch, heads, rows, size]."""


def guarded(op: Any, weights: Any) -> Any:
    """Weights with zeros where they are no numbers, as torch's exporters write it."""
    return op.Where(op.IsNaN(weights), 0.0, weights)


def require_cache(match: Match, causal: str) -> None:
    """Raise `Decline` if an attention cannot join what the first two nodes of a match do.

    *causal* is the attribute by which the last one masks later rows.
    """
    keys, values = match.nodes[:2]
    if any(node.attribute("axis") not in (2, -2) for node in (keys, values)):
        raise Decline("not rows are joined")
    # There are as many of both in all, so that what is past or new says it of the other.
    if not any(map(_as_many_rows, keys.inputs, values.inputs)):
        raise Decline("keys and values are not known to be joined at one place")
    if match.root.attribute(causal):
        raise Decline("which rows are later counts from the end of a cache, else from the start")


def _as_many_rows(k: Value | None, v: Value | None) -> bool:
    shapes = [each.shape for each in (k, v) if each is not None and each.shape is not None]
    return [len(shape) for shape in shapes] == [4, 4] and known_equal(*(s[2] for s in shapes))


def as_rows(op: Any, value: Value) -> Value | None:
    """The heads side by side, [batch, rows, heads * size], if a Transpose took them apart.

    What is drawn to put them together is a Reshape that the one ahead of the Transpose undoes.
    """
    node, shape = value.producer, value.shape
    if node is None or shape is None or not all(isinstance(n, int) for n in (shape[1], shape[3])):
        return None
    width = _width(shape)
    if node.op_type == "Transpose" and node.attribute("perm") == SWAPPED:
        assert node.inputs[0] is not None
        return _beside(op, node.inputs[0], width)
    if shape[2] == 1:
        return op.Reshape(value, np.array([0, 1, width]))  # type: ignore[no-any-return]
    if node.op_type == "Split" and node.attribute("axis") in (1, -3):
        return _split_rows(op, node, value)
    if node.op_type == "Gather" and node.attribute("axis") in (1, -3):
        return _gathered_rows(op, node, width)
    return None


def as_heads(op: Any, rows: Value, count: int, size: int) -> Value:
    """The heads taken apart: [batch, heads, rows, size]."""
    apart = op.Reshape(rows, np.array([0, 0, count, size]))
    return op.Transpose(apart, perm=SWAPPED)  # type: ignore[no-any-return]


def _number(value: Const | None) -> float:
    """The one number that a constant is; 1 if there is none."""
    if value is None:
        return 1.0
    array = value.numpy(np.float64)
    if array.size != 1 or array.ndim > 4 or not np.isfinite(array).all() or not array.any():
        raise Decline("the scale is not one number")
    return float(array.reshape(()))


def _untransposed(op: Any, kt: Value) -> Value:
    """The keys, of which *kt* is [batch, heads, size, rows]."""
    node = kt.producer
    if node is not None and node.op_type == "Transpose" and node.inputs[0] is not None:
        match node.attribute("perm"):
            case [0, 1, 3, 2]:
                return node.inputs[0]
            case [0, 2, 3, 1]:
                return op.Transpose(node.inputs[0], perm=SWAPPED)  # type: ignore[no-any-return]
    raise Decline("the keys are not transposed")


def _fit(*heads: Value) -> tuple[int, int]:
    """How many heads there are, and the size of the values'.  Raises `Decline` if they do not fit."""
    shapes = [each.shape for each in heads if each.shape is not None and len(each.shape) == 4]
    if len(shapes) == 3 and len({each.dtype for each in heads}) == 1:
        q, k, v = shapes
        same = [(q[0], k[0]), (q[1], k[1]), (q[3], k[3]), *zip(k[:3], v[:3], strict=True)]
        count, size = q[1], v[3]
        if isinstance(count, int) and isinstance(size, int) and all(starmap(known_equal, same)):
            return count, size
    raise Decline("q, k and v are not known to be of one batch and as many heads")


def _width(shape: tuple[DimLike, ...]) -> int:
    heads, size = shape[1], shape[3]
    assert isinstance(heads, int)
    assert isinstance(size, int)
    return heads * size


def _beside(op: Any, apart: Value, width: int) -> Value:
    """[batch, rows, heads * size] of [batch, rows, heads, size]."""
    split = apart.producer
    if split is not None and split.op_type == "Split" and split.attribute("axis") in (2, -2):
        shapes = [each.shape for each in split.outputs]
        widths = [
            s[2] * s[3] for s in shapes if s and isinstance(s[2], int) and isinstance(s[3], int)
        ]
        if len(widths) == len(shapes):
            whole = op.Reshape(split.inputs[0], np.array([0, 0, sum(widths)]))
            return split_into(op, whole, 2, widths)[split.outputs.index(apart)]
    return op.Reshape(apart, np.array([0, 0, width]))  # type: ignore[no-any-return]


def _split_rows(op: Any, split: Node, part: Value) -> Value | None:
    """One part of heads that were split, as rows that are."""
    assert split.inputs[0] is not None
    rows = as_rows(op, split.inputs[0])
    shapes = [each.shape for each in split.outputs]
    if rows is None or any(s is None or not isinstance(s[1], int) for s in shapes):
        return None
    widths = [_width(shape) for shape in shapes if shape is not None]
    return split_into(op, rows, 2, widths)[split.outputs.index(part)]


def _gathered_rows(op: Any, gather: Node, width: int) -> Value | None:
    """Heads that are chosen from others, as rows."""
    heads, indices = gather.inputs
    apart = heads.producer if heads is not None else None
    if apart is None or apart.op_type != "Transpose" or apart.attribute("perm") != SWAPPED:
        return None
    if indices is None or indices.rank != 1:
        return None
    chosen = op.Gather(apart.inputs[0], indices, axis=2)
    return op.Reshape(chosen, np.array([0, 0, width]))  # type: ignore[no-any-return]
