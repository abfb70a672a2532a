from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from onnxforge import Graph, Node, Pass, Value

from .axes import squeezes_none
from .gather_nd_elimination import axes_walked, counted
from .integers import integers
from .uniform import uniform

_INFINITE = 2**31 - 1
"""What the specification of Slice recommends as the end of a dimension of unknown size."""
_MAX_MASK = 1 << 10
# Between a convolution and what makes a matrix of its results there are a few activations.
_MAX_STEPS = 8
_SPATIAL = frozenset(
    {"AveragePool", "Conv", "ConvTranspose", "GlobalAveragePool", "GlobalMaxPool", "MaxPool"}
)
_OF_ONE_SHAPE = frozenset({"DequantizeLinear", "Dropout", "QuantizeLinear"})


class NoopElimination(Pass):
    """Read past nodes that return what they are given.

    Such as a Cast to the type its input has, a Reshape to the shape its input has, a Pad by
    nothing, a Slice of everything, a Gather or Scatter of all elements in order, a Concat of one
    tensor, or a Dropout outside of training.
    Shapes count as equal if they are proved to be, symbols included.
    """

    def run(self, graph: Graph) -> int:
        """Replace the outputs of such nodes by their inputs; return how many there were."""
        changes = 0
        for node in graph.calls(*_RULES):
            if node.domain or node.has_references or not node.inputs:
                continue
            if node.op_type == "Dropout":
                changes += _free_mask(graph, node)
            source = _RULES[node.op_type](node)
            if source is not None and not any(value.is_used for value in node.outputs[1:]):
                changes += graph.replace(node.output, source)
        return changes


def _free_mask(graph: Graph, node: Node) -> bool:
    """Let a constant stand for the mask of a Dropout, which outside of training is all true."""
    if len(node.outputs) < 2 or not node.outputs[1].is_used:
        return False
    mask, shape = node.outputs[1], node.output.shape
    # Earlier masks had other types, and runtimes filled them with anything.
    if node.version < 12 or _dropout(node) is None or mask.is_output or shape is None:
        return False
    sizes = [size for size in shape if isinstance(size, int)]
    if len(sizes) < len(shape) or prod(sizes) > _MAX_MASK:
        graph.decline("Dropout: its mask is read, and as a constant would be large or unknown")
        return False
    constant = graph.constant(np.ones(sizes, np.bool_))
    done = graph.replace(mask, constant)
    graph.sweep([constant])
    return done


# Each rule returns the input that the first output of its node equals, or None if it may differ.


def _if_same_shape(node: Node) -> Value | None:
    """The input, of an operator that keeps the elements in order, if the shape is the same too."""
    x = node.inputs[0]
    if x is None or x.shape is None or node.output.shape is None:
        return None
    return x if None not in x.shape and x.shape == node.output.shape else None


def _squeeze(node: Node) -> Value | None:
    return None if squeezes_none(node) else _if_same_shape(node)


def _cast(node: Node) -> Value | None:
    x = node.inputs[0]
    return x if x is not None and x.dtype is not None and x.dtype == node.attribute("to") else None


def _flatten(node: Node) -> Value | None:
    return None if _is_spatial(node.inputs[0]) else _if_same_shape(node)


def _is_spatial(value: Value | None) -> bool:
    """Whether a convolution or a pooling tells at once that there are three dimensions, or more."""
    for _ in range(_MAX_STEPS):
        node = value.producer if value is not None else None
        if node is None or node.domain or not node.inputs:
            return False
        if node.op_type in _SPATIAL:
            return True
        # Broadcasting takes no dimension away.
        if node.op_type not in _OF_ONE_SHAPE and not node.operator.elementwise:
            return False
        value = node.inputs[0]
    return False


def _reshape(node: Node) -> Value | None:
    x, shape = node.inputs[0], node.input(1)
    if shape is not None and shape.is_constant and shape.shape in ((1,), (2,)) and _is_spatial(x):
        return None
    if x is None or _if_same_shape(node) is not None or _is_shape_of(shape, x):
        return x
    before, after = x.shape, node.output.shape
    if before is None or after is None or len(before) != len(after):
        return None
    # Elements are neither lost nor made, so one dimension follows from the others, save from zero.
    pairs = zip(before, after, strict=True)
    same = [size for size, new in pairs if isinstance(size, int) and size == new and size]
    return x if len(same) >= len(before) - 1 else None


