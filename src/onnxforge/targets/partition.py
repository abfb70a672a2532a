"""Into how many pieces a model falls on a target that takes only what it has kernels for.

A provider takes the largest groups of nodes it can without a group depending on itself through a
node of the CPU's.  Every border costs copies, and often layout changes, so the fewer the better.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from onnxforge.ir import Graph, Node, Value
from onnxforge.targets.target import Target


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
    """Why *target* leaves a node to the CPU; empty if one of its kernels takes it."""
    kernels = target.kernels_for(node)
    if not kernels:
        name = f"{node.domain}:{node.op_type}" if node.domain else node.op_type
        known = target.kernels is not None and (node.domain, node.op_type) in target.kernels
        return f"no kernel for {name}" + (" of this type and opset" if known else "")
    unmet = [next((n for n in k.needs if not CONDITIONS[n](node)), "") for k in kernels]
    return "" if "" in unmet else f"{node.op_type} needs {' or '.join(dict.fromkeys(unmet))}"


def _constant(index: int) -> Callable[[Node], bool]:
    return lambda node: _is_known(node.input(index))


def _rank(*ranks: int) -> Callable[[Node], bool]:
    def has_rank(node: Node) -> bool:
        value = node.input(0)
        return value is None or value.rank is None or value.rank in ranks

    return has_rank


def _last_axis(node: Node) -> bool:
    value, axis = node.input(0), node.attribute("axis")
    rank = value.rank if value is not None else None
    return axis == -1 or (rank is not None and axis == rank - 1)


def _is_known(value: Value | None) -> bool:
    return value is None or value.is_constant


def _attribute(name: str, *allowed: object) -> Callable[[Node], bool]:
    return lambda node: node.attribute(name) in allowed


CONDITIONS: dict[str, Callable[[Node], bool]] = {
    "constant weights": lambda node: all(map(_is_known, node.inputs[1:3])),
    "constant parameters": lambda node: all(map(_is_known, node.inputs[1:])),
    "a constant second input": _constant(1),
    "images of two dimensions": _rank(4),
    "matrices": _rank(2),
    "the last axis": _last_axis,
    "constant mode": _attribute("mode", "constant", None),
    "linear mode": _attribute("mode", "linear", "bilinear"),
    "DCR mode": _attribute("mode", "DCR", None),
}
"""What a kernel may need beyond types, by the names data files use."""
