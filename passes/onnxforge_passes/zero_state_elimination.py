from __future__ import annotations

from onnxforge import Graph, Node, Pass

from .uniform import uniform

# The inputs that are an initial state, which the operators take for zeros where it is left out.
_STATES = {"GRU": (5,), "LSTM": (5, 6), "RNN": (5,)}


class ZeroStateElimination(Pass):
    """Leave out an initial state of zeros of LSTM, GRU and RNN.

    They start from zeros without one, and what computed its shape is no longer needed.
    """

    operators = tuple(_STATES)

    def run(self, graph: Graph) -> int:
        """Leave them out; return how many nodes had one."""
        recurrent = [node for node in graph.calls(*_STATES) if not node.domain]
        return sum(_leave_out(graph, node) for node in recurrent)


def _leave_out(graph: Graph, node: Node) -> bool:
    zeros = [index for index in _STATES[node.op_type] if uniform(node.input(index)) == 0]
    if not zeros or node.has_references:
        return False
    inputs = [None if index in zeros else value for index, value in enumerate(node.inputs)]
    made = graph.add_node(node.op_type, inputs, outputs=len(node.outputs), before=node, like=node)
    pairs = zip(node.outputs, made.outputs, strict=True)
    replaced = [graph.replace(old, new) for old, new in pairs if old.is_used]
    graph.sweep(made.outputs)
    return any(replaced)