def _expand(node: Node) -> Value | None:
    x, shape = node.inputs[0], node.input(1)
    if x is None or _if_same_shape(node) is not None or _is_shape_of(shape, x):
        return x
    ones = integers(shape)
    if ones is None or x.rank is None:
        return None
    return x if len(ones) <= x.rank and all(one == 1 for one in ones) else None


def _is_shape_of(shape: Value | None, x: Value) -> bool:
    """Whether *shape* is computed as that of *x*, all of it."""
    maker = shape.producer if shape is not None else None
    return (
        maker is not None
        and (maker.op_type, maker.domain) == ("Shape", "")
        and maker.inputs[0] is x
        and not maker.has_references
        and maker.attribute("start") in (None, 0)
        and maker.attribute("end") is None
    )


def _transpose(node: Node) -> Value | None:
    x = node.inputs[0]
    perm = node.attribute("perm")
    if x is None or (perm is None and x.rank is None):
        return None
    if perm is None:
        perm = list(reversed(range(len(x.shape or ()))))
    if perm == sorted(perm):
        return x
    # Dimensions of size 1 hold no order.
    if x.shape is None or _if_same_shape(node) is None:
        return None
    moved = [axis for axis in perm if x.shape[axis] != 1]
    return x if moved == sorted(moved) else None


def _pad(node: Node) -> Value | None:
    pads = node.attribute("pads") if node.version < 11 else integers(node.input(1))
    if node.version < 2 or pads is None or any(pads):
        return None
    return node.inputs[0]


def _slice(node: Node) -> Value | None:
    x = node.inputs[0]
    if node.version < 10:
        starts, ends = node.attribute("starts"), node.attribute("ends")
        steps: list[int] | None = []
    else:
        starts, ends = integers(node.input(1)), integers(node.input(2))
        steps = integers(node.input(4)) if node.input(4) is not None else []
    if steps is None or any(step < 1 for step in steps):
        return None
    if _if_same_shape(node) is not None:
        return x
    if starts is None or ends is None or any(starts) or any(step > 1 for step in steps):
        return None
    return x if all(end >= _INFINITE for end in ends) else None


def _concat(node: Node) -> Value | None:
    axis = node.attribute("axis")
    axis = 1 if axis is None else axis
    rest = [
        value
        for value in node.inputs
        if value is None or value.shape is None or not _is_empty(value, axis)
    ]
    return rest[0] if len(rest) == 1 else None


def _is_empty(value: Value, axis: int) -> bool:
    shape = value.shape or ()
    return -len(shape) <= axis < len(shape) and shape[axis] == 0


def _split(node: Node) -> Value | None:
    return node.inputs[0] if len(node.outputs) == 1 else None


def _single(node: Node) -> Value | None:
    return node.inputs[0] if len(node.inputs) == 1 else None


def _tile(node: Node) -> Value | None:
    repeats = integers(node.input(1)) if node.version >= 6 else None
    return node.inputs[0] if repeats is not None and all(n == 1 for n in repeats) else None


def _dropout(node: Node) -> Value | None:
    if node.version < 7:
        return node.inputs[0] if node.attribute("is_test") else None
    training = node.input(2)
    if node.version < 12 or training is None:
        return node.inputs[0]
    return node.inputs[0] if integers(training) == [0] else None


def _resize(node: Node) -> Value | None:
    """Scaled by 1, whatever the mode, each element is the sample taken at its own place."""
    if node.version < 11:
        scales = node.attribute("scales") or integers(node.input(1))
        return node.inputs[0] if scales and all(scale == 1 for scale in scales) else None
    # One takes a part of the image, the other samples between the places, by its definition.
    moves = ("tf_crop_and_resize", "tf_half_pixel_for_nn")
    policy = node.attribute("keep_aspect_ratio_policy") or "stretch"
    if node.attribute("coordinate_transformation_mode") in moves or policy != "stretch":
        return None
    if node.input(3) is not None:
        return _if_same_shape(node)
    scales = integers(node.input(2))
    return node.inputs[0] if scales and all(scale == 1 for scale in scales) else None


def _reduce(node: Node) -> Value | None:
    """A reduction of dimensions of size 1, which are kept, or of none at all."""
    return _if_same_shape(node) if node.attribute("keepdims") == 1 else None


