"""Into how many pieces a model falls on a target that takes only what it has kernels for.

A provider takes the largest groups of nodes it can without a group depending on itself through a
node of the CPU's.  Every border costs copies, and often layout changes, so the fewer the better.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from onnxforge.ir import Graph, Node
from onnxforge.targets.conditions import CONDITIONS
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


def welcomes(target: Target, node: Node, instead: Iterable[Node]) -> bool:
    """Whether *node* may come in for those in *instead*: *target* runs it, or ran none of these."""
    if target.kernels_for(node):
        return True
    if target.rest is None or not target.rest.kernels_for(node):
        return False
    reasons = [refusal(each, target) for each in instead]
    return bool(reasons) and all(reasons)


def refusal(node: Node, target: Target) -> str:
    """Why *target* leaves a node to the CPU; empty if one of its kernels takes it."""
    kernels = target.kernels_for(node)
    if not kernels:
        name = f"{node.domain}:{node.op_type}" if node.domain else node.op_type
        known = target.kernels is not None and (node.domain, node.op_type) in target.kernels
        return f"no kernel for {name}" + (" of this type and opset" if known else "")
    unmet = [next((n for n in k.needs if not CONDITIONS[n](node)), "") for k in kernels]
    return "" if "" in unmet else f"{node.op_type} needs {' or '.join(dict.fromkeys(unmet))}"
