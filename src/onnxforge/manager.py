"""The pass manager: runs passes to a fixed point and says what each did."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Protocol

from onnxforge.errors import OnnxForgeError, PassError
from onnxforge.ir import Model, Node, Value
from onnxforge.ir.model import gc_paused
from onnxforge.passes import Pass
from onnxforge.report import Report, Step, Tally
from onnxforge.storage import maps_kept
from onnxforge.targets import Target, welcomes


class Checker(Protocol):
    """What the manager asks of whoever checks edits: see `verify.EditChecker`."""

    def __call__(self, old: Value, new: Value) -> bool:
        """Whether *new* may stand for *old*."""
        ...

    def take(self) -> Tally:
        """What came of it since last asked."""
        ...


class PassManager:
    """Runs its passes in order, again and again until a whole round changes nothing.

    A pass that found nothing to do in a model is not run on it again before it is edited.

    A *checker* is asked before every edit; one it refuses does not happen, and the run goes on.
    Nor does one that brings in an operator which *target* does not welcome, unless the model held
    it to begin with.
    """

    def __init__(
        self,
        passes: Iterable[Pass] = (),
        *,
        checker: Checker | None = None,
        target: Target | None = None,
        max_rounds: int = 10,
        provenance: bool = False,
    ) -> None:
        self.passes = list(passes)
        self.checker = checker
        self.target = target
        self.max_rounds = max_rounds
        self.provenance = provenance

    def register(self, new: Pass) -> None:
        """Add a pass at the end."""
        self.passes.append(new)

    def run(self, model: Model) -> Report:
        """Transform *model* in place.

        Raises `PassError`, naming the pass, if one of them fails, or the `OnnxForgeError` that it
        raised, which then names the pass as well; the model is then consistent, but half done.
        """
        leaves = [leaf for each in self.passes for leaf in each.leaves()]
        types = tuple(map(type, leaves))
        nodes = _count(model)
        report = Report(nodes_before=nodes, verify="edits" if self.checker else "")
        model.checker = self.checker
        model.admits = self._admission(model)
        model.provenance = self.provenance
        model.facts = {}
        try:
            with gc_paused(), maps_kept():
                edits = -1
                for number in range(1, self.max_rounds + 1):
                    model.infer_anew()
                    report.settled = True
                    for place, leaf in enumerate(leaves):
                        if model.edits != edits:
                            edits = model.edits
                            idle = _idle(leaves, model)
                            is_due = _concerned(
                                types, frozenset(g.op_types for g in model.graphs())
                            )
                        if place in idle:
                            step = Step(leaf.name, number, 0, nodes, declined=idle[place])
                        elif not is_due[place]:
                            step = Step(leaf.name, number, 0, nodes)
                        else:
                            step = self._step(leaf, model, number, nodes)
                            report.settled &= not step.changes
                            nodes = step.nodes
                        report.steps.append(step)
                    if report.settled:
                        break
        finally:
            model.checker = None
            model.admits = None
            model.running = None
            model.facts = None
            model.provenance = False
            model.nbytes_before = None
        model.commit()
        if report.settled and self.checker is None and self.target is None:
            last = report.steps[-len(leaves) :]
            model.idle = model.edits, list(zip(leaves, (s.declined for s in last), strict=True))
        report.nodes = nodes
        return report

    def _admission(self, model: Model) -> Callable[[Node, Iterable[Node]], bool] | None:
        if (target := self.target) is None:
            return None
        held = {(node.domain, node.op_type) for graph in model.graphs() for node in graph}

        def admits(node: Node, instead: Iterable[Node]) -> bool:
            operator = (node.domain, node.op_type)
            known = operator in held or operator in model.function_operators
            return known or welcomes(target, node, instead)

        return admits

    def _step(self, each: Pass, model: Model, number: int, nodes: int) -> Step:
        """Run one pass on a model that has so many *nodes*."""
        if model.nbytes_before is None:  # counting takes longer than all else where nothing runs
            model.nbytes_before = model.nbytes
        model.declined.clear()
        model.running = each.name
        edits = model.edits
        start = time.perf_counter()
        try:
            changes = each.apply(model)
        except OnnxForgeError as error:
            if each.name not in str(error):
                error.args = (f"pass {each.name!r} failed: {error}", *error.args[1:])
            raise
        except Exception as error:
            raise PassError(
                f"pass {each.name!r} failed: {type(error).__name__}: {error}"
            ) from error
        seconds = time.perf_counter() - start
        if model.edits != edits:
            nodes = _count(model)
        step = Step(each.name, number, changes, nodes, seconds, dict(model.declined))
        return step if self.checker is None else replace(step, tally=self.checker.take())


@lru_cache(maxsize=1024)
def _concerned(
    passes: tuple[type[Pass], ...], graphs: frozenset[frozenset[str]]
) -> tuple[bool, ...]:
    """Which passes may find anything in a model whose graphs call these operators, each its own."""
    return tuple(any(map(each.concerns, graphs)) for each in passes)


def _idle(leaves: list[Pass], model: Model) -> dict[int, Mapping[str, int]]:
    """Which passes, by place, are known to have nothing to do in *model*, and what they declined."""
    edits, found = model.idle
    if edits != model.edits:
        return {}
    known = {each: declined for each, declined in found if isinstance(each, Hashable)}
    return {
        place: known[leaf]
        for place, leaf in enumerate(leaves)
        if isinstance(leaf, Hashable) and leaf in known
    }


def _count(model: Model) -> int:
    return sum(map(len, model.graphs()))
