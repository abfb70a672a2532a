from __future__ import annotations

from collections.abc import Iterator

from onnxforge import Builder, Graph, Node, Pass, Value

from .minimum_cut import SINK, SOURCE, Network
from .transpose_merging import is_transpose, permutation
from .transposed_node import Perm, Transposed, inverse, transposed


class TransposeCancellation(Pass):
    """Move Transposes through the operators between them, where fewer are left in the end.

    A Transpose before an operator that works on single elements, or along an axis that can be
    renamed, may as well come after it, on all its results, and the reverse.  Which operators to
    move is decided for all of a region together, as a minimum cut between those that read tensors
    as they are and those that read them as they were before the Transpose.
    """

    operators = ("Transpose",)

    def run(self, graph: Graph) -> int:
        """Move them; return how many regions there were."""
        changes = 0
        seen: dict[tuple[Value, Perm], None] = {}
        for node in filter(is_transpose, graph.calls("Transpose")):
            for value, perm in list(_ends(node)) if node.graph is graph else ():
                if node.graph is graph and (value, perm) not in seen:
                    region = _Region(graph, value, perm)
                    seen.update(dict.fromkeys(region.layout.items()))
                    changes += region.rewrite()
        return changes


def _ends(node: Node) -> Iterator[tuple[Value, Perm]]:
    """What a Transpose makes, and what it reads, each as a Transpose of something else."""
    perm = _perm(node)
    if perm != tuple(range(len(perm))):
        yield node.output, perm
        source = node.input(0)
        if source is not None and source.graph is node.graph:
            yield source, inverse(perm)


def _perm(node: Node) -> Perm:
    return tuple(permutation(node) or ())


