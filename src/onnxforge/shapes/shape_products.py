"""Shapes of matrix products and reductions."""

from __future__ import annotations

from onnxforge.shapes.call import Call, Rules, Unknown, axis_of, broadcast
from onnxforge.shapes.dims import DimLike, Shape

rules: Rules[Shape] = Rules()


@rules("MatMul", "MatMulInteger", "QLinearMatMul")
def _matmul(call: Call) -> list[Shape]:
    left, right = call.shape(0), call.shape(3 if call.op_type == "QLinearMatMul" else 1)
    if not left or not right:
        raise Unknown
    rows: Shape = left[-2:-1]
    columns: Shape = right[-1:] if len(right) > 1 else ()
    return [(*broadcast(left[:-2], right[:-2]), *rows, *columns)]


@rules("Gemm")
def _gemm(call: Call) -> list[Shape]:
    left, right = call.shape(0), call.shape(1)
    if len(left) != 2 or len(right) != 2:
        raise Unknown
    rows = left[1] if call.integer("transA", 0) else left[0]
    columns = right[0] if call.integer("transB", 0) else right[1]
    return [(rows, columns)]


@rules("Einsum")
def _einsum(call: Call) -> list[Shape]:
    equation = call.text("equation", "").replace(" ", "")
    terms, arrow, result = equation.partition("->")
    sizes: dict[str, list[DimLike]] = {}
    others: list[Shape] = []
    for index, term in enumerate(terms.split(",")):
        shape = call.shape(index)
        before, dots, after = term.partition("...")
        end = len(shape) - len(after)
        if end < len(before) or (end > len(before) and not dots):
            raise Unknown
        others.append(shape[len(before) : end])
        for label, size in zip(before + after, shape[: len(before)] + shape[end:], strict=True):
            sizes.setdefault(label, []).append(size)
    if not arrow:
        once = (label for label in sizes if len(sizes[label]) == 1)
        result = "".join(("..." if "..." in terms else "", *sorted(once)))
    # One label may stand for 1 and for another size: they broadcast.
    found = {label: broadcast(*((size,) for size in sizes[label])) for label in sizes}
    before, dots, after = result.partition("...")
    leading, trailing = (
        [size for label in labels for size in found[label]] for labels in (before, after)
    )
    return [(*leading, *(broadcast(*others) if dots else ()), *trailing)]


@rules("Attention")
def _attention(call: Call) -> list[Shape]:
    queries, values = call.shape(0), call.shape(2)
    size = values[-1]
    if len(queries) == 3 and size is not None:
        # Heads side by side, several of which may share their keys and values.
        count, shared = call.integer("q_num_heads", 0), call.integer("kv_num_heads", 0)
        if len(values) != 3 or not count or not shared:
            raise Unknown
        size = size if count == shared else size // shared * count
    return [(*queries[:-1], size)]


@rules(
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
    "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare",
)  # fmt: skip
def _reduce(call: Call) -> list[Shape]:
    shape, keep = call.shape(), call.integer("keepdims", 1)
    if "axes" not in call.attributes and call.has(1) and call.input(1).value is None:
        # Which axes is unknown; that each keeps its place is not.
        if not keep:
            raise Unknown
        return [(None,) * len(shape)]
    axes = call.axes(len(shape))
    if not axes:
        if call.integer("noop_with_empty_axes", 0):
            return [shape]
        axes = list(range(len(shape)))
    return [_without(shape, axes, keep)]


@rules("ArgMax", "ArgMin")
def _arg(call: Call) -> list[Shape]:
    shape = call.shape()
    axis = axis_of(call.integer("axis", 0), len(shape))
    return [_without(shape, [axis], call.integer("keepdims", 1))]


@rules("TopK")
def _top_k(call: Call) -> list[Shape]:
    shape = list(call.shape())
    axis = axis_of(call.integer("axis", -1), len(shape))
    count: DimLike = None
    if call.opset < 10:
        count = call.integer("k", 0)
    elif (value := call.input(1).value) is not None:
        count = value.elements[0]
    shape[axis] = count
    return [tuple(shape)] * 2


def _without(shape: Shape, axes: list[int], keep: int) -> Shape:
    if keep:
        return tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)
