from __future__ import annotations

import numpy as np

from onnxforge import Builder, Graph, Node, Pass, Value

from .integers import integers

_Range = tuple[int, int]


class ShapeSlicing(Pass):
    """Ask a Shape for the sizes that are wanted, instead of picking them from all.

    Since opset 15 it has a start and an end.  A single number is squeezed from the size it is.
    Only where fewer operators are left than there were.
    """

    operators = ("Shape",)

    def run(self, graph: Graph) -> int:
        """Replace such Gathers and Slices; return how many."""
        found = (n for n in graph.calls("Shape") if not n.domain and n.version >= 15)
        return sum(_slice(graph, node) for node in found if not node.has_references)


def _slice(graph: Graph, shape: Node) -> int:
    data, sizes = shape.input(0), shape.output
    if data is None or data.rank is None or sizes.is_output or not sizes.consumers:
        return 0
    first = range(data.rank)[slice(shape.attribute("start") or 0, shape.attribute("end"))].start
    picked: dict[Node, _Range] = {}
    for node in sizes.consumers:
        found = _picked(node, sizes) if node.graph is graph else None
        if found is None:
            return 0
        picked[node] = (first + found[0], first + found[1])
    scalars = sum(node.output.rank == 0 for node in picked)
    if len(set(picked.values())) + scalars > len(picked):
        return 0
    op = Builder(graph, before=shape)
    made: dict[_Range, Value] = {}
    changes = 0
    for node, (start, end) in picked.items():
        if (start, end) not in made:
            made[start, end] = op.Shape(data, start=start, end=end)
        new = made[start, end]
        if node.output.rank == 0:
            new = op.Squeeze(new, np.array([0], np.int64))
        changes += graph.replace(node.output, new)
    op.undo()
    return changes


def _picked(node: Node, sizes: Value) -> _Range | None:
    """From where to where *node* picks from *sizes*; None if it does something else."""
    length = sizes.shape[0] if sizes.shape else None
    if (
        node.domain
        or node.has_references
        or node.inputs[0] is not sizes
        or node.output.rank is None
    ):
        return None
    if not isinstance(length, int) or node.op_type not in ("Gather", "Slice"):
        return None
    places = np.arange(length)
    numbers = [integers(value) for value in node.inputs[1:]]
    if any(each is None for each in numbers):
        return None
    if node.op_type == "Gather":
        indices = [index % length for index in numbers[0] or [] if -length <= index < length]
        places = places[indices]
        if len(indices) != len(numbers[0] or []):
            return None
    else:
        starts, ends, *_, steps = [*numbers, [1]] if len(numbers) < 4 else numbers
        if not starts or not ends or steps != [1]:
            return None
        places = places[starts[0] : ends[0]]
    start = int(places[0]) if len(places) else 0
    in_order = len(places) > 0 and places.tolist() == list(range(start, start + len(places)))
    return (start, start + len(places)) if in_order else None
