"""Operators on small arrays, in NumPy: for the arithmetic of shapes, a session costs too much.

A kernel is here only where NumPy gives, bit for bit, what ONNX asks for.  Anything else is left to
a runtime, and what no runtime can be relied upon to answer is not answered at all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnxforge import Node

from . import arithmetic as _arithmetic  # noqa: F401 - registers its kernels
from . import movement as _movement  # noqa: F401 - registers its kernels
from .call import MAX_ELEMENTS, Array, Call, Undefined, Unsupported, kernels

__all__ = ["MAX_ELEMENTS", "Array", "Undefined", "compute"]


def compute(node: Node, inputs: Sequence[Array | None]) -> list[Array] | None:
    """The outputs of *node*, or None where only a runtime can tell.

    Raises `Undefined` if the node would fail, or answer differently on different machines.
    """
    kernel = kernels.get(node.op_type) if not node.domain else None
    if kernel is None:
        return None
    try:
        with np.errstate(all="ignore"):
            results = kernel(Call(node, inputs))
    except Unsupported:
        return None
    except (ArithmeticError, IndexError, TypeError, ValueError) as error:
        raise Undefined(str(error)) from error
    return [np.asarray(result) for result in results]
