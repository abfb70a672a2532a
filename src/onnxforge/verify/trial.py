"""Running the two sides of an edit on made-up inputs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from onnx import ModelProto, TypeProto, helper

from onnxforge import runtime, storage
from onnxforge.errors import EvaluationError, TooLongError
from onnxforge.extract import between, extract
from onnxforge.ir import Node, Value

from . import referee
from .compare import allowed, is_float, relative_error
from .region import Starts
from .sample import CannotSample, Mood, Sampler, size_choices, symbols_of
from .tries import Tries

# ONNX Runtime hands out 8-bit floats as bytes.
_BYTE_FLOATS = {
    17: ml_dtypes.float8_e4m3fn,
    18: ml_dtypes.float8_e4m3fnuz,
    19: ml_dtypes.float8_e5m2,
    20: ml_dtypes.float8_e5m2fnuz,
    24: ml_dtypes.float8_e8m0fnu,
}

_UNKNOWN = "?"
"""Dimensions of which nothing is known get one size, so that what must fit together does."""
_MAX_ELEMENTS = 1 << 22
"""Elements of the largest region, the weights apart: some seconds of convolution."""
_MAX_REFERRED = 1 << 18
"""Elements where ONNX Runtime refuses the region: the reference evaluator takes as long."""
_MAX_RESIZED = 1 << 16
"""Elements of the largest region that is tried with further sizes."""
_SIZES = 2
"""How many choices of sizes an edit is tried with at first."""
_BRIEF = 240


class CannotRun(Exception):  # noqa: N818 - not an error: a reason why a check is left out
    """The region of an edit could not be run before the edit either."""


@dataclass(frozen=True)
class Outcome:
    """What the two sides gave for the same *feeds*; *problem* is why the new one gave nothing."""

    feeds: Mapping[str, Any]
    expected: Any
    actual: Any
    error: float
    tolerance: float
    runtime: str
    problem: str = ""

    @property
    def is_wrong(self) -> bool:
        """Whether the two differ by more than rounding explains."""
        return not self.error <= self.tolerance


class Trial:
    """The region between *starts* and the two values of an edit, ready to run on both sides."""

    def __init__(self, old: Value, new: Value, starts: Starts) -> None:
        self._nodes, ends = between((old, new), starts)
        self._starts = list(dict.fromkeys(ends))
        types = {value: _rank_only(value.type) for value in self._starts if value.type is not None}
        self.before, self.after = (_cut(each, self._starts, types) for each in (old, new))
        self._tries = Tries(self._nodes, self._starts)
        self._old, self._new = old, new
        # What only one side computes in low precision is another function than the other side.
        sides = [narrow_floats(between((each,), starts)[0]) for each in (old, new)]
        self.narrow = [dtype for dtype in sides[0] if dtype in sides[1]]
        self.folder: Path | None = old.graph.model.folder

    @property
    def nbytes(self) -> int:
        """How many bytes of constants the region reads."""
        tensors = (*storage.tensors(self.before), *storage.tensors(self.after))
        return sum(storage.nbytes(tensor) for tensor in tensors)

    def run(self, *, thorough: bool = False) -> Outcome:
        """The worst outcome of several samples, or the first that rounding does not explain.

        A *thorough* run takes more of them.

        Raises `CannotSample` if no inputs can be made up, `CannotRun` if the old side takes none
        of those that were, or all it says is NaN.
        """
        sides = _Sides(self)
        outcomes: list[Outcome] = []
        fitting: list[dict[str, int]] = []
        for mood, sizes in self._first(_MAX_REFERRED if sides.is_referred else _MAX_ELEMENTS):
            outcome = sides.try_on(self._feeds(sizes, mood))
            if outcome is None:
                continue
            if outcome.is_wrong:
                return outcome
            outcomes.append(outcome)
            fitting.append(sizes)
            if len(fitting) == _SIZES or not self._starts:
                break
        if not fitting:
            raise CannotRun(f"the original takes no sample: {sides.refusal}")
        for sizes, mood, seed in self._further(fitting, thorough) if self._starts else ():
            try:
                feeds = self._feeds(sizes, mood, seed)
            except CannotSample:  # in these sizes
                continue
            outcome = sides.try_on(feeds, for_overflow=self._tries.is_for_overflow(mood))
            if outcome is not None:
                if outcome.is_wrong:
                    return outcome
                outcomes.append(outcome)
        if not any(_is_telling(outcome.expected) for outcome in outcomes):
            raise CannotRun("the samples give nothing but NaN, or nothing at all")
        return max(outcomes, key=lambda outcome: outcome.error)

    def _feeds(self, sizes: dict[str, int], mood: Mood, seed: int = 0) -> dict[str, Any]:
        thresholds = self._tries.thresholds
        sampler = Sampler(sizes, mood, unknown=_UNKNOWN, seed=seed, thresholds=thresholds)
        return {value.name: sampler(value) for value in self._starts}

    def _first(self, most: int) -> Iterator[tuple[Mood, dict[str, int]]]:
        """What to try until something is accepted, of up to *most* elements."""
        choices = list(size_choices(symbols_of(self._starts, _UNKNOWN)))
        choices = [sizes for sizes in choices if self._elements(sizes) <= most]
        if not choices:
            raise CannotRun(f"the region computes more than {most:,} elements")
        yield from ((Mood.ORDINARY, sizes) for sizes in choices)
        # Negative integers, and those above 4, are no sizes or indices of what is small.
        yield from ((Mood.POSITIVE, sizes) for sizes in choices[:_SIZES])

    def _elements(self, sizes: dict[str, int]) -> int:
        """How many elements the region reads and computes, as far as shapes are known."""
        sampler = Sampler(sizes, unknown=_UNKNOWN)
        values = (*self._starts, *(output for node in self._nodes for output in node.outputs))
        total = 0
        for value in values:
            with suppress(CannotSample):
                total += math.prod(sampler.shape(value))
        return total

    def _further(
        self, fitting: list[dict[str, int]], thorough: bool
    ) -> Iterator[tuple[dict[str, int], Mood, int]]:
        """What to try once samples of some sizes, the *fitting*, have been run."""
        feeds = self._feeds(fitting[0], Mood.ORDINARY)
        for mood, seed in self._tries.moods(feeds, thorough=thorough):
            yield fitting[seed % len(fitting)], mood, seed
        if self._elements(fitting[0]) <= _MAX_RESIZED:
            largest = max(fitting, key=lambda sizes: sum(sizes.values()))
            for sizes in self._tries.sizes(largest, self._old.graph.model.minimums):
                yield sizes, Mood.ORDINARY, 0


class _Sides:
    """Both sides of an edit, made ready to run."""

    def __init__(self, trial: Trial) -> None:
        self.refusal = ""
        self._trial = trial
        try:
            self._old = _Program(trial.before, trial._old, trial.folder)
        except EvaluationError as error:
            raise CannotRun(_brief(error)) from error
        self._new: _Program | None = None
        self._problem = ""
        try:
            self._new = _Program(trial.after, trial._new, trial.folder)
        except EvaluationError as error:
            self._problem = _brief(error)
            if any(node.domain for node in trial.after.graph.node):
                # A kernel that lives elsewhere; ONNX's own operators must run anywhere.
                raise CannotRun(self._problem) from error

    @property
    def is_referred(self) -> bool:
        """Whether the reference evaluator runs a side, since ONNX Runtime refuses it."""
        programs = (each for each in (self._old, self._new) if each is not None)
        return any(program.runtime.endswith("evaluator") for program in programs)

    def try_on(self, feeds: Mapping[str, Any], *, for_overflow: bool = False) -> Outcome | None:
        """What comes of *feeds*; None if the old side does not take them.

        What is tried *for_overflow* has an outcome only where the new side alone is not finite.
        """
        try:
            expected = self._old.run(feeds)
        except TooLongError as error:
            raise CannotRun(str(error)) from error
        except EvaluationError as error:
            self.refusal = _brief(error)
            return None
        name = self._old.runtime
        if self._new is None:
            return Outcome(feeds, expected, None, math.inf, 0.0, name, self._problem)
        try:
            actual = self._new.run(feeds)
            if self._new.runtime != name:
                expected, actual = self._old.refer(feeds), self._new.refer(feeds)
                name = self._old.runtime
        except TooLongError as error:
            raise CannotRun(str(error)) from error
        except EvaluationError as error:
            return Outcome(feeds, expected, None, math.inf, 0.0, name, _brief(error))
        if for_overflow:
            if not _overflows(expected, actual):
                return None
            actual = np.where(_finite(expected), actual, expected)
        trial, results = self._trial, (expected, actual)
        difference, limit = relative_error(expected, actual), allowed(expected, trial.narrow)
        if difference > limit:
            if referee.excuses(trial.before, trial.after, feeds, results, limit, trial.folder):
                difference = limit
            elif relative_error(expected, self._old.run(feeds)) > limit:
                # As where ONNX Runtime reads past the end of states that are too small.
                self.refusal = "it does not give the same twice"
                return None
        return Outcome(feeds, expected, actual, difference, limit, name)


class _Program:
    """One side, run by ONNX Runtime if that can, else by the reference evaluator."""

    def __init__(self, proto: ModelProto, output: Value, folder: Path | None) -> None:
        self._proto, self._folder = proto, folder
        self._dtype = _BYTE_FLOATS.get(output.dtype or 0)
        self._is_native = output.dtype is not None and _is_native(
            np.empty(0, helper.tensor_dtype_to_np_dtype(output.dtype))
        )
        self._session = runtime.Session(proto, folder)
        self.runtime = self._session.runtime

    def run(self, feeds: Mapping[str, Any]) -> Any:
        if self.runtime != self._session.runtime:
            return self.refer(feeds)
        try:
            (result,) = self._session.run(feeds)
        except TooLongError:
            raise
        except EvaluationError:
            if self._is_native and all(map(_is_native, feeds.values())):
                raise
            return self.refer(feeds)
        if self._dtype is not None and result.dtype == np.uint8:
            result = result.view(self._dtype)
        return result

    def refer(self, feeds: Mapping[str, Any]) -> Any:
        """What the reference evaluator says, which takes bfloat16 and all that is narrower."""
        (result,) = runtime.reference(self._proto, feeds, self._folder)
        self.runtime = "ONNX's reference evaluator"
        return result


def _is_native(feed: Any) -> bool:
    """Whether it has a type of numpy's own: ONNX Runtime's Python side knows no others."""
    return not isinstance(feed, np.ndarray) or feed.dtype.isbuiltin == 1


def narrow_floats(nodes: Iterable[Node]) -> list[np.dtype[Any]]:
    """The 16-bit and narrower float types that *nodes* give results in."""
    found = dict.fromkeys(output.dtype for node in nodes for output in node.outputs)
    dtypes = [np.dtype(helper.tensor_dtype_to_np_dtype(each)) for each in found if each]
    return [dtype for dtype in dtypes if is_float(dtype) and dtype.itemsize <= 2]


def _cut(output: Value, starts: list[Value], types: dict[Value, TypeProto]) -> ModelProto:
    """The region as a model that computes *output* by at least one node, so that any runs it."""
    proto = extract([output], starts, types)
    if output in starts or output.producer is None:
        name = f"{output.name}~"
        proto.graph.node.add(op_type="Identity", input=[output.name], output=[name])
        proto.graph.output[0].name = name
    declared = proto.graph.output[0].type
    if declared.HasField("tensor_type") and output.rank is not None:
        declared.tensor_type.shape.SetInParent()  # ONNX's checker asks for it
        for _ in range(output.rank):
            declared.tensor_type.shape.dim.add()
    return proto


def _rank_only(type: TypeProto) -> TypeProto:
    """The type without sizes, which differ from sample to sample."""
    copy = TypeProto()
    copy.CopyFrom(type)
    if copy.HasField("tensor_type") and copy.tensor_type.HasField("shape"):
        for size in copy.tensor_type.shape.dim:
            size.Clear()
    return copy


def _overflows(expected: Any, actual: Any) -> bool:
    """Whether *actual* has NaN or an infinity in places where *expected*, floats, has none."""
    if not isinstance(expected, np.ndarray) or not is_float(expected.dtype):
        return False
    if expected.shape != np.shape(actual) or not is_float(actual.dtype):
        return False
    return bool((_finite(expected) & ~_finite(actual)).any())


def _finite(result: Any) -> Any:
    """Where a float tensor holds numbers."""
    return np.isfinite(result if result.dtype.kind in "fc" else result.astype(np.float32))


def _is_telling(result: Any) -> bool:
    """Whether anything but NaN is in it."""
    if not isinstance(result, np.ndarray) or (result.size and not is_float(result.dtype)):
        return True
    wide = result if result.dtype.kind in "fc" else result.astype(np.float32)
    return not bool(np.isnan(wide).all())


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= _BRIEF else f"{text[:_BRIEF]}..."
