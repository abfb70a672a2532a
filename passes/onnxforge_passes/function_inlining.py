from __future__ import annotations

from onnx import FunctionProto

from onnxforge import Builder, Graph, Node, Pass, inline
from onnxforge.errors import InvalidModelError

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
    op = Builder(graph, before=node)
    before = dict.fromkeys(graph) if graph.model.checker is not None else {}
    attributes = {attribute.name: attribute for attribute in node.proto.attribute}
    try:
        results = inline(graph, function, node.inputs, before=node, attributes=attributes)
    except InvalidModelError as error:
        graph.decline(str(error))
        return False
    replaced = []
    for old, new in zip(node.outputs, results, strict=False):
        if new is None or not old.is_used:
            continue
        if old.is_output and (new.producer is None or new.is_output or new.graph is not graph):
            new = op.Identity(new)  # the output's name needs a node that may bear it
        replaced.append(graph.replace(old, new))
    if not all(replaced):
        graph.sweep(v for n in reversed(graph) if before and n not in before for v in n.outputs)
    op.undo()
    return any(replaced)
