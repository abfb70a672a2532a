"""Checking whole models: what the original computes, run first, against what it became."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto

from onnxforge import runtime, storage
from onnxforge.errors import EvaluationError, OnnxForgeError, TooLongError
from onnxforge.extract import between
from onnxforge.ir import Model, Node, Value
from onnxforge.report import Comparison

from .compare import allowed, is_float, mismatches, precision, relative_error, tolerance
from .feeds import feeds_for, fitted, inputs_of, size_choices
from .trial import narrow_floats

_NUDGE = 0.01
"""By how much inputs are moved, in units of what is allowed, to see how well-conditioned a model is:
1e-6 of their size for float32, and a unit of precision of the 16-bit type that a model computes in."""
_BIASES = range(8, 1 << 16)
"""Sizes of the vectors of weights that are moved in a model without float inputs."""
_COPIED = 1 << 28
"""Bytes of the largest graph that is copied for that."""
_ROUNDINGS = ((0, 1), (0, -1), (1, 1), (1, -1))
"""How constants are rounded anew: in directions of a seed, and against them; one direction alone may
be that in which nothing moves."""
_MARGIN = 10
"""How many times as far as such a nudge moves the original the result may be off."""
_NARROW = {TensorProto.FLOAT16, TensorProto.BFLOAT16}
_BRIEF = 400


@dataclass(frozen=True)
class _Run:
    """What the original makes of some feeds, and how far a nudge moves each output.

    `moved` are relative errors, `flipped` fractions of elements; `nudged` says what was.
    """

    feeds: dict[str, Any]
    outputs: list[Any]
    moved: list[float]
    flipped: list[float]
    nudged: str = "inputs"


class Baseline:
    """What a model computes before anything is done to it.  Keeps the outputs, not the model.

    *feeds* are its inputs by name; without, *samples* of them are made up, in sizes the model
    accepts: those of *sizes*, by the names of symbolic dimensions, where given.  What cannot be
    run, or does not give the same twice, cannot be compared; `unchecked` then says why.

    Raises `OnnxForgeError` if *feeds* are not what the model takes.
    """

    def __init__(
        self,
        model: Model,
        feeds: Mapping[str, Any] | None = None,
        samples: int = 1,
        sizes: Mapping[str, int] | None = None,
    ) -> None:
        self.runtime = ""
        self.unchecked = ""
        self._runs: list[_Run] = []
        # The same, with how far rounding constants anew moves them, once that was asked.
        self._anew: list[_Run] = []
        self._names = list(model.graph.output_names)
        self._foreign = _foreign(model)
        self._narrow = _narrow(model)
        self._steps = {
            name: max((precision(dtype) for dtype in types if dtype.itemsize == 2), default=0.0)
            for name, types in self._narrow.items()
        }
        given = None if feeds is None else fitted(model, feeds)
        try:
            session = runtime.Session(model.commit(), model.folder)
            self.runtime = session.runtime
            if given is not None:
                self._runs.append(self._measure(model, session, given))
            else:
                for sample in range(samples):
                    self._runs.append(self._sample(model, session, sizes or {}, sample))
        except EvaluationError as error:
            self.unchecked = f"the original cannot be run: {_brief(error)}"
        except OnnxForgeError as error:
            self.unchecked = _brief(error)

    @property
    def feeds(self) -> list[dict[str, Any]]:
        """The inputs of each run."""
        return [run.feeds for run in self._runs]

    @property
    def outputs(self) -> list[list[Any]]:
        """The outputs of each run, in order."""
        return [run.outputs for run in self._runs]

    def expect(self, outputs: Mapping[str, Any]) -> None:
        """Take *outputs*, by name, for the right ones, in place of what the original computes.

        Raises `OnnxForgeError` if one of the model's outputs is not among them.
        """
        if missing := [name for name in self._names if name not in outputs]:
            raise OnnxForgeError(f"the reference has no output {missing[0]!r}")
        right = [outputs[name] for name in self._names]
        self._runs = [replace(run, outputs=right) for run in self._runs]
        self._anew = []

    def compare(self, model: Model, original: Model | None = None) -> Comparison:
        """What *model* makes of the same inputs, compared with what the original made of them.

        `error` and `tolerance` are of the output that exceeds, or exhausts, its own most.  Where
        that is too much and the *original* is at hand, it is asked how far rounding its constants
        anew moves it.
        """
        if self.unchecked:
            return Comparison(unchecked=self.unchecked)
        comparison = self._compared(model, self._runs)
        if original is None or comparison.is_equivalent or math.isinf(comparison.error):
            return comparison
        self._anew = self._anew or [_rounded_anew(run, original) for run in self._runs]
        return self._compared(model, self._anew)

    def _compared(self, model: Model, runs: list[_Run]) -> Comparison:
        try:
            session = runtime.Session(model.commit(), model.folder)
        except EvaluationError as error:
            new = [name for name in _foreign(model) if name not in self._foreign]
            if new:
                # A kernel that lives elsewhere, say in an accelerator's own runtime.
                return Comparison(unchecked=f"nothing here runs {', '.join(new)}")
            return self._different(f"the result cannot be run: {_brief(error)}")
        narrow = _narrow(model)
        worst, margin, errors = 0.0, 0.0, dict.fromkeys(self._names, 0.0)
        where, note = self.runtime, ""
        if session.runtime != where:
            where += f", the result in {session.runtime}"
        for run in runs:
            try:
                outputs = session.run(run.feeds)
            except TooLongError as error:
                return Comparison(unchecked=f"the result was {error}")
            except EvaluationError as error:
                return self._different(f"the result cannot be run: {_brief(error)}")
            if len(outputs) != len(run.outputs):
                return self._different(f"{len(run.outputs)} outputs became {len(outputs)}")
            for index, pair in enumerate(zip(run.outputs, outputs, strict=True)):
                name = self._names[index]
                now = narrow.get(name, [])
                both = [dtype for dtype in self._narrow.get(name, []) if dtype in now]
                difference, limit, is_lenient = _judge(run, index, pair, both)
                errors[name] = max(errors[name], difference)
                if is_lenient:
                    note = f"; rounding its {run.nudged} moves the original's {name!r} as far"
                if _ratio(difference, limit) >= _ratio(worst, margin):
                    worst, margin = difference, limit
        return Comparison(worst, margin, errors, where + note)

    def _different(self, why: str) -> Comparison:
        errors = dict.fromkeys(self._names, math.inf)
        return Comparison(math.inf, 0.0, errors, f"{self.runtime}: {why}")

    def _sample(
        self, model: Model, session: runtime.Session, sizes: Mapping[str, int], sample: int
    ) -> _Run:
        """The first run on made-up inputs that succeeds, of several choices of sizes."""
        failure: OnnxForgeError | None = None
        for choice in _distinct_choices(model, sizes):
            feeds = feeds_for(model, choice, sample)
            try:
                return self._measure(model, session, feeds)
            except TooLongError:
                raise
            except EvaluationError as error:
                failure = failure or error  # the first sizes are the likeliest to be meant
        raise failure or EvaluationError("there is no choice of sizes")

    def _measure(self, model: Model, session: runtime.Session, feeds: dict[str, Any]) -> _Run:
        outputs = session.run(feeds)
        steps = [self._steps.get(name, 0.0) for name in self._names]
        runs = {step: _nudged_run(model, session, feeds, step) or outputs for step in set(steps)}
        nudged = [runs[step][index] for index, step in enumerate(steps)]
        pairs = list(zip(outputs, nudged, strict=True))
        if any(relative_error(a, b) > allowed(a) for a, b in pairs):
            # Ill-conditioned or random: the very same inputs tell.
            again = list(zip(outputs, session.run(feeds), strict=True))
            if any(relative_error(a, b) > allowed(a) for a, b in again):
                operators = _random_operators(model)
                raise OnnxForgeError(f"the model is not deterministic: {operators}")
        moved = [relative_error(a, b) for a, b in pairs]
        return _Run(feeds, outputs, moved, [mismatches(a, b) for a, b in pairs])


def compare_models(
    a: Model,
    b: Model,
    feeds: Mapping[str, Any] | None = None,
    sizes: Mapping[str, int] | None = None,
) -> Comparison:
    """Whether *b* takes and gives what *a* does, and computes the same.

    Models whose inputs or outputs differ in name, order, element type or rank are not equivalent.
    Raises `OnnxForgeError` if *feeds* are not what *a* takes.
    """
    if problem := _interfaces_differ(a, b):
        names = dict.fromkeys(a.graph.output_names, math.inf)
        return Comparison(math.inf, 0.0, names, f"no runtime: {problem}")
    return Baseline(a, feeds, sizes=sizes).compare(b)


def _judge(
    run: _Run, index: int, pair: tuple[Any, Any], narrow: list[np.dtype[Any]]
) -> tuple[float, float, bool]:
    """Error and limit of an output, and whether the limit had to be raised for it to pass."""
    expected, actual = pair
    error, limit = relative_error(expected, actual), allowed(expected, narrow)
    if error <= limit:
        return error, limit, False
    if _is_rounded(expected):
        lenient = _MARGIN * run.moved[index]
        if math.isfinite(lenient) and error <= lenient:
            return error, lenient, True
    elif mismatches(expected, actual) <= _MARGIN * run.flipped[index] < 1:
        # Indices and quantized values jump where what they are computed from barely moves.
        return 0.0, limit, True
    return error, limit, False


def _is_rounded(value: Any) -> bool:
    return isinstance(value, np.ndarray) and is_float(value.dtype)


def _ratio(error: float, limit: float) -> float:
    if error == 0:
        return 0.0
    return error / limit if limit else math.inf


def _nudged_run(
    model: Model, session: runtime.Session, feeds: dict[str, Any], least: float
) -> list[Any] | None:
    """The outputs for feeds that are a little off, *least* of their size or more.

    If there are no floats among them, weights are; None where that cannot be run.
    """
    try:
        if any(_is_rounded(feed) for feed in feeds.values()):
            return session.run({name: _nudged(name, feed, least) for name, feed in feeds.items()})
        proto = model.commit()
        if proto.ByteSize() > _COPIED:
            return session.run(feeds)
        copy = ModelProto()
        copy.CopyFrom(proto)
        for tensor in copy.graph.initializer:
            if len(tensor.dims) == 1 and tensor.dims[0] in _BIASES:
                array = _nudged(tensor.name, storage.to_array(tensor, model.folder), least)
                tensor.CopyFrom(storage.from_array(array, tensor.name))
        return runtime.Session(copy, model.folder).run(feeds)
    except OnnxForgeError:
        return None


def _rounded_anew(run: _Run, original: Model) -> _Run:
    """*run*, with how far rounding the constants of *original* anew moves each of its outputs.

    What inputs do not move at all can still be the small difference of two large constants.
    """
    moved = [0.0] * len(run.outputs)
    try:
        proto = storage.materialize(original.commit(), original.folder)
        if proto.ByteSize() > _COPIED:
            return run
        for seed, direction in _ROUNDINGS:
            random = np.random.default_rng(seed)
            copy = ModelProto()
            copy.CopyFrom(proto)
            for tensor in storage.tensors(copy):
                array = storage.to_array(tensor)
                if _is_rounded(array):
                    array = _moved(array, direction * precision(array.dtype), random)
                    tensor.CopyFrom(storage.from_array(array, tensor.name))
            outputs = runtime.Session(copy).run(run.feeds)
            errors = map(relative_error, run.outputs, outputs)
            moved = list(map(max, moved, errors))
    except OnnxForgeError:
        return run
    return replace(run, moved=moved, nudged="constants")


def _nudged(name: str, feed: Any, least: float) -> Any:
    if not _is_rounded(feed):
        return feed
    step = max(_NUDGE * tolerance(feed.dtype), precision(feed.dtype), least)
    return _moved(feed, step, np.random.default_rng(len(name)))


def _moved(array: Any, step: float, random: np.random.Generator) -> Any:
    """*array* with each element a *step* of its size larger or smaller."""
    wide = array if array.dtype.kind == "c" else array.astype(np.float64)
    return (wide * (1 + step * random.choice((-1.0, 1.0), array.shape))).astype(array.dtype)


def _narrow(model: Model) -> dict[str, list[np.dtype[Any]]]:
    """The 16-bit and narrower float types that each output is computed through."""
    proto = model.proto
    stored = {tensor.data_type for tensor in proto.graph.initializer}
    stored |= {info.type.tensor_type.elem_type for info in proto.graph.input}
    for node in _nodes(model):
        stored |= {a.i if a.name == "to" else a.t.data_type for a in node.proto.attribute}
    if not stored & _NARROW:
        return {}  # and the model need not be inferred to know
    outputs = model.graph.outputs
    return {value.name: narrow_floats(between([value], ())[0]) for value in outputs}


def _distinct_choices(model: Model, sizes: Mapping[str, int]) -> Iterator[dict[str, int]]:
    tried: list[dict[str, int]] = []
    for choice in size_choices(inputs_of(model)):
        merged = {**choice, **sizes}
        if merged not in tried:
            tried.append(merged)
            yield merged


def _nodes(model: Model) -> Iterator[Node]:
    for graph in model.graphs():
        yield from graph


def _random_operators(model: Model) -> str:
    """The operators that may be why a model does not give the same twice."""
    names = dict.fromkeys(node.op_type for node in _nodes(model) if not node.operator.deterministic)
    return ", ".join(names) or "no operator of it is known to be random"


def _foreign(model: Model) -> list[str]:
    """The operators that ONNX does not define, and the model neither."""
    functions = {function.operator for function in model.functions}
    return list(
        dict.fromkeys(
            f"{node.domain}::{node.op_type}"
            for node in _nodes(model)
            if node.domain
            and not node.domain.startswith("ai.onnx")
            and (node.domain, node.op_type) not in functions
        )
    )


def _interfaces_differ(a: Model, b: Model) -> str:
    sides = [("inputs", inputs_of(a), inputs_of(b)), ("outputs", a.graph.outputs, b.graph.outputs)]
    for what, ours, theirs in sides:
        if [value.name for value in ours] != [value.name for value in theirs]:
            return f"the {what} are {_names(ours)} and {_names(theirs)}"
        for one, other in zip(ours, theirs, strict=True):
            for aspect in ("dtype", "rank"):
                x, y = getattr(one, aspect), getattr(other, aspect)
                if x is not None and y is not None and x != y:
                    kind = "element type" if aspect == "dtype" else aspect
                    return f"the {kind} of {one.name!r} is {x} and {y}"
    return ""


def _names(values: Any) -> str:
    names: list[str] = [value.name for value in values if isinstance(value, Value)]
    return ", ".join(names) or "none"


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= _BRIEF else f"{text[:_BRIEF]}..."
