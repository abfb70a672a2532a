"""Which ranks a value can have without what reads it failing, where its own rank is unknown."""

from __future__ import annotations

from collections.abc import Iterator

from onnxforge import Graph, Node, Value

from .axes import written_axes

_RECURRENT = frozenset({"GRU", "LSTM", "RNN"})
_CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})
# Whose output has the rank of their first input, besides those that work element by element.
_KEEP_RANK = frozenset({"BatchNormalization", "Dropout", "LogSoftmax", "Softmax"})
# Further readers are not asked: what exporters write for a squeeze is near.
_MAX_STEPS = 12


def ranks_asked(value: Value) -> frozenset[int] | None:
    """The ranks of *value* with which no node that is sure to read it fails; None if any may do.

    An If asks for what one of its branches asks for.  A Loop may not run at all, and asks nothing.
    """
    return _asked(value, value.graph, _MAX_STEPS)


def _asked(value: Value, scope: Graph, steps: int) -> frozenset[int] | None:
    """What the nodes of one graph ask, those in its bodies included."""
    if not steps:
        return None
    found = [_by(node, value, steps - 1) for node in _readers(value, scope)]
    owner = scope.owner
    if scope in value.output_of and owner is not None and owner.op_type == "If":
        assert owner.graph is not None
        pairs = zip(scope.outputs, owner.outputs, strict=True)
        outer = [result for returned, result in pairs if returned is value]
        found += [_asked(result, owner.graph, steps - 1) for result in outer]
    known = [ranks for ranks in found if ranks is not None]
    return frozenset.intersection(*known) if known else None


def _readers(value: Value, scope: Graph) -> Iterator[Node]:
    """The nodes of *scope* that read *value*, or have a body that does."""
    seen: dict[Node, None] = {}
    for reader in value.consumers:
        graph = reader.graph
        while graph is not None and graph is not scope:
            graph = graph.outer
        if graph is scope:
            seen[reader.holder_in(scope)] = None
    for body in value.output_of:
        if body is not scope and body.outer is scope and body.owner is not None:
            seen[body.owner] = None
    yield from seen


def _by(node: Node, value: Value, steps: int) -> frozenset[int] | None:
    """What one node asks of a value it reads."""
    if node.domain or node.has_references:
        return None
    if node.op_type == "If":
        branches = [_asked(value, body, steps) for body in node.subgraphs]
        known = [ranks for ranks in branches if ranks is not None]
        return frozenset.union(*known) if known and len(known) == len(branches) else None
    index = node.inputs.index(value) if value in node.inputs else -1
    if node.op_type in _RECURRENT and index in (0, 5, 6):
        return frozenset((3,))
    if index != 0:
        return None
    if node.op_type in _CONVOLUTIONS:
        weights = node.input(1)
        rank = weights.rank if weights is not None else None
        return None if rank is None else frozenset((rank,))
    if node.op_type == "Transpose":
        perm = node.attribute("perm")
        return None if perm is None else frozenset((len(perm),))
    growth = _growth(node)
    if growth is None:
        return None
    after = _asked(node.output, node.output.graph, steps)
    return None if after is None else frozenset(rank - growth for rank in after)


def _growth(node: Node) -> int | None:
    """How many dimensions more the output has than the first input, whatever that has."""
    if node.op_type in ("Squeeze", "Unsqueeze"):
        axes = written_axes(node)
        sign = 1 if node.op_type == "Unsqueeze" else -1
        return sign * len(axes) if axes else None
    is_unary = node.operator.elementwise and len(node.inputs) == 1
    return 0 if is_unary or node.op_type in _KEEP_RANK else None
