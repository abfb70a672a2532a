"""How far two results are apart, measured so that one limit per element type serves all models.

The error of a float tensor is its largest difference in units of the tensor's own scale, the
largest magnitude expected: errors relative to each element are noise wherever sums cancel, and
errors relative to 1 would let any output pass whose values are small.

Two corrections.  Outliers, as the -1e4 or -FLT_MAX of a mask, are measured by themselves, lest
they hide what happens to all others.  And where nothing but zeros is expected there is no scale:
what is left when numbers near 1 cancel, one unit of the type's precision, is then just allowed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import ml_dtypes
import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Array: TypeAlias = npt.NDArray[Any]

# Measured on sound rewrites: float32 sums of thousands of terms come out some 1e-6 apart, and a
# wrong epsilon, bias or axis at 1e-3 and more.  Narrower types follow their precision.
_TOLERANCES = {
    "float64": 1e-9,
    "complex128": 1e-9,
    "float32": 1e-4,
    "complex64": 1e-4,
    "float16": 1e-2,
    "bfloat16": 4e-2,
}
_NARROW_TOLERANCE = 2.0
"""Of 8-bit floats and less, in units of their precision."""

_CHUNK = 1 << 20
"""Elements compared at a time: arrays may be mapped, and larger than memory in float64."""
_SAMPLE = 1 << 16
_FAR = 1e3
"""How many times as large as the small elements an outlier is."""
_SENTINEL = 1e4
"""Magnitudes from which a number may be there to stand for infinity."""


def relative_error(expected: Any, actual: Any) -> float:
    """The largest difference, in units of the scale of what is *expected*.

    Both are what a runtime returns: arrays, or lists (sequences), dicts (maps), None (an empty
    optional) of them.  NaN must meet NaN, and an infinity its equal.  Integers, bools and strings
    are exact: 0.0 or inf.  Another element type, shape, length or set of keys is inf.
    """
    pairs = _leaves(expected, actual)
    return math.inf if pairs is None else max((_array_error(a, b) for a, b in pairs), default=0.0)


def tolerance(dtype: npt.DTypeLike) -> float:
    """The relative error allowed for results of an element type; 0.0 for all but floats."""
    dtype = np.dtype(dtype)
    if dtype.name in _TOLERANCES:
        return _TOLERANCES[dtype.name]
    limits = _float_info(dtype)
    return _NARROW_TOLERANCE * limits.epsilon if limits is not None else 0.0


def allowed(expected: Any, through: Iterable[npt.DTypeLike] = ()) -> float:
    """The relative error allowed for a result, the strictest of its parts deciding.

    Floats computed *through* types less precise than their own are allowed what those are.
    """
    pairs = _leaves(expected, expected) or []
    limits = [tolerance(a.dtype) for a, _ in pairs]
    coarsest = max(map(tolerance, through), default=0.0)
    return min((max(limit, coarsest) if limit else 0.0 for limit in limits), default=0.0)


def mismatches(expected: Any, actual: Any) -> float:
    """The fraction of elements that are not equal; 1.0 where even the structure differs."""
    pairs = _leaves(expected, actual)
    if pairs is None or any(a.shape != b.shape or a.dtype != b.dtype for a, b in pairs):
        return 1.0
    total = sum(a.size for a, _ in pairs)
    wrong = sum(int(np.count_nonzero(~_equal(a, b))) for a, b in pairs)
    return wrong / total if total else 0.0


def settled(expected: Array, actual: Array) -> tuple[Array, float]:
    """*actual* with what is expected in place of elements of which one of the two alone is finite.

    With it comes the fraction of elements of which that is so.
    """
    if expected.shape != actual.shape or expected.dtype != actual.dtype or not actual.size:
        return actual, 0.0
    strays = np.isfinite(expected) != np.isfinite(actual)
    return np.where(strays, expected, actual), float(np.count_nonzero(strays)) / actual.size


def magnitude(array: Array) -> float:
    """The largest magnitude in a float array that is neither an outlier nor infinite; its scale."""
    return _scale(array, _outlier(array))


def distance(expected: Array, actual: Array) -> float:
    """The largest absolute difference of two float arrays of one shape, whatever their types.

    It is inf where NaN does not meet NaN, or an infinity its equal.
    """
    worst = 0.0
    for a, b in _chunks(expected, actual):
        a, b = _wide(a), _wide(b)
        with np.errstate(all="ignore"):
            difference = np.abs(a - b)
        difference[_equal(a, b)] = 0.0
        largest = float(difference.max(initial=0.0))
        worst = max(worst, math.inf if math.isnan(largest) else largest)
    return worst


def precision(dtype: npt.DTypeLike) -> float:
    """The distance from 1 to the next number of a float type; 0.0 for all others."""
    limits = _float_info(np.dtype(dtype))
    return limits.epsilon if limits is not None else 0.0


def is_float(dtype: npt.DTypeLike) -> bool:
    """Whether results of an element type are rounded, so that an error can be small."""
    return _float_info(np.dtype(dtype)) is not None


def _leaves(expected: Any, actual: Any) -> list[tuple[Array, Array]] | None:
    """The arrays of two results, paired; None if the results are not of one structure."""
    pairs: list[tuple[Array, Array]] = []
    todo: list[tuple[Any, Any]] = [(expected, actual)]
    while todo:
        a, b = todo.pop()
        if isinstance(a, list | tuple):
            if not isinstance(b, list | tuple) or len(a) != len(b):
                return None
            todo += zip(a, b, strict=True)
        elif isinstance(a, dict):
            if not isinstance(b, dict) or a.keys() != b.keys():
                return None
            todo += ((a[key], b[key]) for key in a)
        elif a is None or b is None:
            if a is not b:
                return None
        elif isinstance(b, list | tuple | dict):
            return None
        else:
            pairs.append((_array(a), _array(b)))
    return pairs


def _array(value: Any) -> Array:
    array = np.asarray(value)
    return array.astype(object) if array.dtype.kind in "US" else array


class _FloatInfo:
    def __init__(self, dtype: npt.DTypeLike) -> None:
        info = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]  # a class written in C
        self.epsilon = float(info.eps)
        self.smallest = float(info.smallest_normal)


@lru_cache(None)
def _float_info(dtype: np.dtype[Any]) -> _FloatInfo | None:
    try:
        return _FloatInfo(dtype)
    except ValueError:  # ml_dtypes' way to say that it is no float
        return None


def _array_error(expected: Array, actual: Array) -> float:
    if expected.shape != actual.shape or expected.dtype != actual.dtype:
        return math.inf
    limits = _float_info(expected.dtype)
    if limits is None:
        return 0.0 if all(_equal(a, b).all() for a, b in _chunks(expected, actual)) else math.inf
    outlier = _outlier(expected)
    scale = _scale(expected, outlier)
    if not scale:
        scale = limits.epsilon / tolerance(expected.dtype)
    scale = max(scale, limits.smallest)
    worst = 0.0
    for a, b in _chunks(expected, actual):
        a, b = _wide(a), _wide(b)
        with np.errstate(all="ignore"):
            difference = np.abs(a - b)
            size = np.abs(a)
            difference /= np.where((size > outlier) & np.isfinite(size), size, scale)
        difference[_equal(a, b)] = 0.0
        largest = float(difference.max(initial=0.0))
        worst = max(worst, math.inf if math.isnan(largest) else largest)
    return worst


def _outlier(expected: Array) -> float:
    """The magnitude above which elements are measured by themselves.

    Either most elements are far below it, or those below are so much smaller that they cannot be
    what rounding left of those above.
    """
    flat = expected.reshape(-1)
    sizes = np.abs(_wide(flat[:: max(1, flat.size // _SAMPLE)]))
    sizes = np.sort(sizes[np.isfinite(sizes) & (sizes > 0)])
    if not sizes.size:
        return math.inf
    threshold = float(np.quantile(sizes, 0.1)) * _FAR
    apart = sizes[1:] / sizes[:-1] > 10 / precision(expected.dtype)
    gaps = np.flatnonzero(apart & (sizes[1:] >= _SENTINEL))
    if gaps.size:
        below, above = sizes[gaps[0]], sizes[gaps[0] + 1]
        threshold = min(threshold, math.sqrt(below) * math.sqrt(above))
    return threshold


def _scale(expected: Array, outlier: float) -> float:
    """The largest finite magnitude that is no outlier."""
    largest = 0.0
    for a, _ in _chunks(expected, expected):
        sizes = np.abs(_wide(a))
        sizes = sizes[np.isfinite(sizes) & (sizes <= outlier)]
        largest = max(largest, float(sizes.max(initial=0.0)))
    return largest


def _wide(array: Array) -> Array:
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def _equal(a: Array, b: Array) -> Array:
    """Where elements are the same, NaN and NaN included."""
    if a.dtype.kind == "V":  # those of ml_dtypes, not all of which compare
        wide = np.float64 if _float_info(a.dtype) is not None else np.int64
        a, b = a.astype(wide), b.astype(wide)
    same: Array = np.asarray(a == b)
    if a.dtype.kind in "fc":
        same = same | (np.isnan(a) & np.isnan(b))
    return same


def _chunks(a: Array, b: Array) -> Iterator[tuple[Array, Array]]:
    a, b = a.reshape(-1), b.reshape(-1)
    for start in range(0, a.size, _CHUNK):
        yield a[start : start + _CHUNK], b[start : start + _CHUNK]
