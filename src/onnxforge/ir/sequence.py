"""The nodes of a graph, in order: a linked list that is edited while somebody walks it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxforge.ir.node import Node

_position = attrgetter("_position")

# How far apart the positions of neighbouring nodes are, to leave room for others between them.
_GAP = 1 << 60


class Sequence:
    """Nodes linked to each other.

    A node taken out keeps its own links, so that whoever stands on it can walk on.  Positions grow
    along the list, so that which of two nodes is ahead is known without a walk, and the nodes of
    some operators are found in order.
    """

    __slots__ = ("_by_operator", "_length", "_op_types", "first", "last")

    def __init__(self) -> None:
        self.first: Node | None = None
        self.last: Node | None = None
        self._length = 0
        self._by_operator: dict[str, dict[Node, None]] = {}
        self._op_types: frozenset[str] | None = None

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Node]:
        node = self.first
        while node is not None:
            if node.graph is not None:
                yield node
            node = node._next

    def __reversed__(self) -> Iterator[Node]:
        node = self.last
        while node is not None:
            if node.graph is not None:
                yield node
            node = node._previous

    @property
    def op_types(self) -> frozenset[str]:
        """What the operators of the nodes are called."""
        if self._op_types is None:
            self._op_types = frozenset(self._by_operator)
        return self._op_types

    def has(self, op_type: str) -> bool:
        """Whether there is a node of an operator so called."""
        return op_type in self._by_operator

    def of(self, op_types: Iterable[str]) -> list[Node]:
        """The nodes of operators so called, in order."""
        found = [nodes for each in op_types if (nodes := self._by_operator.get(each))]
        return sorted(chain.from_iterable(found), key=_position)

    def insert(self, node: Node, before: Node | None) -> None:
        """Link *node* ahead of *before*, or last."""
        previous = before._previous if before is not None else self.last
        node._previous, node._next = previous, before
        if previous is not None:
            previous._next = node
        else:
            self.first = node
        if before is not None:
            before._previous = node
        else:
            self.last = node
        self._length += 1
        alike = self._by_operator.get(node.op_type)
        if alike is None:
            alike = self._by_operator[node.op_type] = {}
            self._op_types = None
        alike[node] = None
        if previous is None:
            node._position = before._position - _GAP if before is not None else 0
        elif before is None:
            node._position = previous._position + _GAP
        else:
            node._position = (previous._position + before._position) // 2
            if node._position == previous._position:
                self.reorder(list(self))

    def remove(self, node: Node) -> None:
        """Take *node* out."""
        before, after = node._previous, node._next
        if before is not None:
            before._next = after
        else:
            self.first = after
        if after is not None:
            after._previous = before
        else:
            self.last = before
        self._length -= 1
        alike = self._by_operator[node.op_type]
        del alike[node]
        if not alike:
            del self._by_operator[node.op_type]
            self._op_types = None

    def reorder(self, nodes: Iterable[Node]) -> None:
        """Link *nodes* anew, in this order."""
        self.first = self.last = None
        self._length = 0
        self._by_operator.clear()
        for node in nodes:
            self.insert(node, None)