class _Region:
    """The nodes around a value that could all do without the Transpose there.

    `layout` says of the values they read and make by which order each is a Transpose of what it
    would be then.
    """

    def __init__(self, graph: Graph, value: Value, perm: Perm) -> None:
        self.graph = graph
        self.layout: dict[Value, Perm] = {value: perm}
        self.nodes: dict[Node, Transposed] = {}
        stack = [value]
        while stack:
            each = stack.pop()
            order = self.layout[each]
            if order == tuple(range(len(order))):
                continue
            for node in (*each.consumers, *([each.producer] if each.producer else [])):
                if node not in self.nodes and node.graph is graph and not is_transpose(node):
                    stack += self._add(node, each, order)

    def _add(self, node: Node, value: Value, perm: Perm) -> list[Value]:
        """Take in a node that *value* is read or made by; return the values that come with it."""
        move = transposed(node, perm)
        if move is None:
            return []
        operands: list[Value] = [v for i in move.operands if (v := node.inputs[i]) is not None]
        if value in node.outputs:
            if move.result != perm:
                return []
        elif value not in operands or any(
            v is value for i, v in enumerate(node.inputs) if i not in move.operands
        ):
            return []
        found = {**dict.fromkeys(operands, perm), **dict.fromkeys(node.outputs, move.result)}
        if any(self.layout.get(each, order) != order for each, order in found.items()):
            return []
        self.nodes[node] = move
        new = [each for each in found if each not in self.layout]
        self.layout.update(found)
        return new

    def rewrite(self) -> bool:
        """Move the nodes that are better moved; whether there were any."""
        moved = self._moved() if self.nodes else {}
        if not moved:
            return False
        op = Builder(self.graph)
        sources: dict[Value, Value] = {}
        for node in moved:
            op.before = node
            move = self.nodes[node]
            operands = {
                index: self._before(op, value, sources)
                for index in move.operands
                if (value := node.inputs[index]) is not None
            }
            sources.update(zip(node.outputs, move.build(op, node, operands), strict=True))
        done = False
        for node in reversed(moved):
            for value in node.outputs:
                done |= self._leave(op, node, value, sources[value], moved)
        op.undo()
        return done

    def _before(self, op: Builder, value: Value, sources: dict[Value, Value]) -> Value:
        """What *value* is a Transpose of."""
        if value not in sources:
            perm = self.layout[value]
            maker = value.producer
            source = maker.input(0) if maker is not None else None
            undone = _undone(value, perm)
            if maker is not None and source is not None and _is_by(maker, perm):
                sources[value] = source
            elif undone is not None and self.graph.sees(undone):
                sources[value] = undone
            else:
                sources[value] = op.Transpose(value, perm=list(inverse(perm)))
        return sources[value]

    def _leave(
        self, op: Builder, node: Node, value: Value, source: Value, moved: dict[Node, None]
    ) -> bool:
        """Let who reads *value* and has not moved read a Transpose of *source*, its like."""
        perm = self.layout[value]
        done = False
        if perm == tuple(range(len(perm))):
            return value.is_used and self.graph.replace(value, source)
        for reader in list(value.consumers):
            if reader.graph is self.graph and is_transpose(reader):
                both = [perm[axis] for axis in _perm(reader)]
                op.before = reader
                new = source if both == sorted(both) else op.Transpose(source, perm=both)
                if new.is_output and reader.output.is_output:
                    new = op.Identity(new)
                done |= self.graph.replace(reader.output, new)
        if value.is_output or any(reader not in moved for reader in value.consumers):
            op.before = node
            done |= self.graph.replace(value, op.Transpose(source, perm=list(perm)))
        return done

    def _moved(self) -> dict[Node, None]:
        """The nodes to move, in order: as few as give the fewest Transposes.

        Those on the sink's side of a minimum cut move.  What is cut are the values between those
        that move and those that stay, each of which takes one Transpose for all its readers.
        """
        network = Network()
        for value, perm in self.layout.items():
            if perm == tuple(range(len(perm))):
                continue
            readers = [node for node in value.consumers if node in self.nodes]
            maker = value.producer if value.producer in self.nodes else None
            given = value.producer is not None and _is_by(value.producer, perm)
            after, before = ("after", value), ("before", value)
            if maker is not None or given:  # it is there before the Transpose, and costs one after
                for reader in readers:
                    network.connect(reader, after)
                if self._is_read_elsewhere(value):
                    network.connect(SOURCE, after)
                network.connect(after, maker or SINK, 1)
            if not given:  # it is there after the Transpose, and costs one before
                for reader in readers:
                    network.connect(before, reader)
                undone = _undone(value, perm)
                # One that goes if all who read it move is none that is there anyway.
                if undone is not None and (
                    undone not in self.layout or self._is_read_elsewhere(undone)
                ):
                    network.connect(before, SINK)
                network.connect(maker or SOURCE, before, 1)
        side = network.sink_side()
        return _ordered({node: None for node in self.nodes if node in side})

    def _is_read_elsewhere(self, value: Value) -> bool:
        """Whether something else reads a value than what may move, and Transposes of it."""
        return value.is_output or any(
            node not in self.nodes and not (node.graph is self.graph and is_transpose(node))
            for node in value.consumers
        )


def _is_by(node: Node, perm: Perm) -> bool:
    return is_transpose(node) and _perm(node) == perm


def _undone(value: Value, perm: Perm) -> Value | None:
    """The value that a Transpose makes of *value* by undoing *perm*, if there is one."""
    back = inverse(perm)
    return next((n.output for n in value.consumers if _is_by(n, back) and n.output.is_used), None)


def _ordered(nodes: dict[Node, None]) -> dict[Node, None]:
    """The nodes, each after those of them it reads."""
    ordered: dict[Node, None] = {}
    stack = list(reversed(nodes))
    while stack:
        node = stack[-1]
        makers = (value.producer for value in node.inputs if value is not None)
        missing = [each for each in makers if each in nodes and each not in ordered]
        if missing:
            stack += missing
        else:
            ordered[stack.pop()] = None
    return ordered
