"""Rules for operators that make shapes, and move elements."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st
from onnx import helper

from onnxforge.testing.operators.rules import FLOAT, FLOATS, INT64, NUMBERS, rule
from onnxforge.testing.operators.sizes import broadcast, factorings, sliced

if TYPE_CHECKING:
    from onnxforge.testing.sketch import Sketch, Tensor


@rule("Shape")
def _shape(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick(None)
    return x and sketch.add(op_type, [x], INT64, (x.rank,))


@rule("Size")
def _size(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick(None)
    return x and sketch.add(op_type, [x], INT64, ())


@rule("Transpose")
def _transpose(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick(None, ranks=range(1, 5))
    if x is None:
        return None
    order = sketch.draw(st.permutations(range(x.rank)))
    return sketch.add(op_type, [x], x.dtype, [x.shape[i] for i in order], perm=order)


@rule("Reshape")
def _reshape(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick(None, empty=False)
    if x is None:
        return None
    if x.is_static:
        sizes = sketch.draw(st.sampled_from(factorings(math.prod(x.sizes))))
        target = list(sizes)
        if target and sketch.draw(st.booleans()):
            target[sketch.draw(st.integers(0, len(target) - 1))] = -1
        return sketch.add(op_type, [x, sketch.ints(target)], x.dtype, sizes)
    if x.shape[0] != "N" or not all(isinstance(d, int) for d in x.shape[1:]):
        return None
    rest = math.prod(x.sizes[1:])
    return sketch.add(op_type, [x, sketch.ints([0, -1])], x.dtype, ("N", rest))


@rule("Flatten")
def _flatten(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick(FLOATS, ranks=range(1, 5), static=range(1, 4))
    if x is None:
        return None
    return sketch.add(op_type, [x], x.dtype, (x.shape[0], math.prod(x.sizes[1:])), axis=1)


@rule("Unsqueeze")
def _unsqueeze(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick(None, ranks=range(4))
    if x is None:
        return None
    axis = sketch.draw(st.integers(-x.rank - 1, x.rank))
    place = axis % (x.rank + 1)
    shape = (*x.shape[:place], 1, *x.shape[place:])
    return sketch.add(op_type, [x, sketch.ints([axis])], x.dtype, shape)


@rule("Squeeze")
def _squeeze(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick(None, ranks=range(1, 5))
    if x is None or 1 not in x.shape:
        return None
    place = x.shape.index(1)
    axis = place - x.rank if sketch.draw(st.booleans()) else place
    shape = (*x.shape[:place], *x.shape[place + 1 :])
    return sketch.add(op_type, [x, sketch.ints([axis])], x.dtype, shape)


@rule("Expand")
def _expand(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick(NUMBERS, ranks=range(4))
    if x is None:
        return None
    target = [d if d != 1 and isinstance(d, int) else 1 for d in x.shape]
    if 1 in x.shape:
        target[x.shape.index(1)] = sketch.draw(st.integers(1, 3))
    shape = broadcast(x.shape, target)
    return sketch.add(op_type, [x, sketch.ints(target)], x.dtype, shape)


@rule("Tile")
def _tile(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick(NUMBERS, ranks=range(1, 4), static=(-1,))
    if x is None:
        return None
    count = sketch.draw(st.integers(1, 2))
    repeats = [1] * (x.rank - 1) + [count]
    shape = (*x.shape[:-1], x.shape[-1] * count)
    return sketch.add(op_type, [x, sketch.ints(repeats)], x.dtype, shape)


@rule("Concat")
def _concat(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick(NUMBERS, ranks=range(1, 5), static=(-1,))
    if x is None:
        return None
    y = sketch.pick((x.dtype,), like=lambda t: t.shape[:-1] == x.shape[:-1] and t.rank == x.rank)
    if y is None or not isinstance(y.shape[-1], int):
        y = x
    shape = (*x.shape[:-1], x.shape[-1] + y.shape[-1])
    return sketch.add(
        op_type, [x, y], x.dtype, shape, axis=sketch.draw(st.sampled_from([-1, x.rank - 1]))
    )


@rule("Split")
def _split(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick(NUMBERS, ranks=range(1, 5), static=(-1,))
    if x is None or x.shape[-1] < 2:
        return None
    size = x.shape[-1]
    count = sketch.draw(st.integers(2, min(3, size)))
    sizes = [size // count] * count
    if size % count or sketch.draw(st.booleans()):
        first = sketch.draw(st.integers(1, size - count + 1))
        sizes = [first, *[1] * (count - 2), size - first - count + 2]
    shapes = [(x.dtype, (*x.shape[:-1], size)) for size in sizes]
    inputs = [x, sketch.ints(sizes)]
    return sketch.add(op_type, inputs, *shapes[0], extra=shapes[1:], axis=-1)


@rule("Slice")
def _slice(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick(None, ranks=range(1, 5), static=(-1,))
    if x is None:
        return None
    if x.shape[-1] > 1 and sketch.draw(st.sampled_from([False, False, True])):
        return _cut_in_two(sketch, x)
    start, end = sketch.draw(st.integers(-3, 3)), sketch.draw(st.integers(-3, 9))
    step = sketch.draw(st.sampled_from([1, 1, 2, -1]))
    size = sliced(x.shape[-1], start, end, step)
    inputs = [x, *(sketch.ints([n]) for n in (start, end, -1, step))]
    return sketch.add(op_type, inputs, x.dtype, (*x.shape[:-1], size))


def _cut_in_two(sketch: Sketch, x: Tensor) -> Tensor | None:
    size, place = x.shape[-1], sketch.draw(st.integers(1, x.shape[-1] - 1))
    piece = None
    for start, end in ((0, place), (place, size)):
        inputs = [x, *(sketch.ints([n]) for n in (start, end, -1))]
        piece = sketch.add("Slice", inputs, x.dtype, (*x.shape[:-1], end - start))
    return piece


@rule("Gather")
def _gather(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick(None, ranks=range(1, 5), static=(-1,))
    if x is None or x.shape[-1] == 0:
        return None
    shape = sketch.draw(st.sampled_from([(), (1,), (2,)]))
    index = sketch.constant(INT64, shape, low=-x.shape[-1], high=x.shape[-1] - 1)
    return sketch.add(op_type, [x, index], x.dtype, (*x.shape[:-1], *shape), axis=-1)


@rule("GatherND")
def _gather_nd(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick((FLOAT, INT64), ranks=range(1, 4), static=(0,), empty=False)
    if x is None:
        return None
    indices = sketch.draw(st.sampled_from([[[0]], [[0], [-1]], [[[0]]], [[n] for n in range(4)]]))
    rows = np.array(indices, np.int64) % x.shape[0]
    inputs = [x, sketch.array(rows)]
    return sketch.add(op_type, inputs, x.dtype, (*rows.shape[:-1], *x.shape[1:]))


@rule("SequenceAt", "ConcatFromSequence", "SequenceLength")
def _sequence(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick((FLOAT,), ranks=range(1, 4), static=(0,), empty=False)
    if x is None:
        return None
    # A sequence is no tensor that other nodes could read.
    sequence = sketch.name("s")
    size = sketch.draw(st.integers(1, x.shape[0]))
    inputs = [x.name, sketch.scalar(INT64, size).name]
    node = helper.make_node("SplitToSequence", inputs, [sequence], axis=0)
    sketch.graph.node.append(node)
    read = replace(x, name=sequence)
    if op_type == "SequenceLength":
        return sketch.add(op_type, [read], INT64, ())
    if op_type == "ConcatFromSequence":
        return sketch.add(op_type, [read], FLOAT, x.shape, axis=0)
    first = sketch.scalar(INT64, 0)
    return sketch.add(op_type, [read, first], FLOAT, (size, *x.shape[1:]))


@rule("Pad")
def _pad(sketch: Sketch, op_type: str) -> Tensor | None:
    padded = sketch.draw(st.integers(1, 2))
    x = sketch.pick((FLOAT,), ranks=range(padded, 5), static=range(-padded, 0))
    if x is None or min(x.shape[-padded:]) < 2:
        return None
    mode = sketch.draw(st.sampled_from(["constant", "edge"]))
    least = -1 if mode == "constant" else 0
    ends = [sketch.draw(st.integers(least, 2)) for _ in range(2 * padded)]
    others = [0] * (x.rank - padded)
    pads = [*others, *ends[:padded], *others, *ends[padded:]]
    value = [sketch.scalar(FLOAT, sketch.draw(st.sampled_from([0, 1, -2])))]
    inputs = [x, sketch.ints(pads), *(value if mode == "constant" else [])]
    shape = [
        size + a + b for size, a, b in zip(x.shape[-padded:], ends, ends[padded:], strict=False)
    ]
    return sketch.add(op_type, inputs, x.dtype, (*x.shape[:-padded], *shape), mode=mode)


@rule("ConstantOfShape")
def _constant_of_shape(sketch: Sketch, op_type: str) -> Tensor | None:
    sizes = sketch.draw(st.lists(st.integers(1, 3), max_size=2))
    return sketch.add(op_type, [sketch.ints(sizes)], FLOAT, sizes)


@rule("Range")
def _range(sketch: Sketch, op_type: str) -> Tensor | None:
    stop = sketch.draw(st.integers(1, 5))
    inputs = [sketch.scalar(INT64, n) for n in (0, stop, 1)]
    return sketch.add(op_type, inputs, INT64, (stop,))


@rule("Trilu")
def _trilu(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick((FLOAT, INT64), ranks=range(2, 5))
    return x and sketch.add(op_type, [x], x.dtype, x.shape, upper=sketch.draw(st.integers(0, 1)))


@rule("OneHot")
def _one_hot(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick((INT64,), ranks=range(1, 3))
    if x is None:
        return None
    values = sketch.constant(FLOAT, (2,))
    return sketch.add(op_type, [x, sketch.scalar(INT64, 3), values], FLOAT, (*x.shape, 3))


@rule("DepthToSpace", "SpaceToDepth")
def _blocks(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.image()
    if x is None:
        return None
    n, c, h, w = x.shape
    if op_type == "DepthToSpace" and c % 4 == 0:
        return sketch.add(op_type, [x], FLOAT, (n, c // 4, h * 2, w * 2), blocksize=2)
    if op_type == "SpaceToDepth" and h % 2 == w % 2 == 0:
        return sketch.add(op_type, [x], FLOAT, (n, c * 4, h // 2, w // 2), blocksize=2)
    return None
