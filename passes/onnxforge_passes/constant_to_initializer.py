from __future__ import annotations

from onnxforge import Graph, Node, Pass
from onnxforge.storage import from_array


class ConstantToInitializer(Pass):
    """Keep constants as initializers of the graph, and not as Constant nodes.

    That is smaller, save for long lists of small integers, and lets equal ones be merged.  Bodies
    and functions, what a graph returns, and files older than version 4 of the format, in which
    every initializer is an input, stay as they are.
    """

    operators = ("Constant",)

    def run(self, graph: Graph) -> int:
        """Replace the Constant nodes of the main graph; return how many there were."""
        is_main = graph.outer is None and graph.operator is None
        if not is_main or graph.model.proto.ir_version < 4:
            return 0
        return sum(_lift(graph, node) for node in graph.calls("Constant") if not node.domain)


def _lift(graph: Graph, node: Node) -> bool:
    value = node.output
    if not value.is_constant or not value.is_used or value.is_output:
        return False
    tensor = value.tensor
    if tensor is None:
        tensor = from_array(value.numpy(), value.name)
        if tensor.ByteSize() > node.proto.ByteSize():
            return False
    new = graph.add_tensor(tensor, graph.model.fresh_name(value.name))
    replaced = graph.replace(value, new)
    graph.sweep([new])
    return replaced
