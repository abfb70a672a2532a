from __future__ import annotations

from onnxforge import Graph, Model, Pass


class UnusedFunctionRemoval(Pass):
    """Remove the model's functions that nothing calls."""

    def run(self, graph: Graph) -> int:
        """Nothing: functions belong to the model."""
        return 0

    def apply(self, model: Model) -> int:
        """Remove them; return how many there were."""
        if not model.functions or model.proto.training_info:
            return 0
        by_operator: dict[tuple[str, str] | None, list[Graph]] = {}
        for function in model.functions:
            by_operator.setdefault(function.operator, []).append(function)
        called: dict[Graph, None] = {}
        pending = [model.graph]
        while pending:
            for graph in pending.pop().nested():
                for node in graph:
                    for function in by_operator.get((node.domain, node.op_type), ()):
                        if function not in called:
                            called[function] = None
                            pending.append(function)
        unused = [index for index, each in enumerate(model.functions) if each not in called]
        for index in reversed(unused):
            del model.functions[index], model.proto.functions[index]
        if unused:
            model.forget_function_operators()
            model.edits += 1
        return len(unused)
