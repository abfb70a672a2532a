"""The contents of small integer tensors - shapes under construction - followed symbolically.

Exporters compute shapes at run time: Shape, Gather, Concat, Reshape.  The rules repeat that
arithmetic on expressions, each as the ONNX specification of its operator says, dtype included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import copysign
from typing import Any

import numpy as np

from onnxforge.shapes import value_arithmetic, value_movement
from onnxforge.shapes.call import MAX_ELEMENTS, Call, KnownInput, ShapeValue

_rules = value_movement.rules | value_arithmetic.rules


def propagate(
    op_type: str,
    domain: str,
    attributes: Mapping[str, Any],
    opset: int,
    inputs: Sequence[KnownInput | None],
    outputs: int = 1,
) -> list[ShapeValue | None]:
    """What the outputs of an operator contain, None for each that is not known.

    An input that is left out is None; *outputs* is how many outputs the node names, which Split
    depends on.  What a node that fails would answer is not asked: anything fits it.
    """
    if domain not in ("", "ai.onnx"):
        return [None] * outputs
    values = _rules.apply(Call(op_type, attributes, opset, inputs, outputs))
    return [v if v is not None and len(v.elements) <= MAX_ELEMENTS else None for v in values]


def follows(op_type: str) -> bool:
    """Whether there is a rule for the contents of this operator's outputs."""
    return op_type in _rules


def value_of(array: np.ndarray[Any, Any]) -> ShapeValue | None:
    """The contents of a constant, or None if it is no small tensor of whole numbers."""
    if array.ndim > 1 or array.size > MAX_ELEMENTS or array.dtype.kind not in "iubf":
        return None
    if array.dtype.kind == "f" and array.dtype not in (np.float16, np.float32, np.float64):
        return None  # some types of ml_dtypes pass for floats, and numpy knows nothing of them
    numbers = array.reshape(-1).tolist()
    if array.dtype.kind == "f" and not all(map(_is_whole, numbers)):
        return None
    elements = tuple(map(int, numbers))
    if array.dtype.kind == "f" and max(map(abs, elements), default=0) > _exact(array.dtype):
        return None
    return ShapeValue(elements, array.ndim)


def _is_whole(number: float) -> bool:
    """Whether a float is a whole number, -0.0 being none."""
    return number.is_integer() and (number != 0 or copysign(1, number) > 0)


@lru_cache(None)
def _exact(dtype: np.dtype[Any]) -> int:
    """Up to where a float type has all whole numbers."""
    bits: int = np.finfo(dtype).nmant
    return 1 << bits
