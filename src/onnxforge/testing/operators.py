"""The operators random models are made of: for each, how to add a node of it to a `Sketch`.

A rule draws what the node reads and its attributes, and says the element types and shapes of what
it computes; it returns None where the sketch has nothing the operator could read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st
from onnx import TensorProto, helper

if TYPE_CHECKING:
    from onnxforge.testing.sketch import Sketch, Tensor

Rule = Callable[["Sketch"], "Tensor | None"]
RULES: dict[str, Rule] = {}

FLOAT, FLOAT16 = TensorProto.FLOAT, TensorProto.FLOAT16
INT64, INT32, BOOL = TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL
FLOATS = (FLOAT, FLOAT16)
NUMBERS = (FLOAT, FLOAT16, INT32, INT64)

UNARY = [
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "Ceil",
    "Cos",
    "Cosh",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "Log",
    "Mish",
    "Neg",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
    "Celu",
]
BINARY = ("Add", "Div", "Max", "Mean", "Min", "Mul", "PRelu", "Pow", "Sub", "Sum")
COMPARISONS = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
LOGIC = ("And", "Or", "Xor")
BITS = ("BitwiseAnd", "BitwiseOr", "BitwiseXor", "Mod")
REDUCTIONS = [
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
]


def rule(*op_types: str) -> Callable[[Callable[[Sketch, str], Tensor | None]], None]:
    """Register a function of the sketch and the operator's name."""

    def add(function: Callable[[Sketch, str], Tensor | None]) -> None:
        for op_type in op_types:
            RULES[op_type] = lambda sketch, op_type=op_type: function(sketch, op_type)  # type: ignore[misc]  # binds the loop's variable

    return add


# --- element by element


