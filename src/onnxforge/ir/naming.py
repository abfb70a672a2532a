"""Names: where they are written besides nodes, and what hides them in the graphs inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import GraphProto

if TYPE_CHECKING:
    from onnxforge.ir.graph import Graph
    from onnxforge.ir.value import Value


def rename_declarations(value: Value, name: str) -> None:
    """Rename a value where bodies declare it: their inputs and outputs go by position."""
    bodies = [(graph, "output") for graph in value.output_of if graph.outer is not None]
    if value.graph.outer is not None and value.is_input:
        bodies.append((value.graph, "input"))
    for graph, field in bodies:
        for declaration in getattr(graph.proto, field):
            if declaration.name == value.name:
                declaration.name = name
        graph.__dict__.pop("input_names", None)


def rename_references(value: Value, name: str) -> None:
    """Rename a value where something other than nodes, inputs and outputs refers to it."""
    proto = value.graph.proto
    if not isinstance(proto, GraphProto):
        return
    for info in proto.value_info:
        if info.name == value.name:
            info.name = name
    for sparse in proto.sparse_initializer:
        if sparse.values.name == value.name:
            sparse.values.name = name
    for annotation in proto.quantization_annotation:
        if annotation.tensor_name == value.name:
            annotation.tensor_name = name
        for entry in annotation.quant_parameter_tensor_names:
            if entry.value == value.name:
                entry.value = name


def uncover(graph: Graph, value: Value) -> None:
    """Rename whatever hides *value* from a node of *graph* that now reads it by name."""
    while graph is not value.graph and graph.outer is not None:
        hiding = graph.values.get(value.name)
        if hiding is not None:
            hiding.rename(graph.model.fresh_name(value.name))
        graph = graph.outer


def visible(graph: Graph | None) -> set[str]:
    """The names of the values in *graph* and the graphs around."""
    names: set[str] = set()
    while graph is not None:
        names.update(graph.values)
        graph = graph.outer
    return names
