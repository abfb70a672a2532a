"""Shapes of what makes, cuts, joins and rearranges tensors."""

from __future__ import annotations

from onnxforge.shapes.call import (
    Call,
    Rules,
    ShapeValue,
    Unknown,
    agreed,
    axis_of,
    broadcast,
    total,
)
from onnxforge.shapes.dims import (
    DimLike,
    Known,
    Shape,
    at_least,
    ceil_div,
    exact_quotient,
    maximum,
    minimum,
)

rules: Rules[Shape] = Rules()

TO_THE_END = 2**31 - 1
"""Slice ends from here on mean the end, as exporters use them; no dimension is that long."""


@rules("Shape")
def _shape(call: Call) -> list[Shape]:
    rank = len(call.shape())
    end = call.attributes.get("end")
    return [(len(range(rank)[call.integer("start", 0) : None if end is None else int(end)]),)]


@rules("Size")
def _size(_: Call) -> list[Shape]:
    return [()]


@rules("Reshape")
def _reshape(call: Call) -> list[Shape]:
    given = call.integers("shape")
    source = call.input(0).shape
    if given is None and call.input(1).value is None:
        (rank,) = call.shape(1)
        if not isinstance(rank, int) or rank > 64:
            raise Unknown
        return [(None,) * rank]
    target = tuple(given) if given is not None else call.value(1).elements
    sizes: list[DimLike] = []
    for axis, size in enumerate(target):
        if isinstance(size, int) and size == 0 and not call.integer("allowzero", 0):
            sizes.append(source[axis] if source is not None and axis < len(source) else None)
        else:
            sizes.append(size)
    sure = _sure(call, target, source, sizes)
    missing = [axis for axis, size in enumerate(target) if isinstance(size, int) and size < 0]
    if missing:
        # What is copied stands on both sides, be it known or not, and cannot be 0 beside a -1.
        copied = [axis for axis, size in enumerate(target) if size == 0]
        others = [axis for axis in range(len(target)) if axis not in copied and axis not in missing]
        inferred: DimLike = None
        # A literal 0 beside a -1 is invalid, and what runtimes make of it is theirs.
        valid = not (copied and call.integer("allowzero", 0))
        if source is not None and valid and all(sure[axis] for axis in others):
            elements = total([size for axis, size in enumerate(source) if axis not in copied])
            divisor = total([sizes[axis] for axis in others])
            if elements is not None and divisor is not None:
                inferred = elements // divisor
        sizes[missing[0]] = inferred
    return [tuple(size if known else None for size, known in zip(sizes, sure, strict=True))]


def _sure(call: Call, target: Shape, source: Shape | None, sizes: list[DimLike]) -> list[bool]:
    """For each entry of a Reshape's target, whether it is the size that it seems to be.

    An expression may turn out 0, which copies the input's size, or -1.  That changes nothing if
    the copied size is then 0 as well; and the elements would not add up, so that the node fails,
    if no other entry can be 0.
    """
    literal = bool(call.integer("allowzero", 0))
    answers = []
    for axis, size in enumerate(target):
        if size is None or isinstance(size, int) or at_least(size, 1):
            answers.append(True)
        elif not at_least(size, 0):
            answers.append(False)
        elif literal or (source is not None and axis >= len(source)):
            answers.append(True)  # or there is nothing to copy
        else:
            copied = source[axis] if source is not None else None
            vanishes = copied is not None and exact_quotient(copied, size) is not None
            elements = total(source) if source is not None else None
            empty = elements is not None and exact_quotient(elements, size) is not None
            others = [other for i, other in enumerate(sizes) if i != axis]
            answers.append(vanishes or (empty and all(at_least(other, 1) for other in others)))
    return answers


@rules("Expand")
def _expand(call: Call) -> list[Shape]:
    target = call.value(1).elements
    if not all(size is None or at_least(size, 0) for size in target):
        raise Unknown
    return [broadcast(call.shape(), target)]


@rules("ConstantOfShape")
def _constant_of_shape(call: Call) -> list[Shape]:
    return [call.value(0).elements]


