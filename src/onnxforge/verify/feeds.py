"""Inputs for whole models: made up from what the model declares, or read from files."""

from __future__ import annotations

import ast
import math
import operator
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from zipfile import BadZipFile

import numpy as np
from onnx import helper

from onnxforge.errors import OnnxForgeError
from onnxforge.ir import Model, Value
from onnxforge.shapes import Dim, is_named

from .sample import CannotSample, Mood, Sampler, symbols_of

_UNKNOWN = "{name}[{axis}]"
_EQUAL = (1, 2, 3, 4, 7, 8, 16, 32, 64, 128, 224, 256, 512)
_IMAGE = (64, 96)
"""Height and width tried first: most networks on images want multiples of 32."""


def inputs_of(model: Model) -> list[Value]:
    """The inputs a caller has to provide: those without an initializer."""
    return [value for value in model.graph.inputs if value.initializer is None]


def feeds_for(
    model: Model, sizes: Mapping[str, int] | None = None, seed: int = 0
) -> dict[str, Any]:
    """Inputs for *model*, made up from what it declares and how it reads them.

    *sizes* are those of symbolic dimensions, by name; of dimensions that have none, by
    "input[axis]".  Without, the first of `size_choices` is taken, which the model need not accept.
    Raises `OnnxForgeError` if a type or rank is not declared.
    """
    values = inputs_of(model)
    chosen = {**next(size_choices(values)), **(sizes or {})}
    sampler = Sampler(chosen, Mood.NATURAL, unknown=_UNKNOWN, seed=seed)
    try:
        return {value.name: sampler(value) for value in values}
    except CannotSample as reason:
        raise OnnxForgeError(f"inputs cannot be made up: {reason}; give some by --input") from None


def size_choices(values: Sequence[Value]) -> Iterator[dict[str, int]]:
    """Sizes for the symbols of inputs, the likeliest first.

    Symbols that look like a batch are 2 or 1; the others are all different at first, then equal.
    A symbol named like an expression of others ("past + 1") has its value, and one called a total
    is, at first, the sum of what is past and what is new.
    """
    symbols = symbols_of(values, _UNKNOWN)
    batches = [symbol for symbol in symbols if is_batch(symbol)]
    plain = [s for s in symbols if s not in batches and _evaluate(s, {}) is None]
    spatial = _spatial(values)
    distinct = iter((5, 7, 3, 6, 4, 9, 11, 8, 10, 12, 13, 14))
    images = iter(_IMAGE * len(symbols))
    first = {s: next(images) if s in spatial else next(distinct, 5) for s in plain}
    for total in (_total(first), {}) if _total(first) else ({},):
        for batch in (2, 1):
            yield _complete(symbols, {**dict.fromkeys(batches, batch), **first, **total})
    for size in _EQUAL if plain else ():
        for batch in (2, 1) if batches else (1,):
            equal = {s: max(size, 32) if s in spatial else size for s in plain}
            yield _complete(symbols, {**dict.fromkeys(batches, batch), **equal})


