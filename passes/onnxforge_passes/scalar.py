"""Constants that are one number."""

from __future__ import annotations

import numpy as np

from onnxforge import Decline, Value


def scalar(constant: Value, x: Value) -> float:
    """The one number that a constant is, which broadcasts to *x* without raising its rank.

    Raises `Decline` if it is not one, or infinite, or no number.
    """
    array = constant.numpy()
    if array.size != 1 or (array.ndim and (x.rank is None or array.ndim > x.rank)):
        raise Decline("the constant is not one number")
    found = float(array.reshape(()))
    if not np.isfinite(found):
        raise Decline("the constant is infinite, or no number")
    return found
