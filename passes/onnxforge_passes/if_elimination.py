from __future__ import annotations

from onnxforge import Graph, Node, Pass, inline

from .substitution import Substitution


class IfElimination(Pass):
    """Put in place of an If whose condition is known the branch it takes.

    The condition is known if it is constant, or a comparison of sizes that are.
    """

    def run(self, graph: Graph) -> int:
        """Inline the branches; return how many Ifs went."""
        ifs = [node for node in graph if node.op_type == "If" and not node.domain]
        return sum(_eliminate(graph, node) for node in ifs)


def _eliminate(graph: Graph, node: Node) -> bool:
    taken = _condition(node)
    if taken is None or not any(value.is_used for value in node.outputs):
        return False
    names = (each.name for each in node.proto.attribute if each.HasField("g"))
    branches = dict(zip(names, node.subgraphs, strict=True))
    body = branches["then_branch" if taken else "else_branch"]
    substitution = Substitution(graph, node)
    return substitution.finish(inline(graph, body, before=node))


def _condition(node: Node) -> bool | None:
    """What the condition of an If is, if that is known."""
    condition = node.inputs[0]
    if condition is None:
        return None
    if condition.is_constant:
        array = condition.numpy()
        return bool(array.reshape(())) if array.size == 1 else None
    known = condition.contents.constants() if condition.contents is not None else None
    return bool(known[0]) if known is not None and len(known) == 1 else None
