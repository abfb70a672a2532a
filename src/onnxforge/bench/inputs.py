"""What a model is fed while it is measured: made up once, and the same for all that are compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from onnxforge.errors import BenchmarkError
from onnxforge.ir import Model
from onnxforge.shapes import Dim
from onnxforge.verify.feeds import feeds_for, fitted, inputs_of, is_batch, size_choices

_TRIED = 16


def candidates(
    model: Model,
    batch: int | None = None,
    sizes: Mapping[str, int] | None = None,
    given: Mapping[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """Inputs for a model, the likeliest first: which sizes it accepts, running it will tell.

    *sizes* fixes symbolic dimensions by name; *given* inputs are taken as they are.

    Raises `OnnxForgeError` if inputs cannot be made up, `BenchmarkError` if the batch is fixed.
    """
    if given is not None:
        yield fitted(model, given)
        return
    fixed = {**_batch_sizes(model, batch), **(sizes or {})}
    seen: list[dict[str, int]] = []
    for choice in size_choices(inputs_of(model)):
        tried = {
            symbol: fixed.get(symbol, (batch or 1) if is_batch(symbol) else size)
            for symbol, size in choice.items()
        }
        if tried not in seen:
            seen.append(tried)
            yield {name: _storable(name, feed) for name, feed in feeds_for(model, tried).items()}
        if len(seen) == _TRIED:
            return


def _batch_sizes(model: Model, batch: int | None) -> dict[str, int]:
    """The symbol of the first axis, if no symbol is named like a batch and one is asked for."""
    if batch is None:
        return {}
    first: dict[str, int] = {}
    for value in inputs_of(model):
        size = value.shape[0] if value.shape else 1
        if isinstance(size, Dim):
            first |= dict.fromkeys(size.symbols, batch)
        elif size is None:
            first[f"{value.name}[0]"] = batch
    if not first:
        raise BenchmarkError(
            f"--batch {batch}: the first dimension of every input is fixed; leave --batch out"
        )
    return {} if any(map(is_batch, first)) else first


def _storable(name: str, feed: Any) -> Any:
    """*feed* if a .npz file can carry it to the process that measures."""
    if not isinstance(feed, np.ndarray) or feed.dtype.kind not in "biufcO":
        kind = feed.dtype if isinstance(feed, np.ndarray) else type(feed).__name__
        raise BenchmarkError(
            f"input {name!r}: values of type {kind} cannot be fed by the benchmark"
        )
    return feed.astype(str) if feed.dtype.kind == "O" else feed
