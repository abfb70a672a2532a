from __future__ import annotations

from onnxforge import Graph, Node, Pass, inline

from .integers import integers
from .rank_demand import ranks_asked
from .substitution import Substitution


class IfElimination(Pass):
    """Put in place of an If whose condition is known the branch it takes.

    The condition is known if it is constant, or a comparison of sizes that are; and also if one of
    the branches returns what the nodes after it cannot read, such as a tensor of rank 4 for an
    LSTM.  Exporters write branches of two ranks for a `squeeze` of a size they do not know.
    """

    operators = ("If",)

    def run(self, graph: Graph) -> int:
        """Inline the branches; return how many Ifs went."""
        ifs = [node for node in graph.calls("If") if not node.domain]
        return sum(_eliminate(graph, node) for node in ifs)


def _eliminate(graph: Graph, node: Node) -> bool:
    taken = _condition(node)
    taken = _only_one_that_works(node) if taken is None else taken
    if taken is None or not any(value.is_used for value in node.outputs):
        return False
    substitution = Substitution(graph, node)
    return substitution.finish(inline(graph, _branches(node)[taken], before=node))


def _branches(node: Node) -> dict[bool, Graph]:
    names = (each.name for each in node.proto.attribute if each.HasField("g"))
    return {n == "then_branch": body for n, body in zip(names, node.subgraphs, strict=True)}


def _condition(node: Node) -> bool | None:
    """What the condition of an If is, if that is known."""
    condition = node.inputs[0]
    if condition is None:
        return None
    if condition.is_constant:
        array = condition.numpy()
        return bool(array.reshape(())) if array.size == 1 else None
    known = integers(condition)
    return bool(known[0]) if known is not None and len(known) == 1 else None


def _only_one_that_works(node: Node) -> bool | None:
    """The branch without which the model fails, if there is one."""
    works = dict.fromkeys(_branches(node), True)
    for index, output in enumerate(node.outputs):
        ranks = {taken: body.outputs[index].rank for taken, body in _branches(node).items()}
        if None in ranks.values() or len(set(ranks.values())) < 2:
            continue
        asked = ranks_asked(output)
        for taken, rank in ranks.items():
            works[taken] &= asked is None or rank in asked
    return next(taken for taken in works if works[taken]) if sum(works.values()) == 1 else None