def _block(node: Node) -> Value | None:
    x = node.inputs[0]
    inner = x.producer if x is not None else None
    if node.attribute("blocksize") == 1 or inner is None or inner.domain or inner.has_references:
        return x if node.attribute("blocksize") == 1 else None
    kinds = {node.op_type, inner.op_type}
    modes = [node.attribute("mode") or "DCR", inner.attribute("mode") or "DCR"]
    is_undone = kinds == {"DepthToSpace", "SpaceToDepth"} and modes == ["DCR", "DCR"]
    same = inner.attribute("blocksize") == node.attribute("blocksize")
    return inner.inputs[0] if is_undone and same else None


def _einsum(node: Node) -> Value | None:
    terms, arrow, result = str(node.attribute("equation")).replace(" ", "").partition("->")
    same = arrow and terms == result and len(set(terms)) == len(terms) and terms.isalpha()
    return node.inputs[0] if same else None


def _gather(node: Node) -> Value | None:
    x, indices = node.inputs
    if x is None or indices is None or not x.shape or not indices.is_constant:
        return None
    size = x.shape[node.attribute("axis") % len(x.shape)]
    in_order = indices.shape == (size,) and counted(indices.numpy(), 1) == 0
    return x if in_order else None


def _elements(node: Node) -> Value | None:
    """What a GatherElements or ScatterElements of every element at its own place comes to."""
    x, indices, other = node.inputs[0], node.input(1), node.input(2)
    if x is None or indices is None or not x.shape or not indices.is_constant:
        return None
    if x.shape != indices.shape or (node.attribute("reduction") or "none") != "none":
        return None
    along = counted(indices.numpy(), len(x.shape))
    in_place = along == node.attribute("axis") % len(x.shape) or indices.numpy().size == 1
    return (other if node.op_type == "ScatterElements" else x) if in_place else None


def _scatter(node: Node) -> Value | None:
    x, indices, updates = node.inputs
    if x is None or indices is None or x.shape is None or indices.shape is None:
        return None
    depth = indices.shape[-1] if indices.shape else None
    if not isinstance(depth, int) or (node.attribute("reduction") or "none") != "none":
        return None
    axes = axes_walked(indices, x.shape, depth)
    return updates if axes == list(range(len(indices.shape) - 1)) else None


def _compress(node: Node) -> Value | None:
    x, condition, axis = node.inputs[0], node.input(1), node.attribute("axis")
    if x is None or condition is None or axis is None or not x.shape:
        return None
    is_all = condition.shape == (x.shape[axis % len(x.shape)],) and uniform(condition) == 1
    return x if is_all else None


def _trilu(node: Node) -> Value | None:
    x, by = node.inputs[0], node.input(1)
    numbers = [0] if by is None else integers(by)
    if x is None or x.shape is None or numbers is None or len(x.shape) < 2 or len(numbers) != 1:
        return None
    rows, columns = x.shape[-2:]
    if not isinstance(rows, int) or not isinstance(columns, int):
        return None
    diagonal = numbers[0]
    is_all = diagonal <= 1 - rows if node.attribute("upper") else diagonal >= columns - 1
    return x if is_all else None


def _average(node: Node) -> Value | None:
    strides, pads = node.attribute("strides") or [1], node.attribute("pads") or [0]
    ones = [*node.attribute("kernel_shape"), *strides]
    if any(one != 1 for one in ones) or any(pads):
        return None
    return node.inputs[0]


_RULES: dict[str, Callable[[Node], Value | None]] = {
    "AveragePool": _average,
    "Cast": _cast,
    "CenterCropPad": _if_same_shape,
    "Compress": _compress,
    "Concat": _concat,
    "DepthToSpace": _block,
    "Dropout": _dropout,
    "Einsum": _einsum,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _elements,
    "GlobalAveragePool": _if_same_shape,
    "GlobalMaxPool": _if_same_shape,
    "Max": _single,
    "MaxPool": _average,
    "Mean": _single,
    "Min": _single,
    "Pad": _pad,
    "ReduceMax": _reduce,
    "ReduceMean": _reduce,
    "ReduceMin": _reduce,
    "ReduceProd": _reduce,
    "ReduceSum": _reduce,
    "Reshape": _reshape,
    "Resize": _resize,
    "ScatterElements": _elements,
    "ScatterND": _scatter,
    "Slice": _slice,
    "SpaceToDepth": _block,
    "Split": _split,
    "Squeeze": _squeeze,
    "Sum": _single,
    "Tile": _tile,
    "Transpose": _transpose,
    "Trilu": _trilu,
    "Unsqueeze": _if_same_shape,
    "Upsample": _resize,
}
