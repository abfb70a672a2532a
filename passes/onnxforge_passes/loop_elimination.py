from __future__ import annotations

from typing import Any

import numpy as np

from onnxforge import Builder, Graph, Node, Pass, Value, inline

from .substitution import Substitution
from .uniform import uniform


class LoopElimination(Pass):
    """Put in place of a Loop that runs once its body, and of one that never runs what goes in.

    That is known if the trip count is constant, and the condition is constant or left out.
    """

    operators = ("Loop",)

    def run(self, graph: Graph) -> int:
        """Eliminate the loops; return how many went."""
        loops = [node for node in graph.calls("Loop") if not node.domain]
        return sum(_eliminate(graph, node) for node in loops)


def _eliminate(graph: Graph, node: Node) -> bool:
    trips = _trips(node)
    if trips is None or len(node.subgraphs) != 1 or not any(v.is_used for v in node.outputs):
        return False
    states = node.inputs[2:]
    scanned = node.outputs[len(states) :]
    if trips == 0 and any(value.is_used for value in scanned):
        graph.decline("Loop: it never runs, and the shape of what it would collect is unknown")
        return False
    substitution = Substitution(graph, node)
    op = substitution.op
    goes_on: Value | None = None
    results: list[Value | None] = list(states)
    if trips == 1:
        body = node.subgraphs[0]
        given = [op.constant(_shaped(body, at, number)) for at, number in enumerate((0, True))]
        goes_on, *results = inline(graph, body, [*given, *states], before=node)
    collected = zip(scanned, results[len(states) :], strict=False)
    stacked = [
        _stacked(op, new, node.version) if old.is_used and new is not None else None
        for old, new in collected
    ]
    is_done = substitution.finish([*results[: len(states)], *stacked])
    graph.sweep(value for value in (goes_on, *results) if value is not None)
    return is_done


def _trips(node: Node) -> int | None:
    """0 or 1 if the loop is known to run that often."""
    count, condition = node.input(0), node.input(1)
    goes = True if condition is None else uniform(condition)
    if goes is not None and not goes:
        return 0
    number = uniform(count)
    if number is not None and number <= 0:
        return 0
    return 1 if number == 1 and goes else None


def _shaped(body: Graph, index: int, number: int | bool) -> np.ndarray[Any, Any]:
    """The number of the iteration, or its condition, as a runtime gives it to *body*.

    Old exporters declare a vector of one, and get that.
    """
    declared = body.proto.input[index].type.tensor_type.shape.dim
    return np.full((1,) * len(declared), number)


def _stacked(op: Builder, value: Value, version: int) -> Value:
    """What a loop collects of a single iteration."""
    stacked: Value = (
        op.Unsqueeze(value, np.array([0])) if version >= 13 else op.Unsqueeze(value, axes=[0])
    )
    return stacked
