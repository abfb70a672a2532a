from __future__ import annotations

from collections import Counter
from functools import reduce

import numpy as np

from onnxforge import Builder, Graph, Node, Pass, Value

# More would weigh more than the node that goes.
_MAX_COPIED = 16


class VariadicMerging(Pass):
    """Take the Max, Min or Sum of all operands at once, where it is taken in several steps.

    Of a Max and a Min the constants among them are one, where that is not one more for the model to
    hold, and what is there twice is there once.
    Sums are added up in the order in which they were.
    """

    operators = ("Max", "Min", "Sum")

    def run(self, graph: Graph) -> int:
        """Merge them; return how many."""
        nodes = graph.calls(*self.operators)
        return sum(_merge(graph, node) for node in nodes if not node.domain)


def _merge(graph: Graph, node: Node) -> bool:
    reads = Counter(node.inputs)
    merged = {node: None}
    operands: list[Value] = []
    for index, value in enumerate(node.inputs):
        if value is None:
            return False
        inner = value.producer
        is_alike = inner is not None and inner.op_type == node.op_type and not inner.domain
        is_own = reads[value] == 1 and list(value.consumers) == [node] and not value.is_output
        if inner is not None and is_alike and is_own and (index == 0 or node.op_type != "Sum"):
            operands += [each for each in inner.inputs if each is not None]
            merged[inner] = None
        else:
            operands.append(value)
    op = Builder(graph, before=node)
    if node.op_type != "Sum":
        operands = _fewer(op, operands, merged)
    if operands == list(node.inputs):
        op.undo()
        return False
    done = graph.replace(node.output, getattr(op, node.op_type)(*operands, like=node))
    op.undo()
    return done


def _fewer(op: Builder, operands: list[Value], merged: dict[Node, None]) -> list[Value]:
    """The operands without those there twice, and with one constant of each shape.

    Unless all of a shape are read by others than the nodes that are *merged*.
    """
    function = np.maximum if next(iter(merged)).op_type == "Max" else np.minimum
    constants: dict[tuple[int, ...], list[Value]] = {}
    for value in dict.fromkeys(operands):
        if value.is_constant and value.numpy().dtype.kind in "iuf":
            constants.setdefault(value.numpy().shape, []).append(value)
    left = dict.fromkeys(operands)
    for group in constants.values():
        is_spared = any(value.consumers.keys() <= merged.keys() for value in group)
        if len(group) > 1 and (is_spared or group[0].numpy().size <= _MAX_COPIED):
            array = reduce(function, (value.numpy() for value in group))
            left = {value: None for value in left if value not in group}
            left[op.constant(array)] = None
    return list(left)
