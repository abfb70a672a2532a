from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from onnxforge import Builder, Graph, Node, Pass, Value

from .slice_merging import END, Cut, cuts
from .weights import Array

# More indices than these come only in place of others, lest the model grow.
_MAX_COPIED = 16


class Selection(NamedTuple):
    """What a Gather or a Slice takes along its one axis: the positions, or the cut."""

    axis: int
    taken: Array | Cut


class SelectionMerging(Pass):
    """Take elements along an axis at once, from the tensor they come from.

    A Gather or Slice of what another took along the same axis is one of the two, at constant
    positions.  Of what was concatenated it reads the one operand that has the elements, if there is
    one.  Slices that lie side by side and are concatenated again are one Slice.
    """

    operators = ("Concat", "Gather", "Slice")

    def run(self, graph: Graph) -> int:
        """Merge them; return how many nodes were rewritten."""
        return sum(
            _of_concat(graph, node) or _of_selection(graph, node)
            if node.op_type != "Concat"
            else _rejoin(graph, node)
            for node in graph.calls(*self.operators)
            if not node.domain and not node.has_references
        )


def selection(node: Node) -> Selection | None:
    """What a node takes along an axis, if it is that, and known."""
    data = node.input(0)
    if node.domain or node.has_references or data is None or not data.rank:
        return None
    if node.op_type == "Slice" and node.version >= 10:
        found = cuts(node)
        return Selection(*next(iter(found.items()))) if found and len(found) == 1 else None
    indices = node.input(1)
    if node.op_type != "Gather" or indices is None or not indices.is_constant:
        return None
    return Selection(node.attribute("axis") % data.rank, indices.numpy())


def _taken(op: Builder, node: Node, data: Value, picked: Selection) -> Value:
    """What *picked* takes of *data*, in the place of *node*."""
    axis, taken = picked
    like = node if node.op_type == ("Slice" if isinstance(taken, Cut) else "Gather") else None
    new: Value
    if isinstance(taken, Cut):
        lists = [[taken.start], [taken.end], [axis], [taken.step]]
        arrays = [np.array(each, np.int64) for each in lists[: 4 if taken.step > 1 else 3]]
        new = op.Slice(data, *arrays, like=like)
    else:
        new = op.Gather(data, taken, like=like, axis=axis)
    return new


def _of_selection(graph: Graph, node: Node) -> bool:
    """Take at once what is taken of what was taken."""
    between = node.input(0)
    inner = between.producer if between is not None else None
    if between is None or inner is None or inner.graph is not graph:
        return False
    if inner.op_type not in ("Gather", "Slice") or between.is_output or len(between.consumers) > 1:
        return False
    first, outer = selection(inner), selection(node)
    source = inner.input(0)
    if first is None or source is None or outer is None or first.axis != outer.axis:
        return False
    if isinstance(first.taken, Cut) and isinstance(outer.taken, Cut):
        return False  # two Slices are for the pass that merges those
    picked = _composed(source, first, outer)
    if picked is None or not _is_spared(picked, inner, node):
        return False
    op = Builder(graph, before=node)
    done = graph.replace(node.output, _taken(op, node, source, picked))
    op.undo()
    return done


def _is_spared(picked: Selection, *gone: Node) -> bool:
    """Whether new indices are few, or come in place of as many that the nodes *gone* alone read."""
    size = 0 if isinstance(picked.taken, Cut) else picked.taken.size
    old = [node.inputs[1] for node in gone if node.op_type == "Gather"]
    return size <= _MAX_COPIED or any(
        value is not None
        and value.consumers.keys() <= dict.fromkeys(gone).keys()
        and value.numpy().size >= size
        for value in old
    )


def _composed(source: Value, first: Selection, second: Selection) -> Selection | None:
    """What *second* takes of what *first* took of *source*."""
    axis = first.axis
    if not isinstance(first.taken, Cut):
        if first.taken.ndim != 1:
            return None
        if isinstance(second.taken, Cut):
            start, end, step = second.taken
            return Selection(axis, first.taken[start:end:step])
        length = len(first.taken)
        if not ((second.taken >= -length) & (second.taken < length)).all():
            return None
        return Selection(axis, first.taken[second.taken])
    assert not isinstance(second.taken, Cut)
    size = source.shape[axis] if source.shape is not None else None
    start, end, step = first.taken
    positions = second.taken
    if isinstance(size, int):
        kept = np.arange(size)[start:end:step]
        if not ((positions >= -len(kept)) & (positions < len(kept))).all():
            return None
        return Selection(axis, kept[positions].astype(positions.dtype))
    # Counted from the front, they are beyond the end of both or of none.
    if start < 0 or positions.size == 0 or positions.min() < 0:
        return None
    moved = start + positions * step
    if end != END and (end < 0 or moved.max() >= end):
        return None
    return Selection(axis, moved.astype(positions.dtype))


