"""Checking whole models: what the original computes, run first, against what it became."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from onnx import TensorProto

from onnxforge import runtime
from onnxforge.errors import EvaluationError, OnnxForgeError, TooLongError
from onnxforge.extract import between
from onnxforge.ir import Model, Node, Value
from onnxforge.report import Comparison

from .compare import allowed, mismatches, precision, relative_error, settled
from .feeds import feeds_for, fitted, inputs_of, size_choices
from .nudges import Nudge, by_constants, by_inputs, is_rounded, random_operators
from .trial import narrow_floats

_NARROW = {TensorProto.FLOAT16, TensorProto.BFLOAT16}
_BRIEF = 400


@dataclass(frozen=True)
class _Run:
    """What the original makes of some feeds, and what it should: the same, unless told."""

    feeds: dict[str, Any]
    outputs: list[Any]
    expected: list[Any]


class Baseline:
    """What a model computes before anything is done to it.

    *feeds* are its inputs by name; without, *samples* of them are made up, in sizes the model
    accepts: those of *sizes*, by the names of symbolic dimensions, where given.  What cannot be
    run, or does not give the same twice, cannot be compared; `unchecked` then says why.

    Keeps the outputs and, as `original`, a copy of the model, weights on disk excepted.  Raises
    `OnnxForgeError` if *feeds* are not what the model takes.
    """

    def __init__(
        self,
        model: Model,
        feeds: Mapping[str, Any] | None = None,
        samples: int = 1,
        sizes: Mapping[str, int] | None = None,
    ) -> None:
        # Views cost nothing to copy; and what comes of a model must not depend on what was asked of
        # it before, such as for sizes to run it in.
        self.original = model.copy()
        self.runtime = ""
        self.unchecked = ""
        self._runs: list[_Run] = []
        self._names = list(self.original.graph.output_names)
        self._foreign = _foreign(self.original)
        self._narrow = _narrow(self.original)
        given = None if feeds is None else fitted(self.original, feeds)
        try:
            session = runtime.Session(self.original.commit(), self.original.folder)
            self.runtime = session.runtime
            if given is not None:
                self._runs.append(_run(session, given))
            else:
                for sample in range(samples):
                    self._runs.append(self._sample(session, sizes or {}, sample))
            if random_operators(self.original):  # which may agree with the result by chance
                _ = self._by_inputs
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
        """The right outputs of each run, in order."""
        return [run.expected for run in self._runs]

    def expect(self, outputs: Mapping[str, Any]) -> None:
        """Take *outputs*, by name, for the right ones, in place of what the original computes.

        Raises `OnnxForgeError` if one of the model's outputs is not among them.
        """
        if missing := [name for name in self._names if name not in outputs]:
            raise OnnxForgeError(f"the reference has no output {missing[0]!r}")
        right = [outputs[name] for name in self._names]
        self._runs = [replace(run, expected=right) for run in self._runs]

    def compare(self, model: Model) -> Comparison:
        """What *model* makes of the same inputs, compared with what the original made of them.

        `error` and `tolerance` are of the output that exceeds, or exhausts, its own most.  Only
        where that is too much the original is asked more: whether it gives the same twice, how far
        rounding its inputs moves it, and how far rounding its constants does.
        """
        if self.unchecked:
            return Comparison(unchecked=self.unchecked)
        try:
            session = runtime.Session(model.commit(), model.folder)
        except EvaluationError as error:
            new = [name for name in _foreign(model) if name not in self._foreign]
            if new:
                # A kernel that lives elsewhere, say in an accelerator's own runtime.
                return Comparison(unchecked=f"nothing here runs {', '.join(new)}")
            return self._different(f"the result cannot be run: {_brief(error)}")
        try:
            results = [session.run(run.feeds) for run in self._runs]
        except TooLongError as error:
            return Comparison(unchecked=f"the result was {error}")
        except EvaluationError as error:
            return self._different(f"the result cannot be run: {_brief(error)}")
        if wrong := [outputs for outputs in results if len(outputs) != len(self._names)]:
            return self._different(f"{len(self._names)} outputs became {len(wrong[0])}")
        where = self.runtime
        if session.runtime != where:
            where += f", the result in {session.runtime}"
        judge = partial(self._judged, results, _narrow(model), where)
        comparison = judge()
        try:
            if not comparison.is_equivalent:
                comparison = judge(self._by_inputs)
            if not comparison.is_equivalent and math.isfinite(comparison.error):
                comparison = judge(self._by_inputs, self._by_constants)
        except OnnxForgeError as error:
            self.unchecked = _brief(error)
            return Comparison(unchecked=self.unchecked)
        return comparison

    def _judged(
        self,
        results: list[list[Any]],
        narrow: dict[str, list[np.dtype[Any]]],
        where: str,
        *nudges: list[Nudge],
    ) -> Comparison:
        """The comparison if as much is allowed as *nudges*, one for each run, do to the original."""
        worst, margin, errors, note = 0.0, 0.0, dict.fromkeys(self._names, 0.0), ""
        for number, (run, outputs) in enumerate(zip(self._runs, results, strict=True)):
            allowances = [nudge[number] for nudge in nudges]
            for index, pair in enumerate(zip(run.expected, outputs, strict=True)):
                name = self._names[index]
                now = narrow.get(name, [])
                both = [dtype for dtype in self._narrow.get(name, []) if dtype in now]
                difference, limit, what = _judge(pair, both, index, allowances)
                errors[name] = max(errors[name], difference)
                if what:
                    note = f"; rounding its {what} moves the original's {name!r} as far"
                if _ratio(difference, limit) >= _ratio(worst, margin):
                    worst, margin = difference, limit
        return Comparison(worst, margin, errors, where + note)

    def _different(self, why: str) -> Comparison:
        errors = dict.fromkeys(self._names, math.inf)
        return Comparison(math.inf, 0.0, errors, f"{self.runtime}: {why}")

    def _sample(self, session: runtime.Session, sizes: Mapping[str, int], sample: int) -> _Run:
        """The first run on made-up inputs that succeeds, of several choices of sizes."""
        failure: OnnxForgeError | None = None
        for choice in _distinct_choices(self.original, sizes):
            feeds = feeds_for(self.original, choice, sample)
            try:
                return _run(session, feeds)
            except TooLongError:
                raise
            except EvaluationError as error:
                failure = failure or error  # the first sizes are the likeliest to be meant
        raise failure or EvaluationError("there is no choice of sizes")

    @cached_property
    def _by_inputs(self) -> list[Nudge]:
        """What rounding inputs does to each run.

        Raises `OnnxForgeError` if the original does not give the same twice.
        """
        least = {
            name: max((precision(dtype) for dtype in types if dtype.itemsize == 2), default=0.0)
            for name, types in self._narrow.items()
        }
        steps = [least.get(name, 0.0) for name in self._names]
        return by_inputs(self.original, self.feeds, steps)

    @cached_property
    def _by_constants(self) -> list[Nudge]:
        """What rounding the constants of the original does to each run."""
        return by_constants(self.original, [(run.feeds, run.outputs) for run in self._runs])


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


def _run(session: runtime.Session, feeds: dict[str, Any]) -> _Run:
    outputs = session.run(feeds)
    return _Run(feeds, outputs, outputs)


def _judge(
    pair: tuple[Any, Any], narrow: list[np.dtype[Any]], index: int, nudges: Sequence[Nudge]
) -> tuple[float, float, str]:
    """Error and limit of an output, and what of *nudges* raised the limit for it to pass, if any."""
    expected, actual = pair
    error, limit = relative_error(expected, actual), allowed(expected, narrow)
    if error <= limit:
        return error, limit, ""
    for nudge in nudges:
        if is_rounded(expected):
            # At the edge of what a function is defined for, rounding decides whether it is.
            mended, strays = settled(expected, actual)
            off, lenient = relative_error(expected, mended), max(limit, nudge.allowance(index))
            if strays <= nudge.strays(index) and off <= lenient:
                return off, lenient, nudge.what
        elif mismatches(expected, actual) <= nudge.flips(index):
            # Indices and quantized values jump where what they are computed from barely moves.
            return 0.0, limit, nudge.what
    return error, limit, ""


def _ratio(error: float, limit: float) -> float:
    if error == 0:
        return 0.0
    return error / limit if limit else math.inf


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
