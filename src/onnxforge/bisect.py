"""Finding the edit at fault: of a pipeline that spoils a model, the first step that does.

A run is deterministic, so letting only its first *n* edits happen is well defined, and which *n*
is the first to spoil the model can be found by halving.  Passes that edit protobufs behind the
graph's back show up too, as a step of the run instead of an edit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from onnxforge.ir import Model, Value
from onnxforge.manager import PassManager
from onnxforge.passes import Pass
from onnxforge.report import Tally


@dataclass(frozen=True)
class Fault:
    """The first thing a run did that the check did not like.

    `edit` is its number, counting the replacements from 1, and None if the pass did it otherwise;
    `what` says what was replaced by what.  `before` and `after` are the models on either side.
    """

    pass_name: str
    edit: int | None
    what: str
    before: Model
    after: Model

    def __str__(self) -> str:
        number = f"edit {self.edit}, " if self.edit is not None else ""
        return f"pass {self.pass_name!r}: {number}{self.what}"


class _FirstEdits:
    """Lets a number of edits happen and no more; remembers the last."""

    def __init__(self, model: Model, limit: float) -> None:
        self._model = model
        self._limit = limit
        self.done = 0
        self.last = ("", "")

    def __call__(self, old: Value, new: Value) -> bool:
        if self.done >= self._limit:
            return False
        self.done += 1
        self.last = (self._model.running or "", f"{_made(old)} was replaced by {_made(new)}")
        return True

    def take(self) -> Tally:
        return Tally()


def _made(value: Value) -> str:
    return repr(value.producer) if value.producer is not None else repr(value.name)


def bisect(
    model: Model,
    passes: Iterable[Pass],
    is_good: Callable[[Model], bool],
    *,
    max_rounds: int = 10,
    progress: Callable[[int, int], None] | None = None,
) -> Fault | None:
    """The first edit after which *is_good* no longer holds; None if it holds at the end.

    *model* is not changed.  *is_good* is called about log2 of the number of edits times; it may
    run anything, an evaluation of the accuracy for example, but must not be a matter of luck.
    *progress* is told the range of edits still in question.  Raises `ValueError` if *is_good* does
    not hold before the first pass: then no pass is at fault.
    """
    leaves = [leaf for each in passes for leaf in each.leaves()]

    def after(limit: float) -> tuple[Model, _FirstEdits]:
        trial = model.copy()
        edits = _FirstEdits(trial, limit)
        PassManager(leaves, checker=edits, max_rounds=max_rounds).run(trial)
        return trial, edits

    if not is_good(model):
        raise ValueError("the check already fails on the original model: no pass is at fault")
    complete, edits = after(math.inf)
    if is_good(complete):
        return None
    if not is_good(after(0)[0]):
        return _faulty_step(model, leaves, is_good, max_rounds)
    good, bad = 0, edits.done
    while bad - good > 1:
        if progress is not None:
            progress(good, bad)
        middle = (good + bad) // 2
        if is_good(after(middle)[0]):
            good = middle
        else:
            bad = middle
    spoiled, edits = after(bad)
    return Fault(*_named(edits, bad), after(good)[0], spoiled)


def _named(edits: _FirstEdits, number: int) -> tuple[str, int, str]:
    name, what = edits.last
    return name, number, what


def _faulty_step(
    model: Model, leaves: list[Pass], is_good: Callable[[Model], bool], max_rounds: int
) -> Fault:
    """The first pass that spoils the model without replacing anything."""
    trial = model.copy()
    before = trial
    for each in leaves * max_rounds:
        before = trial.copy()
        edits = _FirstEdits(trial, 0)
        PassManager([each], checker=edits, max_rounds=1).run(trial)
        if not is_good(trial):
            break
    what = "it changed the model other than by replacing values"
    return Fault(each.name, None, what, before, trial)
