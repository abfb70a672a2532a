"""Rules for operators that work along axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from onnxforge.testing.operators.rules import FLOAT, INT64, REDUCTIONS, rule

if TYPE_CHECKING:
    from onnxforge.testing.sketch import Sketch, Tensor


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