@rule(*UNARY)
def _unary(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick(FLOATS if op_type != "Celu" else (FLOAT,))
    return x and sketch.add(op_type, [x], x.dtype, x.shape)


@rule(*BINARY)
def _binary(sketch: Sketch, op_type: str) -> Tensor | None:
    a = sketch.pick(FLOATS if op_type in ("Mean", "PRelu", "Pow", "Sum") else NUMBERS)
    if a is None:
        return None
    if op_type == "Div" and a.dtype not in FLOATS:
        b = sketch.constant(a.dtype, (), low=1, high=3)
        return sketch.add(op_type, [a, b], a.dtype, a.shape)
    b = sketch.partner(a, one_way=op_type == "PRelu")
    return sketch.add(op_type, [a, b], a.dtype, broadcast(a.shape, b.shape))


@rule(*COMPARISONS)
def _compare(sketch: Sketch, op_type: str) -> Tensor | None:
    a = sketch.pick(NUMBERS)
    if a is None:
        return None
    b = sketch.partner(a)
    return sketch.add(op_type, [a, b], BOOL, broadcast(a.shape, b.shape))


@rule(*LOGIC)
def _logic(sketch: Sketch, op_type: str) -> Tensor | None:
    a = sketch.pick((BOOL,))
    if a is None:
        return None
    b = sketch.partner(a)
    return sketch.add(op_type, [a, b], BOOL, broadcast(a.shape, b.shape))


@rule(*BITS)
def _bits(sketch: Sketch, op_type: str) -> Tensor | None:
    a = sketch.pick((INT32, INT64))
    if a is None:
        return None
    b = sketch.constant(a.dtype, (), low=1, high=7)
    return sketch.add(op_type, [a, b], a.dtype, a.shape)


@rule("Not")
def _not(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick((BOOL,))
    return x and sketch.add(op_type, [x], BOOL, x.shape)


@rule("IsNaN", "IsInf")
def _is(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick((FLOAT,))
    return x and sketch.add(op_type, [x], BOOL, x.shape)


@rule("Where")
def _where(sketch: Sketch, op_type: str) -> Tensor | None:
    condition, a = sketch.pick((BOOL,)), sketch.pick(NUMBERS)
    if condition is None or a is None:
        return None
    b = sketch.partner(a)
    shape = broadcast(a.shape, b.shape)
    if not fits(condition.shape, shape):
        return None
    shape = broadcast(shape, condition.shape)
    return sketch.add(op_type, [condition, a, b], a.dtype, shape)


@rule("Clip")
def _clip(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick(FLOATS)
    if x is None:
        return None
    low, high = sketch.draw(st.sampled_from([(0, 6), (-1, 1), (0, None), (None, 1), (2, 1)]))
    bounds = [None if b is None else sketch.scalar(x.dtype, b) for b in (low, high)]
    return sketch.add(op_type, [x, *bounds], x.dtype, x.shape)


@rule("Cast")
def _cast(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick((*NUMBERS, BOOL))
    if x is None:
        return None
    # A float beyond the integers' range has no defined integer value.
    targets = FLOATS if x.dtype in FLOATS else (*NUMBERS, BOOL)
    to = sketch.draw(st.sampled_from(targets))
    return sketch.add(op_type, [x], to, x.shape, to=to)


@rule("CastLike")
def _cast_like(sketch: Sketch, op_type: str) -> Tensor | None:
    x, like = sketch.pick((INT32, INT64, BOOL)), sketch.pick(FLOATS)
    if x is None or like is None:
        return None
    return sketch.add(op_type, [x, like], like.dtype, x.shape)


@rule("Dropout")
def _dropout(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick(FLOATS)
    return x and sketch.add(op_type, [x], x.dtype, x.shape)


# --- along axes


@rule("Softmax", "LogSoftmax", "Hardmax")
def _softmax(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick((FLOAT,), ranks=range(1, 5))
    return x and sketch.add(op_type, [x], x.dtype, x.shape, axis=sketch.axis(x))


@rule("CumSum")
def _cumsum(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick((FLOAT, INT64), ranks=range(1, 5))
    if x is None:
        return None
    axis = sketch.scalar(INT64, sketch.axis(x))
    return sketch.add(op_type, [x, axis], x.dtype, x.shape, reverse=sketch.draw(st.integers(0, 1)))


@rule(*REDUCTIONS)
def _reduce(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick((FLOAT,), ranks=range(1, 5), empty=False)
    if x is None:
        return None
    some = st.lists(st.integers(-x.rank, x.rank - 1), max_size=2, unique_by=lambda a: a % x.rank)
    last = [[-1], list(range(min(x.rank - 1, 2), x.rank)), list(range(1, x.rank)) or [0]]
    axes = sketch.draw(some | st.sampled_from(last))
    keep = sketch.draw(st.integers(0, 1))
    gone = {axis % x.rank for axis in axes} or set(range(x.rank))
    shape = [1 if i in gone else d for i, d in enumerate(x.shape) if keep or i not in gone]
    inputs: list[Tensor | None] = [x]
    attributes: dict[str, Any] = {"keepdims": keep}
    if op_type == "ReduceSum" or sketch.opset >= 18:
        inputs += [sketch.ints(axes)] if axes else []
    elif axes:
        attributes["axes"] = axes
    return sketch.add(op_type, inputs, x.dtype, shape, **attributes)


@rule("ArgMax", "ArgMin")
def _arg(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick((FLOAT,), ranks=range(1, 5), empty=False)
    if x is None:
        return None
    axis = sketch.axis(x)
    shape = [1 if i == axis % x.rank else d for i, d in enumerate(x.shape)]
    return sketch.add(op_type, [x], INT64, shape, axis=axis)


@rule("LayerNormalization", "RMSNormalization")
def _layer_norm(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick((FLOAT,), ranks=range(1, 5), static=(-1,))
    if x is None or x.shape[-1] == 0:
        return None
    scale = sketch.constant(FLOAT, x.shape[-1:])
    return sketch.add(op_type, [x, scale], x.dtype, x.shape)


@rule("TopK")
def _topk(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick((FLOAT,), ranks=range(1, 4), static=(-1,))
    if x is None or x.shape[-1] == 0:
        return None
    k = sketch.draw(st.integers(1, x.shape[-1]))
    shape = (*x.shape[:-1], k)
    return sketch.add(op_type, [x, sketch.ints([k])], x.dtype, shape, extra=[(INT64, shape)])


# --- shapes and places


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


# --- linear algebra and images


@rule("MatMul")
def _matmul(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick((FLOAT,), ranks=range(2, 5), static=(-1,))
    if x is None:
        return None
    product = None
    for _ in range(sketch.draw(st.sampled_from([1, 1, 3]))):  # as queries, keys and values are
        columns = sketch.draw(st.integers(1, 4))
        weights = sketch.constant(FLOAT, (x.shape[-1], columns))
        product = sketch.add(op_type, [x, weights], FLOAT, (*x.shape[:-1], columns))
    return product


@rule("Attention")
def _attention(sketch: Sketch, op_type: str) -> Tensor | None:
    q = sketch.pick((FLOAT,), ranks=(4,), static=(1, 2, 3), empty=False)
    if q is None:
        return None
    k = sketch.pick((FLOAT,), like=lambda t: t.shape == q.shape)
    v = sketch.pick((FLOAT,), like=lambda t: t.shape == q.shape)
    return sketch.add(op_type, [q, k, v], FLOAT, q.shape)


@rule("Einsum")
def _einsum(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick((FLOAT,), ranks=(2,), static=(-1,))
    if x is None:
        return None
    rows, columns = x.shape
    other = sketch.draw(st.sampled_from([None, (columns, 3), (3, columns), (columns,)]))
    if other is None:
        kept = sketch.draw(st.sampled_from(["ij", "ji", "i", "j", ""]))
        shape = tuple({"i": rows, "j": columns}[letter] for letter in kept)
        return sketch.add(op_type, [x], FLOAT, shape, equation=f"ij->{kept}")
    term = {(columns, 3): "jk", (3, columns): "kj"}.get(other, "j")
    result = "ik" if "k" in term else sketch.draw(st.sampled_from(["i", "ij"]))
    shape = tuple({"i": rows, "j": columns, "k": 3}[letter] for letter in result)
    equation = f"ij,{term}->{result}"
    return sketch.add(op_type, [x, sketch.constant(FLOAT, other)], FLOAT, shape, equation=equation)


@rule("Gemm")
def _gemm(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick((FLOAT,), ranks=(2,), static=(-1,))
    if x is None:
        return None
    columns, flip = sketch.draw(st.integers(1, 4)), sketch.draw(st.integers(0, 1))
    weights = sketch.constant(FLOAT, (columns, x.shape[1]) if flip else (x.shape[1], columns))
    bias = sketch.draw(st.sampled_from([None, (columns,), (1, columns), ()]))
    inputs = [x, weights, *([] if bias is None else [sketch.constant(FLOAT, bias)])]
    scale = sketch.draw(st.sampled_from([1.0, 0.5]))
    return sketch.add(op_type, inputs, FLOAT, (x.shape[0], columns), transB=flip, alpha=scale)


@rule("Conv", "ConvTranspose")
def _conv(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.image()
    if x is None:
        return None
    n, c, h, w = x.shape
    group = sketch.draw(st.sampled_from([g for g in (1, 2, c) if c % g == 0]))
    out = group * sketch.draw(st.integers(1, 2))
    kernel = sketch.draw(st.sampled_from([k for k in (1, 3) if k <= min(h, w)]))
    pad = kernel // 2
    shape = (out, c // group) if op_type == "Conv" else (c, out // group)
    weights = sketch.constant(FLOAT, (*shape, kernel, kernel))
    inputs = [x, weights, *([sketch.constant(FLOAT, (out,))] if sketch.draw(st.booleans()) else [])]
    return sketch.add(
        op_type,
        inputs,
        FLOAT,
        (n, out, h, w),
        group=group,
        pads=[pad] * 4,
        kernel_shape=[kernel] * 2,
    )


@rule("MaxPool", "AveragePool")
def _pool(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.image()
    if x is None or min(x.sizes[2:]) < 2:
        return None
    n, c, h, w = x.shape
    return sketch.add(op_type, [x], FLOAT, (n, c, h - 1, w - 1), kernel_shape=[2, 2])


@rule("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.image()
    return x and sketch.add(op_type, [x], FLOAT, (*x.shape[:2], 1, 1))


@rule("BatchNormalization")
def _batch_norm(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick((FLOAT,), ranks=range(2, 5), static=(1,))
    if x is None:
        return None
    parameters = [sketch.constant(FLOAT, x.shape[1:2]) for _ in range(4)]
    return sketch.add(op_type, [x, *parameters], FLOAT, x.shape)


@rule("InstanceNormalization")
def _instance_norm(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.image()
    if x is None:
        return None
    return sketch.add(
        op_type, [x, *(sketch.constant(FLOAT, x.shape[1:2]) for _ in range(2))], FLOAT, x.shape
    )


@rule("LRN")
def _normalize(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.image()
    return x and sketch.add(op_type, [x], FLOAT, x.shape, size=3)


@rule("Resize")
def _resize(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.image()
    if x is None:
        return None
    n, c, h, w = x.shape
    scales = sketch.array(np.array([1, 1, 2, 2], np.float32))
    return sketch.add(op_type, [x, None, scales], FLOAT, (n, c, h * 2, w * 2), mode="nearest")


# --- quantization


@rule("QuantizeLinear")
def _quantize(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick((FLOAT,))
    if x is None:
        return None
    scale, zero = sketch.array(np.float32(0.25)), sketch.array(np.int8(3))
    return sketch.add(op_type, [x, scale, zero], TensorProto.INT8, x.shape)


@rule("DequantizeLinear")
def _dequantize(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick((TensorProto.INT8,))
    if x is None:
        shape = sketch.draw(st.sampled_from([(), (3,), (2, 3)]))
        x = sketch.constant(TensorProto.INT8, shape, low=-9, high=9)
    scale, zero = sketch.array(np.float32(0.5)), sketch.array(np.int8(-1))
    return sketch.add(op_type, [x, scale, zero], FLOAT, x.shape)


@rule("DynamicQuantizeLinear")
def _dynamic(sketch: Sketch, op_type: str) -> Tensor | None:
    x = sketch.pick((FLOAT,), empty=False)
    extra = [(FLOAT, ()), (TensorProto.UINT8, ())]
    return x and sketch.add(op_type, [x], TensorProto.UINT8, x.shape, extra=extra)


# --- the arithmetic of shapes

Sizes = Sequence["int | str"]


def broadcast(a: Sizes, b: Sizes) -> tuple[int | str, ...]:
    """The shape two shapes that fit broadcast to."""
    rank = max(len(a), len(b))
    pairs = zip((1,) * (rank - len(a)) + tuple(a), (1,) * (rank - len(b)) + tuple(b), strict=True)
    return tuple(y if x == 1 else x for x, y in pairs)


def fits(a: Sizes, b: Sizes) -> bool:
    """Whether two shapes broadcast."""
    return all(x == y or 1 in (x, y) for x, y in zip(reversed(a), reversed(b), strict=False))


def factorings(count: int) -> list[tuple[int, ...]]:
    """Shapes of up to three sizes that hold *count* elements."""
    pairs = [(d, count // d) for d in range(1, count + 1) if count % d == 0]
    return [(count,), *pairs, *((a, 1, b) for a, b in pairs), *([()] if count == 1 else [])]


def sliced(size: int, start: int, end: int, step: int) -> int:
    """How many of *size* elements a Slice takes.

    Unlike Python, ONNX moves a start ahead of the first element to it even if the step is negative.
    """
    start, end = (at + size if at < 0 else at for at in (start, end))
    low, high = (0, size) if step > 0 else (-1, size - 1)
    return len(range(min(max(start, 0), high), min(max(end, low), high), step))
