"""Which nodes to keep and which to fold so that the file is smallest: a minimum cut.

Dinic's algorithm, on explicit stacks: Dinic, Soviet Mathematics Doklady 11 (1970).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

SOURCE, SINK = "source", "sink"
UNLIMITED = 1 << 62


class Network:
    """Directed edges with whole-numbered capacities between `SOURCE` and `SINK`."""

    def __init__(self) -> None:
        self._index: dict[Hashable, int] = {SOURCE: 0, SINK: 1}
        self._leaving: list[list[int]] = [[], []]
        # Edge 2k and its reverse 2k+1: where they lead, and what room is left on them.
        self._heads: list[int] = []
        self._room: list[int] = []

    def __len__(self) -> int:
        return len(self._heads) // 2

    def connect(self, tail: Hashable, head: Hashable, capacity: int = UNLIMITED) -> None:
        """Add an edge."""
        for start, end, room in ((tail, head, capacity), (head, tail, 0)):
            self._leaving[self._vertex(start)].append(len(self._heads))
            self._heads.append(self._vertex(end))
            self._room.append(room)

    def _vertex(self, name: Hashable) -> int:
        index = self._index.setdefault(name, len(self._leaving))
        if index == len(self._leaving):
            self._leaving.append([])
        return index

    def sink_side(self) -> set[Hashable]:
        """The vertices on the sink's side of a minimum cut: of all such cuts, as few as can be."""
        while (levels := self._levels())[1] >= 0:
            self._saturate(levels)
        reached = {1}
        stack = [1]
        while stack:
            for edge in self._leaving[stack.pop()]:
                tail = self._heads[edge]
                if self._room[edge ^ 1] and tail not in reached:
                    reached.add(tail)
                    stack.append(tail)
        return {name for name, index in self._index.items() if index in reached}

    def _levels(self) -> list[int]:
        """How many edges with room each vertex is from the source, -1 for those out of reach."""
        levels = [-1] * len(self._leaving)
        levels[0] = 0
        queue = deque([0])
        while queue:
            tail = queue.popleft()
            for edge in self._leaving[tail]:
                head = self._heads[edge]
                if self._room[edge] and levels[head] < 0:
                    levels[head] = levels[tail] + 1
                    queue.append(head)
        return levels

    def _saturate(self, levels: list[int]) -> None:
        """Send flow along shortest paths until each has a full edge."""
        tried = [0] * len(self._leaving)
        path: list[int] = []
        vertex = 0
        while True:
            if vertex == 1:
                flow = min(self._room[edge] for edge in path)
                for edge in path:
                    self._room[edge] -= flow
                    self._room[edge ^ 1] += flow
                full = next(i for i, edge in enumerate(path) if not self._room[edge])
                vertex = self._heads[path[full] ^ 1]
                del path[full:]
                continue
            while tried[vertex] < len(self._leaving[vertex]):
                edge = self._leaving[vertex][tried[vertex]]
                head = self._heads[edge]
                if self._room[edge] and levels[head] == levels[vertex] + 1:
                    path.append(edge)
                    vertex = head
                    break
                tried[vertex] += 1
            else:
                if not path:
                    return
                vertex = self._heads[path.pop() ^ 1]
                tried[vertex] += 1
