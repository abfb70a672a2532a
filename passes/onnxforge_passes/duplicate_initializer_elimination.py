from __future__ import annotations

from collections.abc import Callable, Hashable

from onnxforge import Graph, Model, Pass, Value
from onnxforge.errors import OnnxForgeError
from onnxforge.storage import digest, sample

_Groups = dict[Hashable, list[Value]]


class DuplicateInitializerElimination(Pass):
    """Keep one of several initializers of the same type, shape and bytes.

    Bytes and not numbers: 0.0 and -0.0 differ.  Those a caller may override stay.  Bodies use the
    initializers around them.  Data is read only where type, shape and a sample of it are the same.
    """

    def run(self, graph: Graph) -> int:
        """Merge the initializers of one graph with each other and those around it."""
        chain = [graph]
        while chain[0].outer is not None:
            chain.insert(0, chain[0].outer)
        return _merge(chain, only=graph)

    def apply(self, model: Model) -> int:
        """Merge the initializers of the main graph and all bodies, each read once."""
        return _merge(list(model.graphs())[::-1])


def _merge(graphs: list[Graph], only: Graph | None = None) -> int:
    candidates: _Groups = {}
    for graph in graphs:
        for value in graph.initializers:
            if value.is_constant and value.initializer is not None:
                tensor = value.initializer
                key = (tensor.data_type, tuple(tensor.dims))
                candidates.setdefault(key, []).append(value)
    for criterion in (_sample, _digest):
        candidates = _split(candidates, criterion)
    changes = 0
    for same in candidates.values():
        kept: dict[Graph, Value] = {}
        for value in same:
            twin = _visible(kept, value.graph)
            if twin is None:
                kept[value.graph] = value
            elif value.is_used and only in (None, value.graph):
                changes += value.graph.replace(value, twin)
    return changes


def _visible(kept: dict[Graph, Value], graph: Graph | None) -> Value | None:
    """What is kept of a group in *graph* or around it."""
    while graph is not None:
        if graph in kept:
            return kept[graph]
        graph = graph.outer
    return None


def _sample(value: Value) -> bytes:
    assert value.initializer is not None
    return sample(value.initializer, value.graph.model.folder)


def _digest(value: Value) -> bytes:
    assert value.initializer is not None
    return digest(value.initializer, value.graph.model.folder)


def _split(groups: _Groups, criterion: Callable[[Value], bytes]) -> _Groups:
    """The groups, each split by a criterion; values that are alone then are left out."""
    split: _Groups = {}
    for key, values in groups.items():
        if len(values) > 1:
            for value in values:
                try:
                    found = value.graph.model.recall(criterion, value)
                    split.setdefault((key, found), []).append(value)
                except OnnxForgeError as error:  # its data cannot be read
                    value.graph.decline(str(error))
    return {key: values for key, values in split.items() if len(values) > 1}
