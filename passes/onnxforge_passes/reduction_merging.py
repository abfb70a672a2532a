from __future__ import annotations

import numpy as np

from onnxforge import Builder, Graph, Node, Pass, Value

from .axes import axes_of, input_since
from .fusion import quantizes
from .view_merging import VIEWS, is_view
from .weights import FLOATS

_EXACT = frozenset({"ReduceMax", "ReduceMin"})
_ROUNDED = frozenset({"ReduceL1", "ReduceMean", "ReduceProd", "ReduceSum"})
_OF_ONE = _EXACT | {"ReduceMean", "ReduceProd", "ReduceSum"}
_POSITIONS = frozenset({"ArgMax", "ArgMin"})
_OTHERS = frozenset({"ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"})
_REDUCTIONS = tuple(sorted(_EXACT | _ROUNDED | _POSITIONS | _OTHERS))


class ReductionMerging(Pass):
    """Let a reduction keep or drop the dimensions it reduces, as what reads it would.

    A Squeeze or Reshape that drops them, and an Unsqueeze that puts them back, are nothing then.
    Two reductions of one kind in a row are one, and one of dimensions of size 1 is a Squeeze.
    """

    operators = _REDUCTIONS

    def run(self, graph: Graph) -> int:
        """Merge them; return how many nodes went."""
        return sum(
            _squeeze(graph, node) or _view(graph, node) or _merge(graph, node)
            for node in graph.calls(*_REDUCTIONS)
            if not node.domain and not node.has_references and _is_promising(node)
        )


def _is_promising(node: Node) -> bool:
    """Whether there may be something to do, as far as the operators and attributes tell."""
    reader = _reader(node)
    is_read = reader is not None and reader.op_type in (*VIEWS, node.op_type)
    drops = node.op_type in _OF_ONE and node.attribute("keepdims") == 0
    return (is_read or drops) and _reduced(node) is not None


def _reduced(node: Node) -> list[int] | None:
    """The axes that a node reduces, counted from the front, if they are known."""
    data = node.input(0)
    if data is None or data.rank is None:
        return None
    if node.op_type in _POSITIONS:
        return [node.attribute("axis") % data.rank] if data.rank else None
    axes = axes_of(node, data.rank)
    is_left_out = node.version < input_since(node.op_type) or node.input(1) is None
    if axes is None and is_left_out and not node.attribute("noop_with_empty_axes"):
        return list(range(data.rank)) if not node.attribute("axes") else None
    return axes


def _reader(node: Node) -> Node | None:
    """The one node that reads the result, if nothing else does."""
    value = node.output
    reader = next(iter(value.consumers), None)
    if value.is_output or len(value.consumers) != 1 or reader is None:
        return None
    return reader if reader.graph is node.graph and reader.input(0) is value else None


def _squeeze(graph: Graph, node: Node) -> bool:
    """A reduction of what has one element each drops dimensions, and does nothing else."""
    data, axes = node.inputs[0], _reduced(node)
    assert data is not None
    assert data.shape is not None
    if node.op_type not in _OF_ONE or not axes or node.attribute("keepdims") != 0:
        return False
    if any(data.shape[axis] != 1 for axis in axes):
        return False
    op = Builder(graph, before=node)
    if node.version < 13:
        new = op.Squeeze(data, axes=axes)
    else:
        new = op.Squeeze(data, np.array(axes, np.int64))
    done = graph.replace(node.output, new)
    op.undo()
    return done


def _view(graph: Graph, node: Node) -> bool:
    """Let the reduction do what the view that reads it does."""
    view, axes = _reader(node), _reduced(node)
    if view is None or not axes or not is_view(view) or view.op_type == "Transpose":
        return False
    keeps = node.attribute("keepdims") == 1
    shapes = node.output.shape, view.output.shape
    longer, shorter = shapes if keeps else shapes[::-1]
    if longer is None or shorter is None:
        return False
    if view.op_type in ("Squeeze", "Unsqueeze"):
        fits = axes_of(view, len(longer)) == axes and (view.op_type == "Squeeze") == keeps
    else:
        rest = tuple(size for axis, size in enumerate(longer) if axis not in axes)
        is_one = all(axis < len(longer) and longer[axis] == 1 for axis in axes)
        fits = is_one and rest == shorter and None not in rest
    if not fits:
        return False
    op = Builder(graph, before=view)
    new = getattr(op, node.op_type)(*node.inputs, like=node, keepdims=int(not keeps))
    done = graph.replace(view.output, new)
    op.undo()
    return done


def _merge(graph: Graph, node: Node) -> bool:
    """Reduce at once what is reduced in two steps."""
    second, axes = _reader(node), _reduced(node)
    if second is None or second.op_type != node.op_type or second.domain or second.has_references:
        return False
    if node.op_type not in _EXACT and (node.op_type not in _ROUNDED or quantizes(graph)):
        return False
    if node.op_type == "ReduceMean" and node.output.dtype not in FLOATS:
        return False  # each of the two would round to a whole number
    keeps = node.attribute("keepdims")
    more, data = _reduced(second), node.inputs[0]
    if not axes or not more or data is None or data.rank is None:
        return False
    if second.attribute("keepdims") != keeps:
        return False
    left = [axis for axis in range(data.rank) if keeps or axis not in axes]
    both = sorted({*axes, *(left[axis] for axis in more)})
    op = Builder(graph, before=second)
    new: Value
    if second.version < input_since(second.op_type):
        new = getattr(op, second.op_type)(data, like=second, axes=both)
    else:
        new = getattr(op, second.op_type)(data, np.array(both, np.int64), like=second)
    done = graph.replace(second.output, new)
    op.undo()
    return done
