"""What kernels are made with: the node they stand for, its inputs, and how to decline."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from onnxforge import Node

Array: TypeAlias = npt.NDArray[Any]

MAX_ELEMENTS = 1 << 12
"""Larger arrays are for a runtime to make."""
# The floats whose sums, differences, products and quotients NumPy rounds right.
FLOATS = (np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64))


class Undefined(Exception):  # noqa: N818 - not an error of ours: the model has no answer here
    """The node fails on these inputs, or its answer depends on the machine it runs on."""


class Unsupported(Exception):  # noqa: N818 - not an error: a runtime will do it
    """No kernel covers this case."""


@dataclass(frozen=True, slots=True)
class Call:
    """A node, and the arrays it is applied to: None for inputs left out."""

    node: Node
    inputs: Sequence[Array | None]

    def has(self, index: int) -> bool:
        """Whether an input is given."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def __getitem__(self, index: int) -> Array:
        """An input that must be given."""
        array = self.inputs[index] if index < len(self.inputs) else None
        if array is None:
            raise Unsupported
        return array

    @property
    def operands(self) -> list[Array]:
        """All inputs, which must be given."""
        return [self[index] for index in range(len(self.inputs))]

    def attribute(self, name: str) -> Any:
        """An attribute, or its default."""
        return self.node.attribute(name)

    def numbers(self, index: int, name: str) -> list[int] | None:
        """Integers that older opsets have as an attribute, newer ones as an input."""
        if self.has(index):
            numbers: list[int] = self[index].reshape(-1).tolist()
            return numbers
        given = self.attribute(name)
        return None if given is None else list(given)


Kernel: TypeAlias = Callable[[Call], Sequence[Any]]
kernels: dict[str, Kernel] = {}


def kernel(*op_types: str) -> Callable[[Kernel], Kernel]:
    """Register the kernel of some operators of ONNX."""

    def register(function: Kernel) -> Kernel:
        kernels.update(dict.fromkeys(op_types, function))
        return function

    return register


def room(shape: Sequence[int], beside: int = 0) -> tuple[int, ...]:
    """A shape, if an array of it is small, or no larger than the elements there are *beside* it."""
    if math.prod(shape) > max(MAX_ELEMENTS, beside):
        raise Unsupported
    return tuple(shape)
