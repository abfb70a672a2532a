"""How to give a tensor another shape by one node with nothing to compute."""

from __future__ import annotations

from collections.abc import Container

import numpy as np

from onnxforge import Builder, Value
from onnxforge.shapes import DimLike, Shape, at_least, known_equal

from .axes import input_since


def reshaped(
    op: Builder, x: Value, after: Shape, version: int, *, nonempty: Container[int] = ()
) -> Value | None:
    """*x* as a tensor of another shape; None if no constant says it.  *version* is the opset's.

    It is an Unsqueeze or a Squeeze where that will do, which asks nothing of the other sizes, else
    a Reshape, for which see `reshape_target`.
    """
    new: Value
    for name, fewer, more in (("Unsqueeze", x.shape, after), ("Squeeze", after, x.shape)):
        if more is None or None in more:
            continue
        if fewer == tuple(size for size in more if size != 1) != more:
            axes = [axis for axis, size in enumerate(more) if size == 1]
            if version < input_since(name):
                new = getattr(op, name)(x, axes=axes)
            else:
                new = getattr(op, name)(x, np.array(axes, np.int64))
            return new
    target = reshape_target(x.shape, after, nonempty=nonempty) if version >= 5 else None
    if target is None:
        return None
    new = op.Reshape(x, np.array(target, np.int64))
    return new


def reshape_target(
    before: Shape | None, after: Shape, *, nonempty: Container[int] = ()
) -> list[int] | None:
    """The target that reshapes *before* to *after*, whatever the symbols are; None if none does.

    0 copies a size, and -1 stands for what the others leave, unless one of them may be zero:
    runtimes then fail, which a target with all sizes spelt out does not.  Of the result, the axes
    in *nonempty* are not of size zero.
    """
    target: list[int] = []
    inferred: int | None = None
    for axis, size in enumerate(after):
        source = before[axis] if before is not None and axis < len(before) else None
        if isinstance(size, int) and size != 0:
            target.append(size)
        elif known_equal(size, source):
            target.append(0)
        elif inferred is None:
            inferred = axis
            target.append(-1)
        else:
            return None
    others = [axis for axis in range(len(after)) if axis != inferred and inferred is not None]
    if not all(at_least(after[a], 1) or (a in nonempty and after[a] != 0) for a in others):
        return None
    return target


def elements(shape: Shape) -> DimLike:
    """How many elements there are in a tensor of that shape; None if that cannot be told."""
    found: DimLike = 1
    for size in shape:
        try:
            found = None if size is None or found is None else found * size
        except ArithmeticError:  # too complex
            return None
    return found
