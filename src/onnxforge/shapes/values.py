"""The contents of small integer tensors - shapes under construction - followed symbolically.

Exporters compute shapes at run time: Shape, Gather, Concat, Reshape.  The rules repeat that
arithmetic on expressions, each as the ONNX specification of its operator says, dtype included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    if array.dtype.kind == "f":
        whole = (
            np.isfinite(array) & (array == np.trunc(array)) & ~(np.signbit(array) & (array == 0))
        )
        if not whole.all() or (np.abs(array) > 2 ** np.finfo(array.dtype).nmant).any():
            return None
    return ShapeValue(tuple(int(number) for number in array.reshape(-1)), array.ndim)
