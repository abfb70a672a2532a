"""Sizes that cannot be small, or the model would fail."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from onnxforge.shapes import Dim, DimLike, is_named

if TYPE_CHECKING:
    from onnxforge.ir.graph import Graph
    from onnxforge.ir.node import Node

# So many nodes with demands are looked at in any case.
_MIN_WALK = 16


def minimums(graph: Graph, known: Mapping[str, int], symbols: Collection[str]) -> dict[str, int]:
    """The least size of each of these *symbols* that has to be more than 0, in runs that succeed.

    Those *known* are among them.  Beside a -1 in the target of a Reshape no size may be 0, nor may
    one of which 0 would say to copy what is not there; a dimension has the elements that a Gather
    takes by constant indices; and the window of a convolution fits in.

    Once there is news, not much more of the graph is looked at, nothing if none of the symbols is
    left that may be 0: what is known of the rest changes with it, so ask again.
    """
    found = dict(known)
    end: int | None = None
    for position, node in enumerate(graph.calls(*_DEMANDS)):
        if position == end:
            break
        if not node.domain and node.output.is_used:
            for size, least in _DEMANDS[node.op_type](node):
                if is_named(size):
                    for symbol, low in _symbols(size, least):
                        found[symbol] = max(low, found.get(symbol, 1))
            if found != known:
                end = end or max(2 * position, _MIN_WALK)
                if len(found) == len(symbols) > len(known):
                    break
    return found


def _of_reshape(node: Node) -> Iterator[tuple[DimLike, int]]:
    data, target, after = node.input(0), node.input(1), node.output.shape
    contents = target.contents if target is not None else None
    if data is None or contents is None or after is None:
        return
    inferred, literal = -1 in contents.elements, node.attribute("allowzero")
    for axis, (size, result) in enumerate(zip(contents.elements, after, strict=True)):
        if inferred and size != -1:
            yield (size if literal else result), 1
        elif not literal and data.rank is not None and axis >= data.rank:
            yield size, 1


def _of_gather(node: Node) -> Iterator[tuple[DimLike, int]]:
    data, indices = node.input(0), node.input(1)
    if data is None or indices is None or indices.contents is None or not data.shape:
        return
    size = data.shape[(node.attribute("axis") or 0) % len(data.shape)]
    for index in indices.contents.elements:
        if isinstance(index, int):
            yield size, index + 1 if index >= 0 else -index


def _of_convolution(node: Node) -> Iterator[tuple[DimLike, int]]:
    for size in (node.output.shape or ())[2:]:
        yield size, 1


_DEMANDS: dict[str, Callable[[Node], Iterator[tuple[DimLike, int]]]] = {
    "Conv": _of_convolution,
    "Gather": _of_gather,
    "Reshape": _of_reshape,
}


def _symbols(size: DimLike, least: int) -> Iterator[tuple[str, int]]:
    """The symbols that cannot be small where *size* is at least *least*, and how small."""
    while isinstance(size, Dim):
        terms = dict(size.terms)
        least -= terms.pop((), 0)
        ((monomial, number), *more) = terms.items()
        least = -(-least // number)
        if more or number < 0 or least < 1:
            return
        if all(atom.kind == "symbol" for atom in monomial):
            for atom in monomial:
                yield atom.name, least if len(monomial) == 1 else 1
            return
        (atom, *others) = monomial
        if others or atom.kind != "//" or not isinstance(atom.args[1], int):
            return
        size, least = atom.args[0], least * atom.args[1]
