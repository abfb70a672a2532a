from __future__ import annotations

from onnx import FunctionProto

from onnxforge import Graph, Pass


class UnusedInitializerRemoval(Pass):
    """Remove the initializers nobody reads.

    Those a caller may override are part of the interface, and stay; so do those that training
    information or a quantization annotation refers to.
    """

    def run(self, graph: Graph) -> int:
        """Remove them; return how many there were."""
        if isinstance(graph.proto, FunctionProto):
            return 0
        unused = [v for v in graph.initializers if not v.is_used and not v.is_input]
        graph.sweep(unused)
        sparse = graph.proto.sparse_initializer
        before = len(sparse)
        for index in reversed(range(before)):
            value = graph.values[sparse[index].values.name]
            if not value.is_used and not value.is_input:
                del sparse[index], graph.values[value.name]
                graph.touch()
        return len(unused) + before - len(sparse)
