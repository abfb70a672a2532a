"""Shape values under operators that make, move or copy elements."""

from __future__ import annotations

import math
from itertools import accumulate, pairwise

import numpy as np
from onnx import TensorProto, numpy_helper

from onnxforge.shapes.call import MAX_ELEMENTS, Call, Rules, ShapeValue, Unknown, axis_of, total
from onnxforge.shapes.dims import DimLike
from onnxforge.shapes.shape_movement import end_is_open

rules: Rules[ShapeValue] = Rules()


@rules("Shape")
def _shape(call: Call) -> list[ShapeValue]:
    shape = call.shape()
    if len(shape) > MAX_ELEMENTS:
        raise Unknown
    start, end = call.integer("start", 0), call.attributes.get("end")
    return [ShapeValue(shape[start : None if end is None else int(end)])]


@rules("Size")
def _size(call: Call) -> list[ShapeValue]:
    return [ShapeValue((total(call.shape()),), 0)]


@rules("Identity")
def _identity(call: Call) -> list[ShapeValue]:
    return [call.value()]


@rules("Reshape", "Squeeze", "Unsqueeze", "Flatten")
def _ranks(call: Call) -> list[ShapeValue]:
    """Of rank 0 and 1, only tensors of one element can change rank."""
    value = call.value()
    if call.op_type == "Reshape":
        target = call.attributes.get("shape")
        if target is not None:
            rank = len(target)
        else:
            (length,) = call.shape(1)
            if not isinstance(length, int):
                raise Unknown
            rank = length
    elif call.op_type == "Flatten":
        raise Unknown
    else:
        axes = call.axes(value.rank + 1)
        if call.op_type == "Unsqueeze":
            rank = value.rank + len(axes or ())
        elif axes is None:
            rank = value.rank if len(value.elements) > 1 else 0
        else:
            rank = value.rank - len(axes)
    if rank not in (0, 1) or (rank == 0 and len(value.elements) != 1):
        raise Unknown
    return [ShapeValue(value.elements, rank)]


@rules("Gather")
def _gather(call: Call) -> list[ShapeValue]:
    data, indices = call.value(0), call.value(1)
    if data.rank != 1:
        raise Unknown
    axis_of(call.integer("axis", 0), 1)
    return [ShapeValue(tuple(_element(data, index) for index in indices.elements), indices.rank)]


@rules("GatherElements")
def _gather_elements(call: Call) -> list[ShapeValue]:
    data, indices = call.value(0), call.value(1)
    return [ShapeValue(tuple(_element(data, index) for index in indices.elements))]


def _element(data: ShapeValue, index: DimLike) -> DimLike:
    if not isinstance(index, int):
        return None
    length = len(data.elements)
    return data.elements[axis_of(index, length)]


@rules("Concat")
def _concat(call: Call) -> list[ShapeValue]:
    parts: list[DimLike] = []
    for index in range(len(call.inputs)):
        known = call.input(index)
        if known.value is not None:
            parts += known.value.elements
        else:
            shape = call.shape(index)
            length = shape[0] if len(shape) == 1 else None
            if not isinstance(length, int) or length > MAX_ELEMENTS:
                raise Unknown
            parts += [None] * length
    return [ShapeValue(tuple(parts))]


@rules("Slice")
def _slice(call: Call) -> list[ShapeValue]:
    value = call.value()
    if call.opset < 10:
        starts, ends = call.integers("starts"), call.integers("ends")
        steps = [1]
    else:
        starts, ends = call.numbers(1), call.numbers(2)
        steps = call.numbers(4) if call.has(4) else [1]
    if not starts and not ends:
        return [value]
    if not (starts and ends) or not len(starts) == len(ends) == len(steps) == 1 or not steps[0]:
        raise Unknown
    elements, step = value.elements, steps[0]
    if step < 0 and end_is_open(ends[0]):
        raise Unknown
    length = len(elements)
    # Going backwards, a start before the first element is that element: not so in Python.
    low, high = (0, length) if step > 0 else (-1, length - 1)
    start, end = (
        min(max(position + length if position < 0 else position, lowest), high)
        for position, lowest in ((starts[0], 0), (ends[0], low))
    )
    return [ShapeValue(tuple(elements[index] for index in range(start, end, step)))]


@rules("Split")
def _split(call: Call) -> list[ShapeValue]:
    value = call.value()
    length, count = len(value.elements), call.outputs
    sizes = call.integers("split")
    if sizes is None and call.has(1):
        sizes = call.numbers(1)
    if sizes is None:
        chunk = -(-length // count)
        if length % count if call.opset < 18 else chunk * (count - 1) >= length:
            raise Unknown
        sizes = [chunk] * (count - 1) + [length - chunk * (count - 1)]
    if sum(sizes) != length or min(sizes) < 0:
        raise Unknown
    bounds = pairwise(accumulate(sizes, initial=0))
    return [ShapeValue(value.elements[start:end]) for start, end in bounds]


@rules("Expand", "Tile")
def _repeat(call: Call) -> list[ShapeValue]:
    value = call.value()
    repeats = call.numbers(1)
    if call.op_type == "Tile" and call.opset > 1:
        if len(repeats) != value.rank or sum(repeats) > MAX_ELEMENTS:
            raise Unknown
        return [ShapeValue(value.elements * (repeats[0] if repeats else 1), value.rank)]
    if call.op_type == "Tile" or len(repeats) > 1:
        raise Unknown
    if not repeats or repeats == [1]:
        return [ShapeValue(value.elements, max(value.rank, len(repeats)))]
    if len(value.elements) == 1:
        return [ShapeValue(_filled(value.elements[0], repeats[0]))]
    return [value]


@rules("ConstantOfShape")
def _constant_of_shape(call: Call) -> list[ShapeValue]:
    shape = call.numbers(0)
    if len(shape) > 1:
        raise Unknown
    given = call.attributes.get("value")
    if isinstance(given, TensorProto):
        given = numpy_helper.to_array(given)
    number = 0.0 if given is None else np.asarray(given).reshape(-1)[0].item()
    if not isinstance(number, int | float) or not math.isfinite(number) or number != int(number):
        raise Unknown
    if isinstance(number, float) and math.copysign(1, number) < 0 and number == 0:
        raise Unknown
    return [ShapeValue(_filled(int(number), shape[0] if shape else 1), len(shape))]


def _filled(element: DimLike, count: int) -> tuple[DimLike, ...]:
    if not 0 <= count <= MAX_ELEMENTS:
        raise Unknown
    return (element,) * count


@rules("ScatterElements", "Scatter", "ScatterND")
def _scatter(call: Call) -> list[ShapeValue]:
    data, updates = call.value(0), call.value(2)
    if call.text("reduction", "none") != "none":
        raise Unknown
    if call.op_type == "ScatterND" and updates.rank != 0:
        raise Unknown  # several indices are of rank 2, whose contents are not followed
    elements = list(data.elements)
    written: dict[int, None] = {}
    for index, update in zip(call.numbers(1), updates.elements, strict=True):
        position = axis_of(index, len(elements))
        # Of several writes to one place any may be the last.
        elements[position] = None if position in written else update
        written[position] = None
    return [ShapeValue(tuple(elements))]
