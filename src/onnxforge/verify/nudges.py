"""How well-conditioned a model is: how far rounding its inputs, or its constants, moves its outputs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from onnx import ModelProto

from onnxforge import runtime, storage
from onnxforge.errors import OnnxForgeError
from onnxforge.ir import Model

from .compare import (
    allowed,
    is_float,
    mismatches,
    precision,
    relative_error,
    settled,
    tolerance,
)

_STEP = 0.01
"""By how much inputs are moved, in units of what is allowed: 1e-6 of their size for float32, and a
unit of precision of the 16-bit type that a model computes in."""
_BIASES = range(8, 1 << 16)
"""Sizes of the vectors of weights that are moved in a model without float inputs."""
_COPIED = 1 << 28
"""Bytes of the largest graph that is copied for that."""
_ROUNDINGS = ((0, 1), (0, -1), (1, 1), (1, -1))
"""How numbers are rounded: in directions of a seed, and against them; one direction alone may be that
in which nothing moves."""
_MARGIN = 10
"""How many times as far as such a nudge moves the original a result may be off."""


@dataclass(frozen=True)
class Nudge:
    """How far rounding *what* moves each output of a run.

    `moved` are relative errors.  `flipped` are fractions of elements: of floats, those that become
    finite or cease to be, of all else those that become another.
    """

    what: str
    moved: list[float]
    flipped: list[float]

    def grown(self, outputs: Sequence[Any], others: Sequence[Any]) -> Nudge:
        """The larger of this, and what makes *others* of *outputs*."""
        moved, flipped = list(self.moved), list(self.flipped)
        for index, (a, b) in enumerate(zip(outputs, others, strict=True)):
            finite, flips = settled(a, b) if is_rounded(a) else (b, mismatches(a, b))
            moved[index] = max(moved[index], relative_error(a, finite))
            flipped[index] = max(flipped[index], flips)
        return replace(self, moved=moved, flipped=flipped)

    def allowance(self, index: int) -> float:
        """The relative error that a result may have in an output of floats."""
        lenient = _MARGIN * self.moved[index]
        return lenient if math.isfinite(lenient) else 0.0

    def flips(self, index: int) -> float:
        """The fraction of elements that may differ in an output of anything but floats."""
        lenient = _MARGIN * self.flipped[index]
        return lenient if lenient < 1 else 0.0

    def strays(self, index: int) -> float:
        """The fraction of floats that may be finite or not: some must not be, or all may."""
        flipped = self.flipped[index]
        return min(_MARGIN * flipped, (1 + flipped) / 2)


def by_inputs(model: Model, feeds: Sequence[dict[str, Any]], least: Sequence[float]) -> list[Nudge]:
    """What comes of rounding the inputs of each run, by *least* of their size, or more.

    *least* is one number for each output.  Raises `OnnxForgeError` if the model does not give the
    same twice.
    """
    session = runtime.Session(model.commit(), model.folder)
    return [_by_inputs(model, session, given, least) for given in feeds]


def _by_inputs(
    model: Model, session: runtime.Session, feeds: dict[str, Any], least: Sequence[float]
) -> Nudge:
    outputs = session.run(feeds)
    nudge = _still("inputs", outputs)
    for rounding in _ROUNDINGS:
        runs = {
            step: _nudged_run(model, session, feeds, step, rounding) or outputs
            for step in set(least)
        }
        nudge = nudge.grown(outputs, [runs[step][index] for index, step in enumerate(least)])
    limits = map(allowed, outputs)
    if any(nudge.flipped) or any(
        far > limit for far, limit in zip(nudge.moved, limits, strict=True)
    ):
        # Ill-conditioned or random: the very same inputs tell.
        again = zip(outputs, session.run(feeds), strict=True)
        if any(relative_error(a, b) > allowed(a) for a, b in again):
            operators = ", ".join(random_operators(model))
            why = operators or "no operator of it is known to be random"
            raise OnnxForgeError(f"the model is not deterministic: {why}")
    return nudge


def by_constants(model: Model, runs: Sequence[tuple[Mapping[str, Any], list[Any]]]) -> list[Nudge]:
    """What comes of rounding the constants of *model* in each of its *runs*, feeds and outputs.

    What inputs do not move at all can still be the small difference of two large constants.
    """
    still = [_still("constants", outputs) for _, outputs in runs]
    nudges = list(still)
    try:
        for session in _rounded(model):
            for index, (feeds, outputs) in enumerate(runs):
                nudges[index] = nudges[index].grown(outputs, session.run(feeds))
    except OnnxForgeError:
        return still
    return nudges


def _still(what: str, outputs: list[Any]) -> Nudge:
    return Nudge(what, [0.0] * len(outputs), [0.0] * len(outputs))


def random_operators(model: Model) -> list[str]:
    """The operators that may be why a model does not give the same twice."""
    nodes = (node for graph in model.graphs() for node in graph)
    return list(dict.fromkeys(node.op_type for node in nodes if not node.operator.deterministic))


def is_rounded(value: Any) -> bool:
    """Whether a value is an array of floats."""
    return isinstance(value, np.ndarray) and is_float(value.dtype)


def _nudged_run(
    model: Model,
    session: runtime.Session,
    feeds: dict[str, Any],
    least: float,
    rounding: tuple[int, int],
) -> list[Any] | None:
    """The outputs for feeds that are a little off, *least* of their size or more.

    If there are no floats among them, weights are; None where that cannot be run.
    """
    try:
        if any(is_rounded(feed) for feed in feeds.values()):
            given = {name: _nudged(name, feed, least, rounding) for name, feed in feeds.items()}
            return session.run(given)
        proto = model.commit()
        if proto.ByteSize() > _COPIED:
            return session.run(feeds)
        copy = ModelProto()
        copy.CopyFrom(proto)
        for tensor in copy.graph.initializer:
            if len(tensor.dims) == 1 and tensor.dims[0] in _BIASES:
                array = storage.to_array(tensor, model.folder)
                nudged = _nudged(tensor.name, array, least, rounding)
                tensor.CopyFrom(storage.from_array(nudged, tensor.name))
        return runtime.Session(copy, model.folder).run(feeds)
    except OnnxForgeError:
        return None


def _rounded(original: Model) -> Iterator[runtime.Session]:
    """*original* with its constants rounded anew, several times; never if it is too large."""
    proto = storage.materialize(original.commit(), original.folder)
    if proto.ByteSize() > _COPIED:
        return
    for seed, direction in _ROUNDINGS:
        random = np.random.default_rng(seed)
        copy = ModelProto()
        copy.CopyFrom(proto)
        for tensor in storage.tensors(copy):
            array = storage.to_array(tensor)
            if is_rounded(array):
                array = _moved(array, direction * precision(array.dtype), random)
                tensor.CopyFrom(storage.from_array(array, tensor.name))
        yield runtime.Session(copy)


def _nudged(name: str, feed: Any, least: float, rounding: tuple[int, int]) -> Any:
    if not is_rounded(feed):
        return feed
    step = max(_STEP * tolerance(feed.dtype), precision(feed.dtype), least)
    seed, direction = rounding
    return _moved(feed, direction * step, np.random.default_rng([seed, len(name)]))


def _moved(array: Any, step: float, random: np.random.Generator) -> Any:
    """*array* with each element a *step* of its size larger or smaller."""
    wide = array if array.dtype.kind == "c" else array.astype(np.float64)
    return (wide * (1 + step * random.choice((-1.0, 1.0), array.shape))).astype(array.dtype)
