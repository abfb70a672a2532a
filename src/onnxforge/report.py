"""What a run of the manager did, pass by pass, for people and for machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Tally:
    """What checking the edits of one pass came to.

    `unchecked` counts the reasons why edits could not be checked; `refused` tells of each edit
    that was found wrong and undone.  `error` is the largest difference among those that passed,
    relative to the size of the values.  `sampled` edits were not checked themselves: they differ
    in names and weights alone from one that was.
    """

    checked: int = 0
    unchecked: Counter[str] = field(default_factory=Counter)
    refused: tuple[str, ...] = ()
    error: float = 0.0
    sampled: int = 0

    @property
    def edits(self) -> int:
        """How many edits there were."""
        return self.checked + self.sampled + self.unchecked.total() + len(self.refused)


_NO_EDITS = Tally()


# Not frozen: there is one for each pass and round, and what is frozen takes long to make.
@dataclass(slots=True)
class Step:
    """What one run of one pass did; `seconds` include checking its edits."""

    name: str
    round: int
    changes: int
    nodes: int
    seconds: float = 0.0
    declined: Mapping[str, int] = field(default_factory=dict)
    tally: Tally = _NO_EDITS


@dataclass(frozen=True, slots=True)
class Comparison:
    """What running the original and the result on the same inputs came to.

    `error` is the largest difference relative to the size of the output, by output in `outputs`;
    `runtime` says what ran them.  If `unchecked` is not empty, it is the reason why nothing could
    be compared, and `error` means nothing.
    """

    error: float = 0.0
    tolerance: float = 0.0
    outputs: dict[str, float] = field(default_factory=dict)
    runtime: str = ""
    unchecked: str = ""

    @property
    def is_equivalent(self) -> bool:
        """Whether nothing was found to differ; an unchecked comparison found nothing."""
        return self.error <= self.tolerance

    def __str__(self) -> str:
        if self.unchecked:
            return f"whole model: UNCHECKED, {self.unchecked}"
        verdict = "" if self.is_equivalent else ": NOT EQUIVALENT"
        return (
            f"whole model: error {self.error:.1e} (allowed {self.tolerance:.1e}) "
            f"in {self.runtime}{verdict}"
        )


@dataclass(slots=True)
class Report:
    """What a run of the manager did.

    `verify` says what was asked for: "model", "edits" or "" for nothing.  `str()` gives the table,
    of the passes that found something, and `to_dict()` plain data for JSON.
    """

    nodes_before: int
    nodes: int = 0
    verify: str = ""
    steps: list[Step] = field(default_factory=list)
    comparison: Comparison | None = None
    settled: bool = True

    @property
    def changes(self) -> int:
        """The number of changes made in all."""
        return sum(step.changes for step in self.steps)

    @property
    def refused(self) -> list[str]:
        """The edits that were found wrong and undone."""
        return [refusal for step in self.steps for refusal in step.tally.refused]

    def by_pass(self) -> list[Step]:
        """One step for each pass, the rounds added up, in the order they first ran."""
        totals: dict[str, Step] = {}
        for step in self.steps:
            before = totals.get(step.name)
            totals[step.name] = step if before is None else _sum(before, step)
        return list(totals.values())

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data."""
        passes = []
        for step in self.by_pass():
            tally = asdict(step.tally)
            tally["unchecked"] = dict(step.tally.unchecked)
            passes.append(
                {
                    "name": step.name,
                    "changes": step.changes,
                    "nodes": step.nodes,
                    "seconds": step.seconds,
                    "declined": dict(step.declined),
                    **tally,
                }
            )
        comparison = self.comparison
        return {
            "verify": self.verify,
            "nodes_before": self.nodes_before,
            "nodes": self.nodes,
            "changes": self.changes,
            "rounds": max((step.round for step in self.steps), default=0),
            "settled": self.settled,
            "passes": passes,
            "model": None
            if comparison is None
            else {**asdict(comparison), "is_equivalent": comparison.is_equivalent},
        }

    def __str__(self) -> str:
        lines = [f"{'pass':36}{'changes':>8}{'nodes':>8}{'time':>13}{'checked':>10}{'error':>10}"]
        steps = self.by_pass()
        told = [step for step in steps if step.changes or step.tally.edits or step.declined]
        for step in told:
            tally = step.tally
            lines.append(
                f"{step.name:36}{step.changes:8}{step.nodes:8}{step.seconds * 1e3:10.1f} ms"
                f"{f'{tally.checked}/{tally.edits}' if tally.edits else '-':>10}"
                f"{f'{tally.error:.1e}' if tally.checked else '-':>10}"
            )
            lines += [f"  REFUSED {refusal}" for refusal in tally.refused]
            lines += [f"  left {n} alone: {reason}" for reason, n in step.declined.items()]
            if tally.sampled:
                lines.append(f"  {tally.sampled} taken for right, as one that differs in names was")
            lines += [f"  {n} not checked: {reason}" for reason, n in tally.unchecked.items()]
        if idle := len(steps) - len(told):
            lines.append(f"{idle} {'pass' if idle == 1 else 'passes'} found nothing to do")
        if not self.settled:
            lines.append("stopped at the bound on rounds: another run may find more")
        if self.comparison is not None:
            lines.append(str(self.comparison))
        elif not self.verify:
            lines.append("whole model: UNCHECKED, verification was turned off")
        return "\n".join(lines)


def _sum(a: Step, b: Step) -> Step:
    # A reason to leave something alone comes up again in every round: the last round's holds.
    tally = Tally(
        a.tally.checked + b.tally.checked,
        a.tally.unchecked + b.tally.unchecked,
        a.tally.refused + b.tally.refused,
        max(a.tally.error, b.tally.error),
        a.tally.sampled + b.tally.sampled,
    )
    return Step(
        a.name, b.round, a.changes + b.changes, b.nodes, a.seconds + b.seconds, b.declined, tally
    )
