"""What changed between versions of ONNX's operators, and what a node has to be written as since.

ONNX's changelog is the source.  A version either widened an operator, so that a node written before
means the same as it did, or has an adapter here.  What has neither is not known, and not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import TensorProto, helper

from onnxforge.errors import OpsetError
from onnxforge.ir import Node, Value
from onnxforge.ir.operators import AttributeReference


@dataclass
class Call:
    """A node on its way up: the call that is to stand in its place.

    `inputs` are those the node `reads`, or arrays, which become constants.  `attributes` are those
    the node spells out.
    `rank`, `dtype` and `channels`, the size of axis 1, are of its first input, None if unknown.
    With `flattened`, an axis, the operator sees its first input as a matrix cut there.
    """

    node: Node
    op_type: str
    inputs: list[Any]
    attributes: dict[str, Any]
    rank: int | None
    dtype: int | None
    channels: int | None
    target: int
    flattened: int | None = None
    reads: tuple[Value | None, ...] = ()

    @classmethod
    def of(cls, node: Node, target: int) -> Call:
        """What a node calls now; *target* is the opset it is to be of in the end."""
        first = node.input(0)
        shape = first.shape if first is not None else None
        channels = shape[1] if shape is not None and len(shape) > 1 else None
        return cls(
            node,
            node.op_type,
            list(node.inputs),
            {each.name: each for each in node.proto.attribute},
            None if shape is None else len(shape),
            first.dtype if first is not None else None,
            channels if isinstance(channels, int) else None,
            target,
            reads=node.inputs,
        )

    @property
    def is_changed(self) -> bool:
        """Whether it is another than the node."""
        old = Call.of(self.node, self.target)
        return (
            self.op_type != old.op_type
            or self.flattened is not None
            or self.attributes != old.attributes
            or len(self.inputs) != len(old.inputs)
            or any(new is not given for new, given in zip(self.inputs, old.inputs, strict=True))
        )

    def take(self, name: str, default: Any = None) -> Any:
        """What `get` says of an attribute, which the node has no longer."""
        value = self.get(name, default)
        self.attributes.pop(name, None)
        return value

    def get(self, name: str, default: Any = None) -> Any:
        """The value of an attribute of the node; *default* if it does not spell it.

        Raises `OpsetError` if callers of a function set it, `InvalidModelError` if the node needs
        it and has it not, or of another type.
        """
        value = self.node.attribute(name)
        if isinstance(value, AttributeReference):
            raise self.error(f"the callers of a function set {value.name!r}: inline it before")
        return value if name in self.attributes else default

    def set_input(self, index: int, value: Any) -> None:
        """Let an input be *value*; those before it that are not there are left out."""
        self.inputs += [None] * (index + 1 - len(self.inputs))
        self.inputs[index] = value

    def error(self, why: str) -> OpsetError:
        """The error that this node cannot be written in a later version, and why."""
        return OpsetError(f"{self.node!r} cannot be raised to opset {self.target}: {why}")


Adapter: TypeAlias = Callable[[Call], None]

_ints = np.int64


def _moved(name: str) -> Adapter:
    """An attribute with a list of integers that has become the second input."""

    def adapt(call: Call) -> None:
        numbers = call.take(name)
        # None in a list are as good as none at all, but for Unsqueeze, which has to have it.
        if numbers or (numbers is not None and call.op_type == "Unsqueeze"):
            call.set_input(1, np.array(numbers, _ints))

    return adapt


def _scalar(call: Call, number: float) -> Any:
    """A number as a constant of the type of the first input, within its range if it is finite."""
    if call.dtype is None:
        raise call.error("the element type of its input is not known")
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(call.dtype))
    if dtype.kind == "f" and not isfinite(number):
        return np.array(number, dtype)
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return np.array(min(max(number, float(limits.min)), float(limits.max)), dtype)


def _broadcast(call: Call) -> None:
    """The second input was lined up with the first from an axis on, and is from the last one."""
    is_asked, axis = call.take("broadcast", 0), call.take("axis")
    if not is_asked or axis is None:
        return
    second = call.inputs[1]
    if call.rank is None or second.rank is None:
        raise call.error("the ranks of its inputs are not known")
    added = call.rank - second.rank - axis % call.rank
    if added and not second.is_constant:
        raise call.error(f"its second input has to be lined up with axis {axis} of the first")
    if added:
        array = second.numpy()
        call.inputs[1] = array.reshape(*array.shape, *[1] * added)


def _p_relu(call: Call) -> None:
    """Slopes were those of the channels, and are lined up from the last axis."""
    slope = call.inputs[1]
    if slope.shape == (1,) or (slope.rank is not None and slope.rank != 1):
        return
    if call.rank is None or not slope.is_constant:
        raise call.error("its slopes have to be lined up with the channels")
    call.inputs[1] = slope.numpy().reshape(-1, *[1] * (call.rank - 2))


def _batch_normalization_7(call: Call) -> None:
    if not call.take("is_test", 0) and any(output.is_used for output in call.node.outputs[1:]):
        raise call.error("it trains, which is another operator since opset 14")


def _without(*names: str) -> Adapter:
    """Attributes that no longer say anything."""

    def adapt(call: Call) -> None:
        for name in names:
            call.take(name)

    return adapt


def _clip(call: Call) -> None:
    for index, name in enumerate(("min", "max"), 1):
        number = call.take(name)
        if number is not None:
            call.set_input(index, _scalar(call, number))


def _pad(call: Call) -> None:
    call.set_input(1, np.array(call.take("pads"), _ints))
    value = call.take("value", 0.0)
    if value or str(value) == "-0.0":
        call.set_input(2, _scalar(call, value))


def _dropout_mask(call: Call) -> None:
    if len(call.node.outputs) > 1 and call.node.outputs[1].is_used:
        raise call.error("its mask, which is read, was a number and is a bool")


def _dropout(call: Call) -> None:
    ratio = call.take("ratio")
    if ratio is not None:
        call.set_input(1, np.array(ratio, np.float32))


def _batch_normalization_9(call: Call) -> None:
    if call.take("spatial", 1) != 1:
        raise call.error("spatial=0 has no successor")


def _batch_normalization_14(call: Call) -> None:
    if any(output.is_used for output in call.node.outputs[1:]):
        raise call.error("it trains, which is another operator since opset 14")


def _softmax(call: Call) -> None:
    axis = call.take("axis", 1)
    if axis in (-1, None if call.rank is None else call.rank - 1):
        call.attributes["axis"] = axis
    else:
        call.flattened = axis
        call.attributes["axis"] = 1


def _slice(call: Call) -> None:
    starts, ends, axes = (call.take(name) for name in ("starts", "ends", "axes"))
    call.inputs += [np.array(starts, _ints), np.array(ends, _ints)]
    if axes:
        call.inputs.append(np.array(axes, _ints))


def _top_k(call: Call) -> None:
    call.set_input(1, np.array([call.take("k")], _ints))


def _upsample_9(call: Call) -> None:
    call.set_input(1, np.array(call.take("scales"), np.float32))


def _upsample_10(call: Call) -> None:
    call.op_type = "Resize"


def _resize(call: Call) -> None:
    scales = call.inputs[1]
    # The region became optional two versions later.
    region = None if call.target >= 13 else np.empty(0, np.float32)
    call.inputs[1:] = [region, scales]
    call.attributes["coordinate_transformation_mode"] = "asymmetric"
    if call.get("mode", "nearest") == "nearest":
        call.attributes["nearest_mode"] = _nearest_mode(call, scales)


def _nearest_mode(call: Call, scales: Any) -> str:
    """How ONNX Runtime rounds before opset 11, which ONNX left open: down, or up if it shrinks."""
    if call.node.op_type == "Upsample":
        return "floor"
    if scales is None or not scales.is_constant:
        raise call.error("how it rounds depends on its scales, which are not constant")
    factors = scales.numpy().reshape(-1)
    if (factors < 1).any() and (factors > 1).any():
        raise call.error("it rounds up where it shrinks, and down where it grows")
    return "ceil" if (factors < 1).any() else "floor"


def _pool(call: Call) -> None:
    """Windows that start in the padding behind ONNX counted until opset 22, and runtimes never."""
    if not call.get("ceil_mode", 0):
        return
    sizes = zip(call.inputs[0].shape or (), call.node.output.shape or (), strict=False)
    if any(isinstance(before, int) and not isinstance(after, int) for before, after in sizes):
        raise call.error("sizes recorded before opset 22 may count windows that are padding alone")


def _split(call: Call) -> None:
    if call.node.input(1) is None and len(call.inputs) < 2:
        call.attributes["num_outputs"] = len(call.node.outputs)


def _scatter(call: Call) -> None:
    call.op_type = "ScatterElements"


def _roi_align(call: Call) -> None:
    call.attributes["coordinate_transformation_mode"] = "output_half_pixel"


def _grid_sample(call: Call) -> None:
    names = {"bilinear": "linear", "bicubic": "cubic"}
    mode = call.get("mode", "bilinear")
    call.attributes["mode"] = names.get(mode, mode)


def _dft(call: Call) -> None:
    call.set_input(2, np.array(call.take("axis", 1), _ints))


def _group_normalization(call: Call) -> None:
    """Scale and bias were one for each group, and are one for each channel."""
    groups = call.get("num_groups")
    if call.channels is None or call.channels % groups:
        raise call.error("the number of its channels is not known")
    for index in (1, 2):
        value = call.inputs[index]
        if not isinstance(value, Value) or not value.is_constant:
            raise call.error("its scale and bias are not constant")
        call.inputs[index] = np.repeat(value.numpy(), call.channels // groups)
    if call.dtype == TensorProto.DOUBLE:
        call.attributes["stash_type"] = TensorProto.DOUBLE  # the default would round to float32


_BROADCASTING = "Add And Div Equal Greater Less Mul Or Pow Sub Xor"
_REDUCTIONS = "ReduceMax ReduceMin ReduceMean ReduceProd ReduceL1 ReduceL2 ReduceLogSum"
_REDUCTIONS += " ReduceLogSumExp ReduceSumSquare"

ADAPTERS: Mapping[tuple[str, int], Adapter] = {
    **{(name, 7): _broadcast for name in _BROADCASTING.split()},
    ("PRelu", 7): _p_relu,
    ("Gemm", 7): _without("broadcast"),
    ("Dropout", 7): _without("is_test"),
    ("BatchNormalization", 7): _batch_normalization_7,
    ("Clip", 11): _clip,
    ("Pad", 11): _pad,
    ("Slice", 10): _slice,
    ("TopK", 10): _top_k,
    ("Squeeze", 13): _moved("axes"),
    ("Unsqueeze", 13): _moved("axes"),
    ("Split", 13): _moved("split"),
    ("Split", 18): _split,
    ("ReduceSum", 13): _moved("axes"),
    **{(name, 18): _moved("axes") for name in _REDUCTIONS.split()},
    ("Dropout", 10): _dropout_mask,
    ("Dropout", 12): _dropout,
    ("BatchNormalization", 9): _batch_normalization_9,
    ("BatchNormalization", 14): _batch_normalization_14,
    ("Softmax", 13): _softmax,
    ("LogSoftmax", 13): _softmax,
    ("Hardmax", 13): _softmax,
    ("Upsample", 9): _upsample_9,
    ("Upsample", 10): _upsample_10,
    ("Resize", 11): _resize,
    ("Scatter", 11): _scatter,
    ("RoiAlign", 16): _roi_align,
    ("GridSample", 20): _grid_sample,
    ("DFT", 20): _dft,
    **{(name, 22): _pool for name in ("AveragePool", "LpPool", "MaxPool")},
    ("GroupNormalization", 21): _group_normalization,
}
"""What to do to a call when its operator comes to a version that is not a wider one."""

# Versions that added element types, optional inputs, outputs or attributes whose default is what
# the operator did before, negative axes, or words to the documentation.
_WIDER = """
Abs 13; Acos 22; Acosh 22; Add 13 14; ArgMax 11 12 13; ArgMin 11 12 13; Asin 22; Asinh 22; Atan 22;
Atanh 22; Attention 24; AveragePool 7 10 11 19; BatchNormalization 15; Bernoulli 22;
Cast 9 13 19 21 23 24 25; CastLike 19 21 23 24 25; Ceil 13; Clip 12 13; Compress 11; Concat 11 13;
Constant 9 11 12 13 19 21 23 24 25; ConstantOfShape 20 21 23 24 25; Conv 11 22; ConvTranspose 11 22;
Cos 22; Cosh 22; CumSum 14; DeformConv 22; DepthToSpace 11 13; DequantizeLinear 13 19 21 23 24 25;
Det 22; Div 13 14; Dropout 13 22; Elu 22; Equal 11 13 19; Erf 13; Exp 13; Expand 13; EyeLike 22;
Flatten 9 11 13 21 23 24 25; Floor 13; GRU 14 22; Gather 11 13; GatherElements 13; GatherND 12 13;
Gemm 9 11 13; GlobalAveragePool 22; GlobalLpPool 22; GlobalMaxPool 22; Greater 9 13;
GreaterOrEqual 16; GridSample 22; HardSigmoid 22; HardSwish 22; Hardmax 11;
Identity 13 14 16 19 21 23 24 25; If 11 13 16 19 21 23 24 25; InstanceNormalization 22; IsInf 20;
IsNaN 13 20; LRN 13; LSTM 14 22; LeakyRelu 16; Less 9 13; LessOrEqual 16; Log 13; LogSoftmax 11;
Loop 11 13 16 19 21 23 24 25; LpNormalization 22; LpPool 11 18; MatMul 9 13; Max 8 12 13;
MaxPool 8 10 11 12; MaxRoiPool 22; MaxUnpool 11 22; Mean 8 13; MeanVarianceNormalization 13;
Min 8 12 13; Mish 22; Mod 13; Mul 13 14; Multinomial 22; Neg 13; NegativeLogLikelihoodLoss 13 22;
NonMaxSuppression 11; NonZero 13; OneHot 11; OptionalGetElement 18; OptionalHasElement 18;
PRelu 9 16; Pad 13 18 19 21 23 24 25; Pow 12 13 15; QLinearMatMul 21;
QuantizeLinear 13 19 21 23 24 25; RNN 14 22; RandomNormal 22; RandomNormalLike 22; RandomUniform 22;
RandomUniformLike 22; Reciprocal 13; ReduceL1 11 13; ReduceL2 11 13; ReduceLogSum 11 13;
ReduceLogSumExp 11 13; ReduceMax 11 12 13 20; ReduceMean 11 13; ReduceMin 11 12 13 20;
ReduceProd 11 13; ReduceSum 11; ReduceSumSquare 11 13; Relu 13 14; Reshape 13 14 19 21 23 24 25;
Resize 13 18 19; RoiAlign 22; Round 22; Scan 11 16 19 21 23 24 25; ScatterElements 13 16 18;
ScatterND 13 16 18; Selu 22; Shape 13 15 19 21 23 24 25; Sigmoid 13; Sign 13; Sin 22; Sinh 22;
Size 13 19 21 23 24 25; Slice 11 13; Softmax 11; SoftmaxCrossEntropyLoss 13; Softplus 22;
Softsign 22; SpaceToDepth 13; Split 11; SplitToSequence 24; Sqrt 13; Squeeze 11 21 23 24 25;
Sub 13 14; Sum 8 13; Tan 22; Tanh 13; ThresholdedRelu 22; Tile 13; TopK 11 24;
Transpose 13 21 23 24 25; Unsqueeze 11 21 23 24 25; Where 16
"""


@lru_cache(None)
def wider() -> Mapping[str, frozenset[int]]:
    """The versions of each operator in which a node of the one before means the same."""
    entries = (entry.split() for entry in _WIDER.split(";"))
    return {name: frozenset(map(int, versions)) for name, *versions in entries}


@lru_cache(None)
def history() -> Mapping[str, tuple[int, ...]]:
    """The versions that each operator of ONNX's own domain has had, oldest first."""
    found: dict[str, list[int]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "":
            found.setdefault(schema.name, []).append(schema.since_version)
    return {name: tuple(sorted(versions)) for name, versions in found.items()}
