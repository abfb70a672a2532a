"""How exporters spell normalizations: a mean, a square, and a division by a standard deviation."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxforge import Const, Decline, Match, Node, Value

from .fusion import Fusion

Axes = tuple[int, ...]

# As many as a wide model has channels, all of whose layers share them.
_MOST_ONES = 8192


class Standardization(Fusion):
    """Finds (x - mean) / sqrt(variance + eps), as both torch exporters, TF and Paddle write it."""

    def pattern(
        self, op: Any, x: Value, axes: Const | None, axes2: Const | None, eps: Const
    ) -> Any:
        """The deviations divided by the standard deviation."""
        d = _deviations(op, x, axes)
        return op.Div(d, _root(op, _variance(op, d, axes2), eps))

    def pattern_reciprocal(
        self, op: Any, x: Value, axes: Const | None, axes2: Const | None, eps: Const
    ) -> Any:
        """The deviations times the reciprocal of the standard deviation."""
        d = _deviations(op, x, axes)
        return op.Mul(d, reciprocal_root(op, _variance(op, d, axes2), eps))


def standardized(op: Any, x: Any, axes: Const | None, axes2: Const | None, eps: Const) -> Any:
    """(x - mean) / sqrt(variance + eps), divided or multiplied with the reciprocal."""
    d = _deviations(op, x, axes)
    variance = _variance(op, d, axes2)
    return op.any(
        op.Div(d, _root(op, variance, eps)), op.Mul(d, reciprocal_root(op, variance, eps))
    )


def square(op: Any, x: Any) -> Any:
    """A value times itself."""
    return op.any(op.Mul(x, x), op.Pow(x, 2.0))


def reciprocal_root(op: Any, x: Any, eps: Const) -> Any:
    """1 / sqrt(x + eps)."""
    root = _root(op, x, eps)
    return op.any(op.Reciprocal(root), op.Div(1.0, root), op.Pow(op.Add(x, eps), -0.5))


def _deviations(op: Any, x: Any, axes: Const | None) -> Any:
    return op.Sub(x, op.ReduceMean(x, axes, keepdims=1))


def _variance(op: Any, deviations: Any, axes: Const | None) -> Any:
    return op.ReduceMean(square(op, deviations), axes, keepdims=1)


def _root(op: Any, x: Any, eps: Const) -> Any:
    return op.any(op.Sqrt(op.Add(x, eps)), op.Pow(op.Add(x, eps), 0.5))


def reduced_axes(match: Match, x: Value) -> Axes:
    """The axes that every reduction of the match is over, counted from 0 and sorted.

    Raises `Decline` if they differ, or are not known.
    """
    found = {_axes(node, x) for node in match.nodes if node.op_type.startswith("Reduce")}
    if len(found) != 1:
        raise Decline("the reductions are not over the same axes")
    return found.pop()


def _axes(node: Node, x: Value) -> Axes:
    given = node.input(1)
    axes = given.numpy().reshape(-1).tolist() if given is not None else node.attribute("axes")
    if not axes or not x.rank:
        raise Decline("the axes of a reduction are not known")
    return tuple(sorted({axis % x.rank for axis in axes}))


def number(eps: Const, x: Value) -> float:
    """The one number that a constant is, if it does not raise the rank of *x*.

    Raises `Decline` otherwise, or if the number is negative, or none.
    """
    array = eps.numpy()
    if array.size != 1 or x.rank is None or array.ndim > x.rank:
        raise Decline("epsilon is not one number")
    epsilon = float(array.reshape(()).astype(np.float64))
    if not 0 <= epsilon < np.inf:
        raise Decline("epsilon is negative, infinite or no number")
    return epsilon


def unit_scale(match: Match, shape: tuple[int, ...], dtype: Any) -> Any:
    """The scale of ones of a normalization that has none, for elements of that shape.

    Raises `Decline` if they are many and nothing that scales the result takes their place.
    """
    if np.prod(shape) > _MOST_ONES and not _is_scaled(match.outputs[0], shape):
        raise Decline("a scale of ones would weigh more than the nodes that go")
    return np.ones(shape, dtype)


def _is_scaled(value: Value, shape: tuple[int, ...]) -> bool:
    """Whether the value is only read to be scaled by a constant of that shape."""
    readers = list(value.consumers)
    return len(readers) == 1 and any(
        v is not None and v.is_constant and v.shape == shape
        for v in readers[0].inputs
        if readers[0].op_type == "Mul"
    )


def sizes(x: Value, axes: Axes) -> tuple[int, ...]:
    """The numbers of elements along the axes.

    Raises `Decline` if one is unknown or zero.
    """
    shape = x.shape or ()
    found = tuple(each for axis in axes if isinstance(each := shape[axis], int) and each > 0)
    if len(found) != len(axes):
        raise Decline("the size of an axis is not a known number")
    return found