def _of_concat(graph: Graph, node: Node) -> bool:
    """Take from the operand of a Concat what is taken of the whole."""
    whole = node.input(0)
    concat = whole.producer if whole is not None else None
    if whole is None or concat is None or concat.op_type != "Concat":
        return False
    picked = selection(node)
    if picked is None or concat.domain or concat.has_references or whole.rank is None:
        return False
    axis = concat.attribute("axis")
    if not isinstance(axis, int) or axis % whole.rank != picked.axis:
        return False
    total = whole.shape[picked.axis] if whole.shape is not None else None
    bounds = _bounds(picked.taken, total if isinstance(total, int) else None)
    found = _operand(concat.inputs, picked.axis, bounds) if bounds is not None else None
    if found is None:
        return False
    operand, offset, size = found
    op = Builder(graph, before=node)
    if not isinstance(picked.taken, Cut):
        positions = picked.taken
        if isinstance(total, int):
            positions = np.where(positions < 0, positions + total, positions)
        moved = Selection(picked.axis, (positions - offset).astype(picked.taken.dtype))
        if np.array_equal(moved.taken, picked.taken):
            new = op.Gather(operand, node.inputs[1], like=node)
        elif _is_spared(moved, node):
            new = _taken(op, node, operand, moved)
        else:
            return False
    else:
        assert bounds is not None
        cut = Cut(bounds[0] - offset, bounds[1] - offset, picked.taken.step)
        new = operand
        if cut != (0, size, 1):
            new = _taken(op, node, operand, Selection(picked.axis, cut))
        elif node.output.is_output:
            new = op.Identity(operand)
    done = graph.replace(node.output, new)
    op.undo()
    return done


def _bounds(taken: Array | Cut, total: int | None) -> tuple[int, int] | None:
    """The first position that is taken, and one past the last, as they come from the front."""
    if isinstance(taken, Cut):
        if total is not None:
            covered = range(total)[slice(*taken)]
            return (covered.start, min(covered.stop, total)) if covered else None
        return (taken.start, taken.end) if 0 <= taken.start < taken.end < END else None
    if not taken.size:
        return None
    low, high = int(taken.min()), int(taken.max())
    if total is None:
        return (low, high + 1) if low >= 0 else None
    if low < -total or high >= total:
        return None
    positions = taken % total
    return int(positions.min()), int(positions.max()) + 1


def _operand(
    operands: Sequence[Value | None], axis: int, bounds: tuple[int, int]
) -> tuple[Value, int, int] | None:
    """The operand that has all of these positions, where it starts, and its size along the axis."""
    offset = 0
    for operand in operands:
        size = operand.shape[axis] if operand is not None and operand.shape is not None else None
        if operand is None or not isinstance(size, int):
            return None
        if offset <= bounds[0] and bounds[1] <= offset + size:
            return operand, offset, size
        offset += size
    return None


def _rejoin(graph: Graph, node: Node) -> bool:
    """Slice once what is sliced in two, side by side, and concatenated."""
    operands = list(node.inputs)
    if not any(map(_are_side_by_side, operands, operands[1:])):
        return False
    axis = node.attribute("axis")
    rank = node.output.rank
    if not isinstance(axis, int) or not rank:
        return False
    op = Builder(graph, before=node)
    joined: list[Value | None] = operands[:1]
    for operand in operands[1:]:
        last = joined[-1]
        cut = _joint(node, last, operand, axis % rank)
        if cut is None or last is None:
            joined.append(operand)
            continue
        maker = last.producer
        assert maker is not None
        source = maker.input(0)
        assert source is not None
        joined[-1] = _taken(op, maker, source, Selection(axis % rank, cut))
    done = False
    if len(joined) < len(operands):
        new = joined[0] if len(joined) == 1 else op.Concat(*joined, like=node)
        done = new is not None and graph.replace(node.output, new)
    op.undo()
    return done


def _are_side_by_side(left: Value | None, right: Value | None) -> bool:
    """Whether two values may be slices of one tensor."""
    one, other = (value.producer if value is not None else None for value in (left, right))
    if one is None or other is None or one.op_type != "Slice" or other.op_type != "Slice":
        return False
    return one.input(0) is other.input(0)


def _joint(node: Node, left: Value | None, right: Value | None, axis: int) -> Cut | None:
    """The cut that two slices, read by *node* alone, make together."""
    if left is None or right is None or left is right:
        return None
    makers = [value.producer for value in (left, right)]
    one, other = makers
    if one is None or other is None or one.input(0) is not other.input(0):
        return None
    for value in (left, right):
        if value.is_output or any(reader is not node for reader in value.consumers):
            return None
    if node.inputs.count(left) > 1 or node.inputs.count(right) > 1:
        return None
    first, second = selection(one), selection(other)
    if first is None or second is None or (first.axis, second.axis) != (axis, axis):
        return None
    if not isinstance(first.taken, Cut) or not isinstance(second.taken, Cut):
        return None
    (start, middle, step), (begin, end, pace) = first.taken, second.taken
    if step != 1 or pace != 1 or middle != begin or not 0 <= start <= middle < END:
        return None
    return Cut(start, end) if middle <= end else None
