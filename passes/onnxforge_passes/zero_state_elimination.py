from __future__ import annotations

from onnxforge import Graph, Node, Pass

from .uniform import uniform

# The inputs that are an initial state, which the operators take for zeros where it is left out.
_STATES = {
    ("", "GRU"): (5,),
    ("", "LSTM"): (5, 6),
    ("", "RNN"): (5,),
    ("com.microsoft", "DynamicQuantizeLSTM"): (5, 6),
}


class ZeroStateElimination(Pass):
    """Leave out an initial state of zeros of LSTM, GRU and RNN, and of a quantized LSTM.

    They start from zeros without one, and what computed its shape is no longer needed.
    """

    operators = tuple(op_type for _, op_type in _STATES)

    def run(self, graph: Graph) -> int:
        """Leave them out; return how many nodes had one."""
        found = [node for node in graph.calls(*self.operators) if _kind(node) in _STATES]
        return sum(_leave_out(graph, node) for node in found)


def _kind(node: Node) -> tuple[str, str]:
    return node.domain, node.op_type


def _leave_out(graph: Graph, node: Node) -> bool:
    zeros = [index for index in _STATES[_kind(node)] if uniform(node.input(index)) == 0]
    if not zeros or node.has_references:
        return False
    inputs = [None if index in zeros else value for index, value in enumerate(node.inputs)]
    made = graph.add_node(
        node.op_type,
        inputs,
        outputs=len(node.outputs),
        domain=node.domain,
        before=node,
        like=node,
    )
    pairs = zip(node.outputs, made.outputs, strict=True)
    replaced = [graph.replace(old, new) for old, new in pairs if old.is_used]
    graph.sweep(made.outputs)
    return any(replaced)
