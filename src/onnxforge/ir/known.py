"""What is known of one value, and how two such facts are put together."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from onnx import TensorProto, TypeProto, helper

from onnxforge import shapes
from onnxforge.shapes import Dim, DimLike, KnownInput, is_named
from onnxforge.storage import from_array

# Longer tensors are no shapes, and not worth reading.
MAX_LENGTH = 64
_SHAPE_DTYPES = frozenset((TensorProto.BOOL, TensorProto.INT32, TensorProto.INT64))


@dataclass(frozen=True)
class Known(KnownInput):
    """What is known of one value.

    `shape` and `value`, the elements of a small integer tensor, have symbols, also for sizes that
    nobody named.  `given` is the type as ONNX says it, where dtype and shape do not say it all.
    """

    given: TypeProto | None = field(default=None, hash=False)

    @cached_property
    def _hash(self) -> int:
        return hash((self.shape, self.dtype, self.value))

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def type(self) -> TypeProto | None:
        """The same as a protobuf, without the symbols nobody named; for what is no tensor too."""
        if self.given is None and self.dtype is not None:
            return shapes.tensor_type(self.dtype, self.shape)
        return self.given

    @cached_property
    def has_gaps(self) -> bool:
        """Whether nothing is known of some of its sizes."""
        return self.shape is not None and any(size is None for size in self.shape)

    @cached_property
    def has_symbols(self) -> bool:
        """Whether some of its sizes are expressions."""
        return any(isinstance(size, Dim) for size in self.shape or ())

    @cached_property
    def is_sized(self) -> bool:
        """Whether it is of a tensor with nothing unknown about its size, which is not empty."""
        if self.shape is None or self.dtype is None:
            return False
        if not all(map(is_named, self.shape)):
            return False
        return self.given is None or self.given.HasField("tensor_type")

    @cached_property
    def is_complete(self) -> bool:
        """Whether there is nothing that symbols, or following contents, could add."""
        if self.shape is None:
            return False
        if len(self.shape) < 2 and self.dtype in _SHAPE_DTYPES:
            return self.value is not None and self.value.constants() is not None
        return self.is_sized

    @cached_property
    def is_fixed(self) -> bool:
        """Whether it is complete, and there are no symbols in it."""
        return self.is_complete and not self.has_symbols

    @property
    def says_all(self) -> bool:
        """Whether nothing more is learned from the data of a value so known."""
        if not self.is_sized or self.shape is None:
            return False
        if self.value is not None and self.value.constants() is not None:
            return True
        return len(self.shape) > 1 or any(
            isinstance(size, int) and size > MAX_LENGTH for size in self.shape
        )

    @cached_property
    def could_be_shape(self) -> bool:
        """Whether a tensor is one that shapes are made of."""
        if self.dtype not in _SHAPE_DTYPES and self.dtype is not None:
            return False
        return self.shape is None or len(self.shape) <= 1

    @property
    def tensor(self) -> TensorProto | None:
        """The tensor whose elements are all known."""
        numbers = self.value.constants() if self.value is not None else None
        if numbers is None or self.dtype is None or self.value is None:
            return None
        array = np.array(numbers, helper.tensor_dtype_to_np_dtype(self.dtype))
        return from_array(array.reshape(self.value.shape), "")

    def refined(self, shape: tuple[DimLike, ...] | None) -> Known:
        """What is known, with the sizes that only our own rules find."""
        if shape is None:
            return self
        if self.shape is not None:
            if len(self.shape) != len(shape):
                return self
            pairs = zip(self.shape, shape, strict=True)
            shape = tuple(new if size is None else size for size, new in pairs)
        return Known(shape, self.dtype, self.value, self.given if self.dtype is None else None)

    def completed(self, inherited: Known) -> Known:
        """What is known, and what *inherited* adds to it if the two agree."""
        if self.is_complete and (self.value is not None or inherited.value is None):
            return self
        type, before = self.type, inherited.type
        if type is None:
            return inherited
        if before is None or shapes.contradicts(before, type):
            return self
        if self.dtype is None and self.shape is None:
            return replace(inherited, value=self.value or inherited.value)
        known = replace(
            self, dtype=self.dtype or inherited.dtype, value=self.value or inherited.value
        )
        return known.refined(inherited.shape)

    def common(self, other: Known) -> Known:
        """What is known of two values alike."""
        if self.dtype is None or self.dtype != other.dtype:
            return NOTHING
        shape: tuple[DimLike, ...] | None = None
        if (
            self.shape is not None
            and other.shape is not None
            and len(self.shape) == len(other.shape)
        ):
            pairs = zip(self.shape, other.shape, strict=True)
            shape = tuple(size if size == too else None for size, too in pairs)
        return Known(shape, self.dtype)


NOTHING = Known()
