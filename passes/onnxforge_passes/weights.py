"""New weights out of old ones: computed in float64, rounded once, and never more than before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from onnxforge import Decline, Match, Node, Value

Array = npt.NDArray[Any]
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)

# Elements that are worked on at a time: as float64 they stay in the processor's cache.
_BLOCK = 1 << 16


def rounded(exact: Array, dtype: np.dtype[Any]) -> Array:
    """The nearest weights of *dtype*.

    Raises `Decline` if they are infinite, no numbers, or vanish.
    """
    weights = np.empty(exact.shape, dtype)
    flat, new = exact.reshape(-1), weights.reshape(-1)
    starts = range(0, flat.size, _BLOCK)
    _round((flat[start : start + _BLOCK], new[start : start + _BLOCK]) for start in starts)
    return weights


def scaled(W: Array, factor: Array) -> Array:
    """The weights times a *factor* that broadcasts to them, computed and rounded as above."""
    weights = np.empty(W.shape, W.dtype)
    rows = max(1, _BLOCK * len(W) // max(1, W.size))
    varies = factor.ndim == W.ndim and len(factor) > 1

    def products() -> Iterator[tuple[Array, Array]]:
        for start in range(0, len(W) if W.size else 0, rows):
            exact = W[start : start + rows].astype(np.float64)
            exact *= factor[start : start + rows] if varies else factor
            yield exact, weights[start : start + rows]

    _round(products())
    return weights


def _round(parts: Iterable[tuple[Array, Array]]) -> None:
    """Put arrays into others of some dtype, and raise `Decline` as `rounded` does."""
    error = largest = np.float64(0)
    dtype = None
    with np.errstate(all="ignore"):
        for exact, weights in parts:
            weights[...] = exact
            dtype = weights.dtype
            here = max(exact.max(), -exact.min())
            largest = np.maximum(largest, here)
            # Among numbers such as these rounding keeps at least two digits: nothing to look at.
            low, high = (2**-14, 2**15) if dtype == np.float16 else (2**-100, 2**127)
            if not low < here < high:
                error = np.maximum(error, np.abs(weights - exact).max())
    # The coarsest type, bfloat16, rounds by half of this; NaN compares as False.
    if not error <= 2**-8 * largest:
        raise Decline(f"the fused weights are out of the range of {dtype}")


# Adding such a number to what is much smaller rounds it, to 1/256 or an eighth and coarser.
_ROUNDING = {2: 2.0**7, 4: 2.0**15, 8: 2.0**34}


def rounding(shift: Array, dtype: np.dtype[Any]) -> npt.NDArray[np.bool_]:
    """Where adding *shift*, in *dtype*, may be meant to round.

    So it is where 1.5 * 2**23 is added and taken away again, and merged with anything else it
    would not be.
    """
    with np.errstate(invalid="ignore"):
        large: npt.NDArray[np.bool_] = np.abs(shift) >= _ROUNDING.get(dtype.itemsize, np.inf)
    return large


def require_no_rounding(shift: Array, dtype: np.dtype[Any]) -> None:
    """Raise `Decline` if adding *shift*, in *dtype*, may be meant to round."""
    if rounding(shift, dtype).any():
        raise Decline("a number that large may be added to round")


def channels(conv: Node, W: Array) -> int:
    """The number of channels that a Conv or ConvTranspose of these weights makes."""
    if W.ndim < 3:
        raise Decline("the weights are not those of a convolution")
    if conv.op_type == "ConvTranspose":
        return int(W.shape[1] * conv.attribute("group"))
    return len(W)


def along_outputs(k: Array, conv: Node, W: Array) -> Array:
    """One factor for each channel that comes out, shaped to scale the weights that make it."""
    if conv.op_type == "ConvTranspose":  # W is [inputs, outputs / groups, kernel]
        groups = conv.attribute("group")
        k = k.reshape(groups, -1).repeat(len(W) // groups, axis=0)
    return k.reshape(*k.shape, *[1] * (W.ndim - k.ndim))


def along_inputs(k: Array, conv: Node, W: Array) -> Array:
    """One factor for each channel that goes in, shaped to scale the weights that read it."""
    if conv.op_type == "Conv":  # W is [outputs, inputs / groups, kernel]
        groups = conv.attribute("group")
        k = k.reshape(groups, -1).repeat(len(W) // groups, axis=0)
    return k.reshape(*k.shape, *[1] * (W.ndim - k.ndim))


def along_axis(constant: Value, rank: int, axis: int, size: int) -> Array:
    """A constant that broadcasts to *rank* dimensions, as *size* numbers along one of them.

    Raises `Decline` if it varies along another, or makes the result larger.
    """
    array = constant.numpy(np.float64)
    shape = (1,) * (rank - array.ndim) + array.shape
    axis %= rank
    others = shape[:axis] + shape[axis + 1 :]
    if len(shape) != rank or any(each != 1 for each in others) or shape[axis] not in (1, size):
        raise Decline("the constant is not one number for each channel")
    return np.broadcast_to(array.reshape(-1), (size,))


def scale_and_shift(node: Node, x: Value, rank: int, axis: int, size: int) -> tuple[Array, Array]:
    """The float64 numbers a and b, one for each channel, such that *node* computes a * x + b.

    The node is a Neg, an Add, Sub, Mul or Div of *x* and a constant, or a BatchNormalization with
    constant parameters.  Raises `Decline` if it computes anything else, or if it cannot be told.
    """
    if node.op_type == "BatchNormalization":
        return _of_batch_norm(node, size)
    one, zero = np.ones(size), np.zeros(size)
    if node.op_type == "Neg":
        return -one, zero
    require_broadcasting(node)
    first, second = node.inputs
    assert first is not None
    assert second is not None
    constant = second if first is x else first
    k = along_axis(constant, rank, axis, size)
    if node.op_type in ("Add", "Sub"):
        require_no_rounding(k, constant.numpy().dtype)
    with np.errstate(all="ignore"):  # `rounded` looks at what comes of it
        match node.op_type:
            case "Add":
                return one, k
            case "Sub":
                return (one, -k) if first is x else (-one, k)
            case "Mul":
                return k, zero
            case "Div" if first is x:
                return 1 / k, zero
    raise Decline(f"{node.op_type} is not linear in this operand")


def _of_batch_norm(norm: Node, size: int) -> tuple[Array, Array]:
    # Before opset 7 training was the default; until 14, asking for statistics turned it on.
    asks = any(output.name for output in norm.outputs[1:])
    if norm.version < 7 or asks or norm.attribute("training_mode"):
        raise Decline("the BatchNormalization is in training mode")
    if norm.attribute("spatial") == 0:
        raise Decline("the BatchNormalization has statistics for every element (spatial=0)")
    parameters = [v for v in norm.inputs[1:] if v is not None and v.is_constant]
    if len(parameters) != 4:
        raise Decline("the BatchNormalization has parameters that are not constant")
    scale, bias, mean, var = (v.numpy(np.float64) for v in parameters)
    if {a.shape for a in (scale, bias, mean, var)} != {(size,)}:
        raise Decline("the BatchNormalization has not one parameter for each channel")
    with np.errstate(all="ignore"):
        k = scale / np.sqrt(var + norm.attribute("epsilon"))
        return k, bias - k * mean


def require_broadcasting(*nodes: Node) -> None:
    """Raise `Decline` if one of the nodes broadcasts by the rules before opset 7."""
    if any(node.version < 7 for node in nodes):
        raise Decline("before opset 7 operators broadcast by other rules")


def require_own(match: Match, *weights: Value | None) -> None:
    """Raise `Decline` if weights are read outside the match: new ones would come on top of them."""
    inside = dict.fromkeys(match.nodes)
    for each in weights:
        if each is not None and not each.consumers.keys() <= inside.keys():
            raise Decline(f"{each.name!r} is read elsewhere, too: the model would grow")
