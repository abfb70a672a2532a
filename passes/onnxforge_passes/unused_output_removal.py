from __future__ import annotations

import onnx

from onnxforge import Graph, Node, Pass
from onnxforge.ir import operators


class UnusedOutputRemoval(Pass):
    """Leave out optional outputs that nothing reads, such as a Dropout's mask.

    A runtime then need not compute them.  Of a BatchNormalization they are kept, since before
    opset 14 having them meant training, and of an Attention with a cache, since ONNX Runtime reads
    no cache without returning it.
    """

    def run(self, graph: Graph) -> int:
        """Leave them out; return how many there were."""
        return sum(_trim(graph, node) for node in graph if len(node.outputs) > 1)


def _trim(graph: Graph, node: Node) -> int:
    schema = operators.schema(node.op_type, node.domain, node.version)
    is_cached = node.op_type == "Attention" and node.input(4) is not None
    if schema is None or node.op_type == "BatchNormalization" or is_cached:
        return 0
    removed = 0
    while len(node.outputs) > schema.min_output and not node.outputs[-1].is_used:
        last = len(node.outputs) - 1
        optional = onnx.defs.OpSchema.FormalParameterOption.Optional
        if last >= len(schema.outputs) or schema.outputs[last].option != optional:
            break
        name = node.outputs[-1].name
        if name:
            del graph.values[name]
        node.outputs = node.outputs[:-1]
        del node.proto.output[-1]
        graph.touch(node)
        removed += 1
    return removed
