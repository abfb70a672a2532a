from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np

from onnxforge import Builder, Graph, Node, Pass, Value
from onnxforge.shapes import Shape, known_equal

from .reshape_target import elements, reshape_target


class SplitDeferral(Pass):
    """Reshape a whole before it is split, where each of its parts is reshaped.

    That can be where what is ahead of the split dimension stays apart from the rest, and the parts
    differ in one dimension at most: as queries, keys and values, computed at once, become heads.
    """

    operators = ("Split",)

    def run(self, graph: Graph) -> int:
        """Defer the Splits; return how many times."""
        splits = (node for node in graph.calls("Split") if not node.domain)
        work = deque(node for node in splits if not node.has_references)
        changes = 0
        while work:
            split = work.popleft()
            readers = _readers(split) if split.graph is graph else None
            if readers is None:
                continue
            op = Builder(graph, before=split)
            if (parts := _deferred(op, split, readers)) is not None:
                pairs = zip(readers, parts, strict=True)
                done = [graph.replace(reader.output, part) for reader, part in pairs]
                changes += any(done)
                work.extend(node for node in op.nodes if node.op_type == "Split")
            op.undo()
        return changes


def split_into(op: Builder, whole: Value, axis: int, sizes: list[int]) -> tuple[Value, ...]:
    """The two or more pieces of these sizes along an axis counted from the front."""
    split: Any = {"split": sizes}
    inputs: list[Any] = [whole]
    if op.graph.opset_imports.get("", 1) >= 13:
        split = {}
        inputs.append(np.array(sizes, np.int64))
    pieces: tuple[Value, ...] = op.Split(*inputs, axis=axis, outputs=len(sizes), **split)
    return pieces


def _readers(split: Node) -> list[Node] | None:
    """The Reshapes of the parts, one for each; None if others read them."""
    found = []
    for part in split.outputs:
        readers = list(part.consumers)
        if part.is_output or len(readers) != 1:
            return None
        (reader,) = readers
        if reader.graph is not split.graph or reader.op_type != "Reshape" or reader.domain:
            return None
        if reader.version < 5 or reader.inputs[0] is not part or part in reader.inputs[1:]:
            return None
        found.append(reader)
    return found if len(found) > 1 else None


def _deferred(op: Builder, split: Node, readers: list[Node]) -> tuple[Value, ...] | None:
    (data, *_), graph = split.inputs, op.graph
    befores, afters = _shapes(split.outputs), _shapes(reader.output for reader in readers)
    if data is None or befores is None or afters is None or not befores[0]:
        graph.decline("the shape of a part is unknown")
        return None
    axis = split.attribute("axis") % len(befores[0])
    places = [p for p in range(len(afters[0])) if _keeps_apart(befores, axis, afters, p)]
    if not places:
        graph.decline("a Reshape of a part may mix the split dimension with those ahead of it")
        return None
    place = places[0]
    sizes = [size for after in afters if isinstance(size := after[place], int)]
    target = reshape_target(data.shape, _with(afters[0], place, sum(sizes)))
    if target is None:
        graph.decline("the shape cannot be written as that of one Reshape")
        return None
    whole = op.Reshape(data, np.array(target, np.int64), like=readers[0], allowzero=None)
    return split_into(op, whole, place, sizes)


def _shapes(values: Iterable[Value]) -> list[Shape] | None:
    """The shapes of the values, if all of them are known."""
    found = [value.shape for value in values]
    known = [shape for shape in found if shape is not None]
    return known if len(known) == len(found) else None


def _with(shape: Shape, axis: int, size: int) -> Shape:
    return (*shape[:axis], size, *shape[axis + 1 :])


def _keeps_apart(befores: list[Shape], axis: int, afters: list[Shape], place: int) -> bool:
    """Whether the Reshapes differ at *place* alone, to which the split dimension then belongs.

    What was ahead of the one must be ahead of the other, and the rest behind.
    """
    if any(len(after) <= place or not isinstance(after[place], int) for after in afters):
        return False
    others = [_with(after, place, 0) for after in afters]
    if None in others[0] or any(other != others[0] for other in others):
        return False
    return all(
        known_equal(elements(before[:axis]), elements(after[:place]))
        and known_equal(elements(before[axis:]), elements(after[place:]))
        for before, after in zip(befores, afters, strict=True)
    )
