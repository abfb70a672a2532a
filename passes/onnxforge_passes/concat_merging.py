from __future__ import annotations

from collections import Counter

from onnxforge import Builder, Graph, Node, Pass, Value


class ConcatMerging(Pass):
    """A Concat that reads another along the same axis takes in its inputs.

    Likewise it reads what a Split along that axis splits, in place of all its parts in order; and
    a Split into what was just concatenated gives way to those values.
    """

    operators = ("Concat", "Split")

    def run(self, graph: Graph) -> int:
        """Rewrite them; return how many."""
        changes = 0
        for node in graph.calls(*self.operators):
            if node.domain or node.has_references:
                continue
            if node.op_type == "Concat":
                changes += _merge(graph, node)
            elif node.op_type == "Split":
                changes += _undo(graph, node)
        return changes


def _merge(graph: Graph, node: Node) -> bool:
    axis = _axis(node)
    inputs = list(node.inputs)
    if axis is None or not all(inputs):
        return False
    merged: list[Value | None] = []
    reads = Counter(inputs)
    position = 0
    while position < len(inputs):
        value = inputs[position]
        assert value is not None
        maker = value.producer
        if maker is None or maker.graph is not graph or maker.domain or _axis(maker) != axis:
            merged.append(value)
            position += 1
        elif maker.op_type == "Concat" and reads[value] == 1 and _is_read_only_by(node, value):
            merged += maker.inputs
            position += 1
        elif maker.op_type == "Split" and _is_whole(maker, inputs[position:], node, len(inputs)):
            merged.append(maker.input(0))
            position += len(maker.outputs)
        else:
            merged.append(value)
            position += 1
    if merged == inputs:
        return False
    if len(merged) == 1 and merged[0] is not None:
        return graph.replace(node.output, merged[0])
    op = Builder(graph, before=node)
    done = graph.replace(node.output, op.Concat(*merged, like=node))
    op.undo()
    return done


def _axis(node: Node) -> int | None:
    """The axis of a Concat or a Split, counted from the front."""
    value = node.input(0)
    if node.op_type not in ("Concat", "Split") or value is None or node.has_references:
        return None
    axis = node.attribute("axis")
    if not isinstance(axis, int):
        return None
    if axis >= 0:
        return axis
    return None if value.rank is None else axis + value.rank


def _is_read_only_by(node: Node, value: Value) -> bool:
    return list(value.consumers) == [node] and not value.is_output


def _is_whole(split: Node, values: list[Value | None], node: Node, count: int) -> bool:
    """Whether *values* start with all that *split* makes, and reading past it saves a node."""
    if values[: len(split.outputs)] != list(split.outputs):
        return False
    return count == len(split.outputs) or all(_is_read_only_by(node, v) for v in split.outputs)


def _undo(graph: Graph, node: Node) -> bool:
    """Let what was concatenated stand for the parts a Split cuts it into."""
    whole = node.input(0)
    concat = whole.producer if whole is not None else None
    if concat is None or concat.op_type != "Concat" or concat.domain:
        return False
    axis = _axis(node)
    if axis is None or axis != _axis(concat) or len(concat.inputs) != len(node.outputs):
        return False
    pairs = list(zip(concat.inputs, node.outputs, strict=True))
    if any(old.is_output for _, old in pairs):
        return False
    for part, old in pairs:
        if part is None or part.shape is None or old.shape is None or axis >= len(part.shape):
            return False
        size = part.shape[axis]
        if size is None or size != old.shape[axis]:
            return False
    done = [graph.replace(old, part) for part, old in pairs if part is not None and old.is_used]
    return any(done)
