"""Checking every edit, before it happens."""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass

from onnxforge import loops, storage
from onnxforge.errors import OnnxForgeError
from onnxforge.ir import Value
from onnxforge.report import Tally

from .calls import as_called
from .failure import Failure
from .likeness import likeness, weights
from .region import cuts, obstacle
from .sample import CannotSample
from .trial import CannotRun, Outcome, Trial


@dataclass(slots=True)
class _Kind:
    """What is known of edits that are alike: how many came, and why the last was not checked.

    They speak for others unless one of them was wrong, or right only for what lay further back.
    """

    count: int = 0
    reason: str = ""
    speaks_for_others: bool = False
    was_wrong: bool = False


class EditChecker:
    """Whether a value may stand for another, found out by computing both.

    Ask it as `checker(old, new)`, or set it as a model's `checker`, and `take` what came of it.
    The piece of graph between the two values and those they share is cut out, run before and after
    the edit on the same made-up inputs, and compared.  What cannot be checked is let through and
    counted, with the reason.  What was refused stays so without being asked or told of again.

    To bound the cost, of edits by one pass that differ in names and weights alone the first is
    checked, and one in *every* after that.  So are the first *budget* kinds of edits of a pass, and
    one in *every* further ones.  Regions have up to *limit* nodes and read up to *max_bytes* of
    constants.  Once the edits of a pass took *seconds*, only those are checked that are like one
    that was wrong.
    """

    def __init__(
        self,
        *,
        budget: int = 256,
        every: int = 16,
        limit: int = 64,
        max_bytes: int = 1 << 28,
        seconds: float = 30.0,
    ) -> None:
        self.budget = budget
        self.every = every
        self.limit = limit
        self.max_bytes = max_bytes
        self.seconds = seconds
        self.failures: list[Failure] = []
        self._kinds: dict[tuple[str, bytes], _Kind] = {}
        self._known_wrong: dict[tuple[str, Value, bytes], dict[bytes, None]] = {}
        self._start_over()

    def _start_over(self) -> None:
        self._new_kinds = 0
        self._spent = 0.0
        self._checked = 0
        self._sampled = 0
        self._unchecked: Counter[str] = Counter()
        self._refused: list[str] = []
        self._error = 0.0

    def take(self) -> Tally:
        """What came of the edits since last asked; the budget starts over."""
        tally = Tally(
            self._checked, self._unchecked, tuple(self._refused), self._error, self._sampled
        )
        self._start_over()
        return tally

    def __call__(self, old: Value, new: Value) -> bool:
        """Whether *new* may stand for *old*: False if it was found to differ."""
        running = old.graph.model.running or ""
        try:
            pairs = as_called(old, new)
            nearest = [(*pair, next(cuts(*pair, self.limit))) for pair in pairs or [(old, new)]]
            alike = b"".join(likeness(*each) for each in nearest)
            wrong = self._known_wrong.get((running, old, alike))
            if wrong is not None and b"".join(weights(*each) for each in nearest) in wrong:
                return False
        except OnnxForgeError as reason:
            self._unchecked[str(reason)] += 1
            return True
        kind = self._kinds.setdefault((running, alike), _Kind())
        if not kind.count:
            self._new_kinds += 1
            if self._new_kinds > self.budget and self._new_kinds % self.every:
                rule = f"only one kind in {self.every} is, after the first {self.budget}"
                self._unchecked[rule] += 1
                return True
        kind.count += 1
        is_late = self._spent >= self.seconds and not kind.was_wrong
        if kind.speaks_for_others and (is_late or kind.count % self.every != 1 % self.every):
            if kind.reason:
                self._unchecked[kind.reason] += 1
            else:
                self._sampled += 1
            return True
        if is_late:
            kind.count -= 1  # in the next round there is time for it
            self._unchecked[f"checking the edits before took {self.seconds:g} seconds"] += 1
            return True
        start = time.perf_counter()
        holds = self._check(old, pairs, kind)
        self._spent += time.perf_counter() - start
        if holds:
            return True
        same = self._known_wrong.setdefault((running, old, alike), {})
        same[b"".join(weights(*each) for each in nearest)] = None
        return False

    def _check(self, old: Value, pairs: list[tuple[Value, Value]], kind: _Kind) -> bool:
        """Whether an edit holds in each of *pairs*; what is learnt of its kind is noted."""
        kind.reason = "" if pairs else "the function is never called"
        kind.speaks_for_others = True
        for pair in pairs:
            try:
                trial, outcome, is_nearest = self._try(*pair)
            except (CannotSample, CannotRun, OnnxForgeError) as reason:
                kind.reason = str(reason)
                continue
            if outcome.is_wrong:
                kind.speaks_for_others = False
                kind.was_wrong = True
                self._refuse(old, trial, outcome)
                return False
            # Beyond the nearest cut edits of one kind need not be alike any more.
            kind.speaks_for_others &= is_nearest
            self._error = max(self._error, outcome.error)
        if kind.reason:
            self._unchecked[kind.reason] += 1
        else:
            self._checked += 1
        return True

    def _try(self, old: Value, new: Value) -> tuple[Trial, Outcome, bool]:
        """The first trial that finds the two equal, else the last: see `region`.

        Whether it was that of the nearest cut comes with it.  Raises `CannotSample` or `CannotRun`
        if none could be run.
        """
        found: tuple[Trial, Outcome, bool] | None = None
        reason: Exception = CannotRun("nothing is left to run")
        for number, starts in enumerate(cuts(old, new, self.limit)):
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
                outcome = trial.run(thorough=found is not None)
            except (CannotSample, CannotRun) as error:
                reason = error
                continue
            found = trial, outcome, number == 0
            if not outcome.is_wrong:
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
