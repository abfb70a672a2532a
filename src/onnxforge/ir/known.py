"""What is known of one value, and how two such facts are put together."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from onnx import TensorProto, TypeProto, helper

from onnxforge import shapes
from onnxforge.shapes import DimLike, KnownInput, ShapeValue
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
    has_gaps: bool = field(init=False, compare=False, repr=False)
    """Whether nothing is known of some of its sizes, or not even how many there are."""
    has_symbols: bool = field(init=False, compare=False, repr=False)
    """Whether some of its sizes are expressions."""
    is_sized: bool = field(init=False, compare=False, repr=False)
    """Whether it is of a tensor with nothing unknown about its size, which is not empty."""
    is_complete: bool = field(init=False, compare=False, repr=False)
    """Whether there is nothing that symbols, or following contents, could add."""
    could_be_shape: bool = field(init=False, compare=False, repr=False)
    """Whether a tensor is one that shapes are made of."""

    _hash: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        shape = self.shape
        has_gaps, has_symbols = shape is None, False
        is_sized = shape is not None and self.dtype is not None
        for size in shape or ():
            if size is None:
                has_gaps, is_sized = True, False
            elif not isinstance(size, int):
                has_symbols, is_sized = True, is_sized and size.is_named
        if self.given is not None and is_sized:
            is_sized = self.given.HasField("tensor_type")
        is_flat = shape is None or len(shape) < 2
        is_complete = is_sized
        if shape is not None and is_flat and self.dtype in _SHAPE_DTYPES:
            is_complete = self.value is not None and self.value.constants() is not None
        vars(self).update(
            has_gaps=has_gaps,
            has_symbols=has_symbols,
            is_sized=is_sized,
            is_complete=is_complete,
            could_be_shape=is_flat and (self.dtype is None or self.dtype in _SHAPE_DTYPES),
            _hash=hash((shape, self.dtype, self.value)),
        )

    def __hash__(self) -> int:
        # There are few of them, and each is looked up often.
        return self._hash

    @cached_property
    def type(self) -> TypeProto | None:
        """The same as a protobuf, without the symbols nobody named; for what is no tensor too."""
        if self.given is None and self.dtype is not None:
            return shapes.tensor_type(self.dtype, self.shape)
        return self.given

    @property
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
        if self.dtype is None and self.given is None:
            return inherited
        if self._contradicts(inherited):
            return self
        if self.dtype is None and self.shape is None:
            return replace(inherited, value=self.value or inherited.value)
        known = replace(
            self, dtype=self.dtype or inherited.dtype, value=self.value or inherited.value
        )
        return known.refined(inherited.shape)

    def _contradicts(self, other: Known) -> bool:
        """Whether no value can be as both say, or *other* says nothing of the type."""
        if self.given is not None or other.given is not None:
            type, before = self.type, other.type
            return before is None or type is None or shapes.contradicts(before, type)
        if self.dtype != other.dtype:
            return True
        if self.shape is None or other.shape is None:
            return False
        return len(self.shape) != len(other.shape) or any(
            isinstance(size, int) and isinstance(too, int) and size != too
            for size, too in zip(self.shape, other.shape, strict=True)
        )

    def holding(self, value: ShapeValue | None) -> Known:
        """The same of a value with these contents."""
        return self if value == self.value else Known(self.shape, self.dtype, value, self.given)

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
