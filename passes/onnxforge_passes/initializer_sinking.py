from __future__ import annotations

from collections.abc import Container

from onnxforge import Graph, Pass, Value

_OWNERS = ("If", "Loop", "Scan")


class InitializerSinking(Pass):
    """Keep an initializer that only one body of an If, Loop or Scan reads inside that body.

    What a body reads from around it is handed in at every run.  ONNX Runtime prepares only some of
    the weights among it for its kernels beforehand, and XNNPACK refuses to load the model.

    What several bodies read goes to the innermost one that holds them, or stays.  So do
    initializers that a caller may override, that a body returns, or that have a quantization
    annotation, and all in files older than version 4 of the format.
    """

    operators = _OWNERS

    def run(self, graph: Graph) -> int:
        """Move such initializers; return how many."""
        if graph.model.proto.ir_version < 4:
            return 0
        annotations = getattr(graph.proto, "quantization_annotation", ())
        annotated = {each.tensor_name: None for each in annotations}
        return sum(_sink(graph, value, annotated) for value in graph.initializers)


def _sink(graph: Graph, value: Value, annotated: Container[str]) -> bool:
    if not value.is_constant or value.is_output or value.name in annotated:
        return False
    body = _innermost(value)
    if body is graph or value.initializer is None:
        return False
    moved = body.add_tensor(value.initializer, value.name)
    done = graph.replace(value, moved)
    body.sweep([moved])
    return done


def _innermost(value: Value) -> Graph:
    """The innermost graph that everything which reads *value* is in."""
    common: list[Graph] | None = None
    for node in value.consumers:
        path = _path(value.graph, node.graph)
        if common is not None:
            path = [one for one, other in zip(common, path, strict=False) if one is other]
        common = path
        if len(common) == 1:
            break
    return common[-1] if common else value.graph


def _path(graph: Graph, inner: Graph | None) -> list[Graph]:
    """From *graph* to a body inside of it, as far as the bodies are of ONNX's own operators."""
    path: list[Graph] = []
    while inner is not None and inner is not graph:
        owner = inner.owner
        if owner is None or owner.domain or owner.op_type not in _OWNERS:
            path.clear()  # what others make of the constants of a body is not known
        else:
            path.insert(0, inner)
        inner = inner.outer
    return [graph, *path]
