"""Inputs to try a computation on: what a value could be, by its type and by how it is read."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias

import ml_dtypes
import numpy as np
from onnx import TypeProto, helper

from onnxforge import shapes
from onnxforge.ir import Value
from onnxforge.shapes import Dim, DimLike, ShapeValue, is_named

from . import roles
from .compare import is_float

if TYPE_CHECKING:
    import numpy.typing as npt

    Array: TypeAlias = npt.NDArray[Any]

MAX_ELEMENTS = 1 << 26
"""Elements of the largest tensor that is made up."""
_LARGE = 1 << 20
"""Elements from which float32 will do, for the sake of memory."""
_TEXTS = ("", "a", "onnx", "zwei Wörter", "42")
_DISTINCT = (2, 3, 5, 7, 4, 6, 9, 8, 11, 13)


class CannotSample(Exception):  # noqa: N818 - not an error: a reason why a check is left out
    """Nothing can be made up that the value could be; the message says why."""


class Mood(Enum):
    """What the numbers are like."""

    ORDINARY = "around 0, both zeros among them"
    EXTREME = "from 1e-4 to 30, integers at the ends of what they may be, and all bools true"
    POSITIVE = "above 0, integers small, and a bool by itself false"
    TIES = "few different ones, thresholds and halves among them, so that many are equal"
    SMALL = "around 0.001, and rows of zeros"
    LARGE = "from 100 to 10,000, and integers of any size"
    NOT_FINITE = "as ordinary, with NaN and infinities in places"
    NATURAL = "as people feed models: pixels from 0 to 1, tokens and masks not negative"


_INTEGERS = {
    Mood.NATURAL: (0, 9),
    Mood.POSITIVE: (1, 4),
    Mood.EXTREME: (-200, 255),
    Mood.TIES: (-2, 2),
}
_HALVES = (-1.5, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 1.5, 2.5)


class Sampler:
    """Makes up values; the same name, sizes, mood and seed always give the same.

    *sizes* are those of symbolic dimensions; a symbol without one gets a small size unlike the
    others, and keeps it, so that all values of one sampler fit together.  *unknown* is the symbol
    that stands for dimensions of which nothing is known, `{name}` and `{axis}` being filled in;
    without it they cannot be sampled.  *thresholds* are what numbers are compared to.
    """

    def __init__(
        self,
        sizes: Mapping[str, int] | None = None,
        mood: Mood = Mood.ORDINARY,
        *,
        unknown: str = "",
        seed: int = 0,
        thresholds: Sequence[float] = (),
    ) -> None:
        self.sizes = dict(sizes or {})
        self.mood = mood
        self.unknown = unknown
        self.seed = seed
        self.thresholds = thresholds

    def __call__(self, value: Value) -> Any:
        """What *value* could be: an array; for sequences a list, for maps a dict.

        Raises `CannotSample` if its type or rank is unknown, or it would be too large.
        """
        type = value.type
        kind = type.WhichOneof("value") if type is not None else None
        if type is None or kind is None:
            raise CannotSample(f"the type of {value.name!r} is not known")
        random = np.random.default_rng(
            zlib.crc32(f"{value.name} {self.mood.name} {self.seed}".encode())
        )
        if kind == "tensor_type":
            return self._tensor(value, random)
        return self._other(value, type, random)

    def shape(self, value: Value) -> tuple[int, ...]:
        """The concrete shape *value* has here.  Raises `CannotSample` if it cannot be told."""
        if value.shape is None:
            raise CannotSample(f"the rank of {value.name!r} is not known")
        return self._concrete(value.name, value.shape)

    def size(self, symbol: str) -> int:
        """The size of a symbolic dimension."""
        if symbol not in self.sizes:
            taken = len(self.sizes)
            self.sizes[symbol] = _DISTINCT[taken] if taken < len(_DISTINCT) else 2 + taken
        return self.sizes[symbol]

    def _concrete(self, name: str, shape: Iterable[DimLike]) -> tuple[int, ...]:
        sizes = []
        for axis, size in enumerate(shape):
            concrete = self._evaluate(size)
            if not is_named(size) and self.unknown:
                concrete = self.size(self.unknown.format(name=name, axis=axis))
            if concrete is None:
                raise CannotSample(f"a dimension of {name!r} is not known")
            if concrete < 0:
                raise CannotSample(f"{name!r} would have a negative size")
            sizes.append(concrete)
        if math.prod(sizes) > MAX_ELEMENTS:
            raise CannotSample(f"{name!r} has {math.prod(sizes):,} elements")
        return tuple(sizes)

    def _evaluate(self, size: DimLike) -> int | None:
        if size is None or isinstance(size, int):
            return size
        if not size.is_named:
            return None
        try:
            result = size.subs({symbol: self.size(symbol) for symbol in size.symbols})
        except ArithmeticError:
            return None
        return result if isinstance(result, int) else None

    def _tensor(self, value: Value, random: np.random.Generator) -> Array:
        shape = self.shape(value)
        dtype = _dtype(value.dtype, value.name)
        if value.contents is not None and (known := self._known(value.contents, shape)) is not None:
            return known.astype(dtype)
        if dtype == object:
            texts = roles.texts_of(value) or list(_TEXTS)
            return np.array(
                [random.choice(texts) for _ in range(math.prod(shape))] or [""], object
            )[: math.prod(shape)].reshape(shape)
        if is_float(dtype):
            return self._floats(value, shape, dtype, random)
        if dtype == np.bool_:
            return self._bools(value, shape, random)
        return self._integers(value, shape, dtype, random)

    def _known(self, contents: ShapeValue, shape: tuple[int, ...]) -> Array | None:
        """The contents of a value that is computed from shapes, which must agree with them."""
        numbers = [self._evaluate(element) for element in contents.elements]
        if None in numbers or len(numbers) != math.prod(shape):
            return None
        return np.array(numbers, np.int64).reshape(shape)

    def _floats(
        self,
        value: Value,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        random: np.random.Generator,
    ) -> Array:
        wide = np.float32 if math.prod(shape) > _LARGE else np.float64
        numbers: Array = random.standard_normal(shape, wide)
        if dtype.kind == "c":
            numbers = numbers + 1j * random.standard_normal(shape)
        flat = numbers.reshape(-1)
        role = roles.role_of(value, self._sizes_of)
        if role is not None and role.choices:
            filled: Array = roles.fill(role, shape, random).astype(dtype)
            return filled
        if self.mood is Mood.NATURAL:
            if _is_mask(value):
                return _mask(shape, random).astype(dtype)
            if len(shape) == 4 and (shape[1] in (1, 3, 4) or shape[3] in (1, 3, 4)):
                return random.random(shape, wide).astype(dtype)
            return numbers.astype(dtype)
        if self.mood is Mood.POSITIVE:
            return (np.abs(numbers) + 0.1).astype(dtype)
        if self.mood is Mood.TIES:
            around = [number for each in self.thresholds for number in (each, -each, 2 * each)]
            return _mixed(random.choice(_HALVES, shape), around, random).astype(dtype)
        if self.mood is Mood.SMALL:
            # The squares of what is smaller a type of 16 bits could not tell from 0.
            numbers *= 1e-3 if dtype.itemsize > 2 else 0.1
            if numbers.ndim > 1 and len(numbers) > 1:
                numbers[0] = 0
            return numbers.astype(dtype)
        if self.mood is Mood.LARGE:
            # More of one sign, lest sums cancel that might overflow.
            flat[:] = np.where(flat < -1, -1, 1) * 10 ** random.uniform(2, 4, flat.shape)
            return numbers.astype(dtype)
        if self.mood is Mood.EXTREME:
            flat *= 10 ** random.uniform(-4, 1.2, flat.shape)
            np.clip(flat.real, -30, 30, out=flat.real)
        if flat.size >= 4:
            _sprinkle(flat, (0.0, -0.0), random)
        if self.mood is Mood.NOT_FINITE:
            _sprinkle(flat, (np.nan, np.inf, -np.inf), random)
        return numbers.astype(dtype)

    def _bools(self, value: Value, shape: tuple[int, ...], random: np.random.Generator) -> Array:
        if _is_mask(value):
            return _mask(shape, random)
        if self.mood is Mood.EXTREME:
            return np.ones(shape, np.bool_)
        # What decides between two branches must have decided for each of them.
        if self.mood is Mood.POSITIVE and math.prod(shape) == 1:
            return np.zeros(shape, np.bool_)
        return random.random(shape) < 0.5

    def _integers(
        self,
        value: Value,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        random: np.random.Generator,
    ) -> Array:
        limits = ml_dtypes.iinfo(dtype)  # type: ignore[no-untyped-call]  # a class written in C
        role = roles.role_of(value, self._sizes_of)
        if role is None and self.mood is Mood.NATURAL and _is_mask(value):
            return _mask(shape, random).astype(dtype)
        lowest, highest = int(limits.min), min(int(limits.max), 2**63 - 1)
        special: Sequence[float] = ()
        if role is None:
            low, high = _INTEGERS.get(self.mood, (-4, 9))
            if self.mood is Mood.LARGE:
                # The lowest of all divided by -1 ends the process that tries it.
                low, high = lowest + 1, highest
                special = low, high
            elif self.mood is Mood.TIES:
                special = [int(each) + step for each in self.thresholds for step in (-1, 0, 1)]
            elif self.mood is not Mood.POSITIVE and dtype.itemsize == 1:
                low, high = -200, 255
            role = roles.Role(low, high)
        elif role.ascending or role.wildcard or (role.choices and role.low == role.high):
            pass
        elif self.mood is Mood.EXTREME:
            rare = tuple(each for each in role.rare if lowest <= each <= highest)
            special = rare or (role.low, role.high)
            role = roles.Role(role.low, role.high, rare)
        elif role.choices:
            pass
        elif role.low < 0 <= role.high:
            role = roles.Role(0, role.high)  # indices that count from the end are rare in life
        numbers = _mixed(roles.fill(role, shape, random), special, random)
        clipped: Array = np.clip(numbers, lowest, highest)
        return clipped.astype(dtype)

    def _sizes_of(self, value: Value | None) -> tuple[int, ...] | None:
        if value is None or value.shape is None:
            return None
        sizes = [self._evaluate(size) for size in value.shape]
        return tuple(1 if size is None else max(size, 0) for size in sizes)

    def _other(self, value: Value, type: TypeProto, random: np.random.Generator) -> Any:
        kind = type.WhichOneof("value")
        if kind == "optional_type":
            return self._other(value, type.optional_type.elem_type, random)
        if kind == "sequence_type":
            return [self._other(value, type.sequence_type.elem_type, random) for _ in range(2)]
        if kind == "map_type":
            keys: list[Any] = list(roles.texts_of(value)) or ["a", "b"]
            if type.map_type.key_type != 8:  # TensorProto.STRING
                keys = [1, 2]
            return {key: float(random.standard_normal()) for key in keys}
        shape = shapes.shape_of(type)
        if kind != "tensor_type" or shape is None:
            raise CannotSample(f"the type of {value.name!r} is not known in full")
        concrete = self._concrete(value.name, shape)
        dtype = _dtype(type.tensor_type.elem_type, value.name)
        if dtype == object:
            return np.full(concrete, "a", object)
        numbers = random.standard_normal(concrete)
        return (numbers if is_float(dtype) else np.abs(numbers * 3)).astype(dtype)


def symbols_of(values: Iterable[Value], unknown: str = "") -> list[str]:
    """The symbols in the shapes and contents of *values*, in order."""
    found: dict[str, None] = {}
    for value in values:
        contents = value.contents.elements if value.contents is not None else ()
        for size in (*(value.shape or ()), *contents):
            if isinstance(size, Dim) and size.is_named:
                found.update(dict.fromkeys(size.symbols))
        for axis, size in enumerate(value.shape or ()):
            if not is_named(size) and unknown:
                found[unknown.format(name=value.name, axis=axis)] = None
    return list(found)


def size_choices(symbols: list[str]) -> Iterator[dict[str, int]]:
    """Sizes for symbols, the best first: all different, then equal ones of many sizes."""
    yield {
        symbol: _DISTINCT[i] if i < len(_DISTINCT) else 2 + i for i, symbol in enumerate(symbols)
    }
    if symbols:
        for size in (1, 4, 2, 3, 8, 16):
            yield dict.fromkeys(symbols, size)


def _dtype(data_type: int | None, name: str) -> np.dtype[Any]:
    try:
        return np.dtype(helper.tensor_dtype_to_np_dtype(data_type or 0))
    except (KeyError, ValueError, TypeError):
        raise CannotSample(f"the element type of {name!r} is not known") from None


def _is_mask(value: Value) -> bool:
    return "mask" in value.name.lower()


def _mask(shape: tuple[int, ...], random: np.random.Generator) -> Array:
    """Mostly ones, and never a whole row of zeros, which would attend to nothing."""
    mask: Array = random.random(shape) < 0.7
    if mask.ndim:
        mask[..., :1] = True
    return mask


def _mixed(numbers: Array, special: Sequence[float], random: np.random.Generator) -> Array:
    """*numbers* with half of them replaced by some of the *special* ones, if there are any."""
    if not special:
        return numbers
    chosen = random.choice(np.asarray(special), numbers.shape)
    return np.where(random.random(numbers.shape) < 0.5, chosen, numbers)


def _sprinkle(flat: Array, numbers: tuple[float, ...], random: np.random.Generator) -> None:
    """Put *numbers* in some places of *flat*, a sixteenth each, and at least one."""
    count = max(1, flat.size // 16)
    places = random.permutation(flat.size)[: count * len(numbers)]
    for index, place in enumerate(places):
        flat[place] = numbers[index % len(numbers)]