@rules("Transpose")
def _transpose(call: Call) -> list[Shape]:
    shape = call.shape()
    order = call.integers("perm")
    if order is None:
        return [shape[::-1]]
    if sorted(order) != list(range(len(shape))):
        raise Unknown
    return [tuple(shape[axis] for axis in order)]


@rules("Unsqueeze")
def _unsqueeze(call: Call) -> list[Shape]:
    shape = call.shape()
    given = call.integers("axes") or call.numbers(1)
    axes = [axis_of(axis, len(shape) + len(given)) for axis in given]
    sizes = list(shape)
    for axis in sorted(axes):
        sizes.insert(axis, 1)
    return [tuple(sizes)]


@rules("Squeeze")
def _squeeze(call: Call) -> list[Shape]:
    shape = call.shape()
    axes = call.axes(len(shape))
    if axes is None:
        if not all(isinstance(size, int) or at_least(size, 2) for size in shape):
            raise Unknown
        axes = [axis for axis, size in enumerate(shape) if size == 1]
    return [tuple(size for axis, size in enumerate(shape) if axis not in axes)]


@rules("Flatten")
def _flatten(call: Call) -> list[Shape]:
    shape = call.shape()
    axis = call.integer("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    return [(total(shape[:axis]), total(shape[axis:]))]


@rules("Concat")
def _concat(call: Call) -> list[Shape]:
    shapes = [call.input(index).shape for index in range(len(call.inputs))]
    known = [shape for shape in shapes if shape is not None]
    if not known:
        raise Unknown
    rank = len(known[0])
    axis = axis_of(call.integer("axis", 1), rank)
    sizes = [agreed([shape[i] for shape in known]) for i in range(rank)]
    parts = [shape[axis] for shape in known]
    sizes[axis] = _sum(parts) if len(known) == len(shapes) else None
    return [tuple(sizes)]


def _sum(sizes: list[DimLike]) -> DimLike:
    result: Known = 0
    for size in sizes:
        if size is None:
            return None
        result = result + size
    return result


@rules("Split")
def _split(call: Call) -> list[Shape]:
    shape = call.shape()
    axis = axis_of(call.integer("axis", 0), len(shape))
    length, count = shape[axis], call.outputs
    given = call.attributes.get("split")
    sizes: list[DimLike]
    if given is not None:
        sizes = [int(size) for size in given]
    elif call.has(1):
        value = call.input(1).value
        sizes = [None] * count if value is None else list(value.elements)
    elif length is None:
        sizes = [None] * count
    elif call.opset >= 18 and "num_outputs" in call.attributes:
        # All of one size but the last, which takes what is left.
        chunk = ceil_div(length, count)
        sizes = [*[chunk] * (count - 1), length - chunk * (count - 1)]
    else:
        sizes = [length // count] * count
    return [(*shape[:axis], size, *shape[axis + 1 :]) for size in sizes]


@rules("Slice")
def _slice(call: Call) -> list[Shape]:
    shape = list(call.shape())
    if call.opset < 10:
        starts: Shape = tuple(call.integers("starts") or ())
        ends: Shape = tuple(call.integers("ends") or ())
        axes, steps = call.integers("axes"), None
    else:
        axes = call.numbers(3) if call.has(3) else None
        count = len(axes) if axes is not None else None
        starts, ends = _entries(call, 1, count), _entries(call, 2, count)
        steps = _entries(call, 4, len(starts)) if call.has(4) else None
    axes = list(range(len(starts))) if axes is None else axes
    for i, axis in enumerate(axes):
        axis = axis_of(axis, len(shape))
        step = steps[i] if steps is not None else 1
        shape[axis] = _cut(shape[axis], starts[i], ends[i], step)
    return [tuple(shape)]


def _entries(call: Call, index: int, count: int | None) -> Shape:
    value: ShapeValue | None = call.input(index).value
    if value is not None:
        return value.elements
    if count is None:
        raise Unknown
    return (None,) * count


def end_is_open(end: DimLike) -> bool:
    """Whether a slice going backwards ends at INT_MAX, which runtimes take for the beginning."""
    return isinstance(end, int) and end >= TO_THE_END


def _cut(size: DimLike, start: DimLike, end: DimLike, step: DimLike) -> DimLike:
    if size is None or start is None or end is None or not isinstance(step, int) or not step:
        return None
    if step < 0 and end_is_open(end):
        return None
    if step > 0:
        first, last = _bound(start, size, 0, size), _bound(end, size, 0, size)
    else:
        first, last = _bound(start, size, 0, size - 1), _bound(end, size, -1, size - 1)
    if first is None or last is None:
        return None
    return maximum([ceil_div(last - first, step), 0])


def _bound(position: Known, size: Known, low: Known, high: Known) -> DimLike:
    """Where a slice starts or ends: counted from the front, and kept within the tensor."""
    if isinstance(position, int) and position >= TO_THE_END and not isinstance(size, int):
        return high
    if at_least(position, 0):
        return minimum([position, high])
    if isinstance(position, int) and position <= -TO_THE_END and not isinstance(size, int):
        return minimum([low, high])
    # The upper end is the stronger one: in an empty tensor going backwards it lies below the lower.
    return minimum([maximum([position + size, low]), high]) if at_least(-position, 1) else None


@rules("Gather")
def _gather(call: Call) -> list[Shape]:
    data, indices = call.shape(0), call.shape(1)
    axis = axis_of(call.integer("axis", 0), len(data))
    return [(*data[:axis], *indices, *data[axis + 1 :])]


@rules("GatherElements")
def _gather_elements(call: Call) -> list[Shape]:
    return [call.shape(1)]


@rules("GatherND")
def _gather_nd(call: Call) -> list[Shape]:
    data, indices, batch = call.shape(0), call.shape(1), call.integer("batch_dims", 0)
    if not indices or not isinstance(indices[-1], int):
        raise Unknown
    return [(*indices[:-1], *data[batch + indices[-1] :])]


@rules("Tile")
def _tile(call: Call) -> list[Shape]:
    shape, repeats = call.shape(), call.value(1).elements
    if call.opset < 6 or len(repeats) != len(shape):
        raise Unknown
    return [tuple(total(pair) for pair in zip(shape, repeats, strict=True))]


@rules("Pad")
def _pad(call: Call) -> list[Shape]:
    shape = call.shape()
    given = call.attributes.get("pads", call.attributes.get("paddings"))
    pads: Shape = tuple(map(int, given)) if given is not None else call.value(1).elements
    axes = list(range(len(shape)))
    if call.has(3):
        axes = [axis_of(axis, len(shape)) for axis in call.numbers(3)]
    if len(pads) != 2 * len(axes):
        raise Unknown
    sizes = list(shape)
    for i, axis in enumerate(axes):
        sizes[axis] = _sum([sizes[axis], pads[i], pads[i + len(axes)]])
    return [tuple(sizes)]


@rules("Range")
def _range(call: Call) -> list[Shape]:
    (start,), (limit,), (delta,) = (
        known.value.elements if (known := call.input(i)).value is not None else (None,)
        for i in range(3)
    )
    if start is None or limit is None or not isinstance(delta, int):
        return [(None,)]
    return [(maximum([ceil_div(limit - start, delta), 0]),)]


@rules("NonZero")
def _non_zero(call: Call) -> list[Shape]:
    # A tensor of rank 0 has none, or one: ONNX Runtime does not do as ONNX says.
    return [(len(call.shape()) or None, None)]


@rules("OneHot")
def _one_hot(call: Call) -> list[Shape]:
    indices, depth = call.shape(0), call.input(1).value
    axis = axis_of(call.integer("axis", -1), len(indices) + 1)
    size = depth.elements[0] if depth is not None else None
    return [(*indices[:axis], size, *indices[axis:])]


@rules("EyeLike", "RandomNormalLike", "RandomUniformLike", "Bernoulli")
def _like(call: Call) -> list[Shape]:
    return [call.shape()]
