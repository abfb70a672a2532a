"""Into how many pieces a model falls on a target that takes only what it has kernels for.

A provider takes the largest groups of nodes it can without a group depending on itself through a
node of the CPU's.  Every border costs copies, and often layout changes, so the fewer the better.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from onnxforge.ir import Graph, Node, Value
from onnxforge.targets.target import Kernel, Target


@dataclass(frozen=True, slots=True)
class Partition:
    """How a graph is split between a target and the CPU.

    `groups` are the target's pieces, each a list of nodes in order; `refused` are the nodes left to
    the CPU, with the reason.  Constants belong to neither.
    """

    groups: list[list[Node]]
    refused: dict[Node, str]


def partitions(graph: Graph, target: Target) -> Partition:
    """The pieces of a graph that *target* takes, as greedy grouping in order finds them."""
    refused: dict[Node, str] = {}
    groups: list[list[Node]] = []
    # The level of a node counts how often the path to it changes hands; nodes of the target's on
    # one level cannot depend on each other through the CPU.
    level: dict[Node, int] = {}
    group_of: dict[int, list[Node]] = {}
    for node in graph:
        if node.op_type == "Constant" and not node.domain:
            continue
        reason = refusal(node, target)
        if reason:
            refused[node] = reason
        reached = 0
        for value in node.inputs:
            producer = value.producer if value is not None else None
            if producer is not None and producer in level:
                changes = (producer in refused) != bool(reason)
                reached = max(reached, level[producer] + changes)
        # Even levels are the target's, odd ones the CPU's.
        level[node] = reached + (reached % 2 != bool(reason))
        if not reason:
            if level[node] not in group_of:
                group_of[level[node]] = []
                groups.append(group_of[level[node]])
            group_of[level[node]].append(node)
    return Partition(groups, refused)


def refusal(node: Node, target: Target) -> str:
    """Why *target* leaves a node to the CPU; empty if it takes it."""
    kernel = target.kernel(node)
    if kernel is None:
        name = f"{node.domain}:{node.op_type}" if node.domain else node.op_type
        known = target.kernels is not None and (node.domain, node.op_type) in target.kernels
        return f"no kernel for {name}" + (" of this type and opset" if known else "")
    for need in kernel.needs:
        if not _CONDITIONS[need](node, kernel):
            return f"{node.op_type} needs {need}"
    return ""


def _constant(index: int) -> Callable[[Node, Kernel], bool]:
    def is_constant(node: Node, _: Kernel) -> bool:
        value = node.input(index)
        return value is None or value.is_constant

    return is_constant


def _rank(rank: int) -> Callable[[Node, Kernel], bool]:
    def has_rank(node: Node, _: Kernel) -> bool:
        value = node.input(0)
        return value is None or value.rank in (rank, None)

    return has_rank


def _last_axis(node: Node, _: Kernel) -> bool:
    value, axis = node.input(0), node.attribute("axis")
    rank = value.rank if value is not None else None
    return axis == -1 or (rank is not None and axis == rank - 1)


def _all_inputs_constant_but_first(node: Node, _: Kernel) -> bool:
    return all(_is_known(value) for value in node.inputs[1:])


def _is_known(value: Value | None) -> bool:
    return value is None or value.is_constant


def _attribute(name: str, *allowed: object) -> Callable[[Node, Kernel], bool]:
    def is_allowed(node: Node, _: Kernel) -> bool:
        return node.attribute(name) in allowed

    return is_allowed


_CONDITIONS: dict[str, Callable[[Node, Kernel], bool]] = {
    "constant weights": lambda node, kernel: all(_constant(i)(node, kernel) for i in (1, 2)),
    "constant parameters": _all_inputs_constant_but_first,
    "a constant second input": _constant(1),
    "images of two dimensions": _rank(4),
    "matrices": _rank(2),
    "the last axis": _last_axis,
    "constant mode": _attribute("mode", "constant", None),
    "linear mode": _attribute("mode", "linear", "bilinear"),
    "DCR mode": _attribute("mode", "DCR", None),
}
