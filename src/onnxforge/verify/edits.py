"""Checking every edit, before it happens."""

from __future__ import annotations

import math
from collections import Counter

from onnxforge import loops, storage
from onnxforge.errors import OnnxForgeError
from onnxforge.ir import Value
from onnxforge.report import Tally

from .failure import Failure
from .region import cuts, obstacle
from .sample import CannotSample
from .trial import CannotRun, Outcome, Trial


class EditChecker:
    """Whether a value may stand for another, found out by computing both.

    Ask it as `checker(old, new)`, or set it as a model's `checker`, and `take` what came of it.
    The piece of graph between the two values and those they share is cut out, run before and after
    the edit on the same made-up inputs, and compared.  What cannot be checked is let through and
    counted, with the reason.

    To bound the cost, the first *budget* edits of a pass are all checked and one in *every* after
    that; regions have up to *limit* nodes and read up to *max_bytes* of constants.
    """

    def __init__(
        self, *, budget: int = 32, every: int = 16, limit: int = 64, max_bytes: int = 1 << 28
    ) -> None:
        self.budget = budget
        self.every = every
        self.limit = limit
        self.max_bytes = max_bytes
        self.failures: list[Failure] = []
        self._start_over()

    def _start_over(self) -> None:
        self._asked = 0
        self._checked = 0
        self._unchecked: Counter[str] = Counter()
        self._refused: list[str] = []
        self._error = 0.0

    def take(self) -> Tally:
        """What came of the edits since last asked; the budget starts over."""
        tally = Tally(self._checked, self._unchecked, tuple(self._refused), self._error)
        self._start_over()
        return tally

    def __call__(self, old: Value, new: Value) -> bool:
        """Whether *new* may stand for *old*: False if it was found to differ."""
        self._asked += 1
        if self._asked > self.budget and self._asked % self.every:
            self._unchecked[f"only one edit in {self.every} is, after the first {self.budget}"] += 1
            return True
        try:
            trial, outcome = self._try(old, new)
        except (CannotSample, CannotRun, OnnxForgeError) as reason:
            self._unchecked[str(reason)] += 1
            return True
        if outcome.is_wrong:
            self._refuse(old, trial, outcome)
            return False
        self._checked += 1
        self._error = max(self._error, outcome.error)
        return True

    def _try(self, old: Value, new: Value) -> tuple[Trial, Outcome]:
        """The first trial that finds the two equal, else the last: see `region`.

        Raises `CannotSample` or `CannotRun` if none could be run.
        """
        found: tuple[Trial, Outcome] | None = None
        reason: Exception = CannotRun("nothing is left to run")
        for starts in cuts(old, new, self.limit):
            if text := obstacle(old, new, starts):
                reason = CannotRun(text)
                break
            trial = Trial(old, new, starts)
            if trial.nbytes > self.max_bytes:
                reason = CannotRun(f"the region reads more than {self.max_bytes >> 20} MiB")
                break
            trips = max(
                loops.most_trips(side, trial.folder) for side in (trial.before, trial.after)
            )
            if loops.MAX_TRIPS < trips < math.inf:
                reason = CannotRun("a loop of the region runs more often than any could")
                break
            try:
                # Where a nearer cut showed a difference, that it does not show must be no chance.
                found = trial, trial.run(thorough=found is not None)
            except (CannotSample, CannotRun) as error:
                reason = error
                continue
            if not found[1].is_wrong:
                break
        if found is None:
            raise reason
        return found

    def _refuse(self, old: Value, trial: Trial, outcome: Outcome) -> None:
        what = f" ({old.producer!r})" if old.producer is not None else ""
        if outcome.problem:
            text = f"replacing {old.name!r}{what} by what cannot be run: {outcome.problem}"
        else:
            text = (
                f"replacing {old.name!r}{what} changes its value by {outcome.error:.1e} "
                f"(allowed {outcome.tolerance:.1e})"
            )
        running = old.graph.model.running
        self._refused.append(f"{running}: {text}" if running else text)
        self.failures.append(
            Failure(
                old.graph.model.running or "",
                text,
                storage.materialize(trial.before, trial.folder),
                storage.materialize(trial.after, trial.folder),
                outcome.feeds,
                outcome.expected,
                outcome.actual,
                outcome.error,
                outcome.tolerance,
                outcome.runtime,
            )
        )
