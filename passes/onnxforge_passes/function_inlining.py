from __future__ import annotations

from onnx import FunctionProto

from onnxforge import Graph, Node, Pass, inline
from onnxforge.errors import InvalidModelError

from .substitution import Substitution

_Key = tuple[str, str, str]


class FunctionInlining(Pass):
    """Put in place of each call of one of the model's functions what it does.

    On request only: a runtime may have a kernel of its own for an operator the model defines, and
    the file may grow.
    """

    def run(self, graph: Graph) -> int:
        """Inline the calls in one graph; return how many went."""
        functions = {_key(each): each for each in graph.model.functions}
        calls = [node for node in graph if _called(node) in functions]
        return sum(_inline(graph, node, functions[_called(node)]) for node in calls)


def _key(function: Graph) -> _Key:
    assert isinstance(function.proto, FunctionProto)
    return function.proto.domain, function.proto.name, function.proto.overload


def _called(node: Node) -> _Key:
    return node.proto.domain, node.op_type, node.proto.overload


def _inline(graph: Graph, node: Node, function: Graph) -> bool:
    if not any(value.is_used for value in node.outputs):
        return False
    if any(_called(inner) == _key(function) for each in function.nested() for inner in each):
        graph.decline(f"{node.op_type} calls itself")
        return False
    substitution = Substitution(graph, node)
    attributes = {attribute.name: attribute for attribute in node.proto.attribute}
    try:
        results = inline(graph, function, node.inputs, before=node, attributes=attributes)
    except InvalidModelError as error:
        graph.decline(str(error))
        return False
    return substitution.finish(results)