def load_feeds(specs: Sequence[str]) -> dict[str, Any]:
    """Inputs from files: `name=file.npy` for one, `file.npz` for all those it holds.

    Raises `OnnxForgeError`, naming the file, if it is no such file, or an input is given twice,
    `OSError` if it cannot be read.
    """
    feeds: dict[str, Any] = {}
    for spec in specs:
        name, separator, file = spec.rpartition("=")
        try:
            loaded = np.load(file, allow_pickle=False)
            found = {name: loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
        except (ValueError, EOFError, BadZipFile, zlib.error) as error:
            raise OnnxForgeError(f"{file}: not a .npy or .npz file of numbers") from error
        if isinstance(loaded, np.ndarray) != bool(separator):
            raise OnnxForgeError(f"{spec}: give an input as NAME=FILE.npy, or all as FILE.npz")
        for each, array in found.items():
            if each in feeds:
                raise OnnxForgeError(f"{spec}: input {each!r} is given twice")
            feeds[each] = array.astype(object) if array.dtype.kind in "SU" else array
    return feeds


def fitted(model: Model, feeds: Mapping[str, Any]) -> dict[str, Any]:
    """*feeds* as arrays of the element types *model* declares, which files seldom have.

    Raises `OnnxForgeError` if an input is missing, unknown, of another shape, or would lose more
    than precision.
    """
    declared = {value.name: value for value in model.graph.inputs}
    for name in feeds:
        if name not in declared:
            raise OnnxForgeError(f"the model has no input {name!r}; it has {', '.join(declared)}")
    for value in inputs_of(model):
        if value.name not in feeds:
            raise OnnxForgeError(f"input {value.name!r} is not given, and has no default")
    return {name: _converted(declared[name], feed) for name, feed in feeds.items()}


def _converted(value: Value, feed: Any) -> Any:
    if value.dtype is None:
        return feed
    feed = np.asarray(feed)
    if value.shape is not None and not _fits(feed.shape, value.shape):
        wanted = ", ".join(str(size) if is_named(size) else "?" for size in value.shape)
        raise OnnxForgeError(
            f"input {value.name!r} is {list(feed.shape)}; the model wants [{wanted}]"
        )
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(value.dtype))
    if feed.dtype == dtype or dtype == object:
        return feed.astype(dtype, copy=False)
    if feed.dtype.kind == "V" and feed.dtype.itemsize == dtype.itemsize:
        return feed.view(dtype)  # .npy files do not know the types of ml_dtypes
    if feed.dtype == object:
        raise OnnxForgeError(f"input {value.name!r} is no array of {dtype}")
    converted = feed.astype(dtype)
    if feed.dtype.kind in "iub" and not np.array_equal(converted.astype(feed.dtype), feed):
        raise OnnxForgeError(f"input {value.name!r}: {feed.dtype} does not fit into {dtype}")
    if feed.dtype.kind == "f" and dtype.kind in "iub":
        raise OnnxForgeError(f"input {value.name!r} is {feed.dtype}; the model wants {dtype}")
    return converted


def _fits(shape: Sequence[int], declared: Sequence[int | Dim | None]) -> bool:
    pairs = zip(shape, declared, strict=False)
    return len(shape) == len(declared) and all(
        size == known for size, known in pairs if isinstance(known, int)
    )


def is_batch(symbol: str) -> bool:
    """Whether a symbolic dimension is named as people name the number of samples."""
    return "batch" in symbol.lower() or symbol in ("N", "n", "B", "b", "bs") or symbol[-3:] == "[0]"


def _total(sizes: dict[str, int]) -> dict[str, int]:
    """What symbols called a total are if they count past and new tokens; a new one is alone."""
    totals = [symbol for symbol in sizes if "total" in symbol.lower()]
    past = [size for symbol, size in sizes.items() if "past" in symbol.lower()]
    new = [
        s for symbol, s in sizes.items() if symbol not in totals and "past" not in symbol.lower()
    ]
    return dict.fromkeys(totals, past[0] + (new[0] if new else 1)) if past else {}


def _spatial(values: Sequence[Value]) -> list[str]:
    """The symbols that stand for the height and width of images, channels first or last."""
    found: list[str] = []
    for value in values:
        shape = value.shape
        if shape is None or len(shape) != 4:
            continue
        axes = (2, 3) if shape[1] in (1, 3) else (1, 2) if shape[3] in (1, 3) else ()
        for axis in axes:
            size = shape[axis]
            if not is_named(size):
                found.append(_UNKNOWN.format(name=value.name, axis=axis))
            elif isinstance(size, Dim):
                found += size.symbols
    return found


def _complete(symbols: list[str], sizes: dict[str, int]) -> dict[str, int]:
    known = {**dict.fromkeys(symbols, 1), **sizes}
    for symbol in symbols:
        if symbol not in sizes and (size := _evaluate(symbol, known)) is not None:
            known[symbol] = max(0, size)
    return known


_OPERATORS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.floordiv,
}


def _evaluate(symbol: str, sizes: Mapping[str, int]) -> int | None:
    """The value of a name that is an expression of other names; None if it is just a name.

    Names that *sizes* does not have count as 1.
    """
    try:
        tree = ast.parse(symbol[:200], mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
    if not isinstance(tree, ast.BinOp):
        return None

    def value(node: ast.expr) -> int:
        match node:
            case ast.Name(name):
                return sizes.get(name, 1)
            case ast.Constant(int(number)):
                return number
            case ast.BinOp(left, op, right) if type(op) in _OPERATORS:
                return _OPERATORS[type(op)](value(left), value(right))
        raise ValueError

    try:
        result = value(tree)
    except (ValueError, ZeroDivisionError):
        return None
    return result if abs(result) < math.inf else None
