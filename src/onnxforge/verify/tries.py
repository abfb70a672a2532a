"""What an edit is tried on, once a sample of its region was accepted: moods and sizes.

Each looks for a class of mistakes.  Where operators cannot show it, or might not bear it, it is left
out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from onnx import helper

from onnxforge.ir import Node, Value
from onnxforge.ir.operators import REARRANGING

from .compare import is_float
from .sample import Mood

if TYPE_CHECKING:
    Sizes: TypeAlias = Mapping[str, int]

# Operators that ONNX defines for NaN and infinities, and runtimes treat alike.
_DEFINED_FOR_ALL = (
    REARRANGING
    | {"Abs", "Add", "And", "Cast", "Concat", "Constant", "ConstantOfShape", "Div", "Equal", "Exp"}
    | {"Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual", "Log", "Mul", "Neg"}
    | {"Not", "Or", "Pad", "Range", "Reciprocal", "Shape", "Size", "Sqrt", "Sub", "Where", "Xor"}
)
# Operators that large numbers make neither imprecise nor long to run.
_CALM = (
    _DEFINED_FOR_ALL - {"ConstantOfShape", "Exp", "Expand", "Pad", "Range", "Tile"}
    | {"ArgMax", "ArgMin", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Ceil", "Clip"}
    | {"DequantizeLinear", "Floor", "LeakyRelu", "Max", "MaxPool", "Min", "Mod", "PRelu"}
    | {"QuantizeLinear", "ReduceMax", "ReduceMin", "Relu", "Round", "Sign", "TopK"}
)
# Operators of which numbers around 0 tell all, being linear or moving elements.
_LINEAR = (
    REARRANGING
    | {"Add", "AveragePool", "BatchNormalization", "Concat", "Constant", "Conv", "ConvTranspose"}
    | {"Einsum", "Gemm", "GlobalAveragePool", "MatMul", "Neg", "Pad", "ReduceMean", "ReduceSum"}
    | {"Shape", "Sub", "Sum"}
)
# Operators whose results are as large as the numbers they are given.
_SIZED = frozenset(
    {"CenterCropPad", "Col2Im", "ConstantOfShape", "Expand", "OneHot", "Pad", "Range", "Resize"}
    | {"Tile", "Upsample"}
)
# Operators of which ONNX Runtime does not ask whether sizes agree, and reads past the end.
_UNGUARDED = frozenset({"GRU", "LSTM", "RNN"})
# Operators for which a constant is where something changes.
_COMPARING = frozenset(
    {"Clip", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Min"}
)
_FEW = 64
"""Elements of which all may agree by chance, or be given by a constant."""
_REPEATS = 3
_MAX_THRESHOLD = 1e6
"""Magnitudes from which a number stands for infinity, and nothing is compared with it."""


class Tries:
    """What to try the region of *nodes*, which computes from *starts*, on.

    `thresholds` are the numbers it compares with.
    """

    def __init__(self, nodes: Sequence[Node], starts: Sequence[Value]) -> None:
        self._nodes = nodes
        dtypes = [helper.tensor_dtype_to_np_dtype(value.dtype) for value in starts if value.dtype]
        self._has_floats = any(map(is_float, dtypes))
        self._has_narrow = any(is_float(each) and np.dtype(each).itemsize <= 2 for each in dtypes)
        self._has_integers = any(np.dtype(dtype).kind in "iu" for dtype in dtypes)
        self._is_opaque = any(node.subgraphs or node.domain for node in nodes)
        self._is_linear = self._is_made_of(_LINEAR)
        self._is_calm = self._is_made_of(_CALM)
        self._has_sizes = self._is_opaque or any(node.op_type in _SIZED for node in nodes)
        self.thresholds = () if self._has_sizes else tuple(_thresholds(nodes))

    def moods(self, feeds: Mapping[str, Any], *, thorough: bool) -> Iterator[tuple[Mood, int]]:
        """Moods and seeds, for a region that took *feeds*."""
        yield Mood.EXTREME, 0
        yield Mood.POSITIVE, 0
        if not self._is_linear:
            yield Mood.TIES, 0
        if self._is_made_of(_DEFINED_FOR_ALL):
            yield Mood.NOT_FINITE, 0
        if self._has_floats:
            yield Mood.SMALL, 0
        if self._can_be_large():
            yield Mood.LARGE, 0
        arrays = [np.asarray(feed) for feed in feeds.values() if isinstance(feed, np.ndarray)]
        few = [array for array in arrays if array.size < _FEW]
        if thorough or len(few) == len(feeds) or any(array.dtype.kind in "biu" for array in few):
            # A few bools or integers agree by chance, and cost nothing to try again.
            for seed in range(1, _REPEATS + 1):
                for mood in (Mood.ORDINARY, Mood.EXTREME, Mood.TIES):
                    yield mood, seed

    def sizes(self, known: Sizes, least: Sizes) -> Iterator[dict[str, int]]:
        """Sizes unlike the *known* ones: odd instead of even, and larger; some of them 1.

        None below the *least* there can be: no pass need be right where the model fails.  None is 0:
        of that some kernels end the process, and passes may have been told that it never comes.
        """
        if not known or self._is_opaque or any(node.op_type in _UNGUARDED for node in self._nodes):
            return
        choices = [{symbol: size + 3 for symbol, size in known.items()}]
        if len(known) > 1:
            others = {symbol: size + 1 for symbol, size in known.items()}
            choices += [others | dict.fromkeys(list(known)[first::2], 1) for first in (0, 1)]
        for sizes in choices:
            yield {symbol: max(size, least.get(symbol, 0)) for symbol, size in sizes.items()}

    def is_for_overflow(self, mood: Mood) -> bool:
        """Whether a mood makes results so imprecise that only those that are not finite tell."""
        return mood is Mood.LARGE and not self._is_calm

    def _can_be_large(self) -> bool:
        if not all(map(_divides_safely, self._nodes)):
            return False
        # Of 16 bits most things overflow, here or there on the way.
        if self._has_integers or self._has_narrow:
            return self._is_calm
        return not (self._is_linear or self._has_sizes)

    def _is_made_of(self, op_types: frozenset[str]) -> bool:
        return all(node.op_type in op_types and not node.domain for node in self._nodes)


def _thresholds(nodes: Iterable[Node]) -> dict[float, None]:
    found: dict[float, None] = {}
    for node in nodes:
        if node.domain or node.op_type not in _COMPARING:
            continue
        for value in node.inputs:
            if value is not None and value.is_constant and _is_few(value):
                array: Any = value.numpy()
                if array.dtype != object:
                    found.update((float(each), None) for each in array.flat)
    return {each: None for each in found if abs(each) <= _MAX_THRESHOLD}


def _is_few(value: Value) -> bool:
    sizes = [size for size in value.shape or () if isinstance(size, int)]
    return value.rank == len(sizes) and math.prod(sizes) <= _FEW


def _divides_safely(node: Node) -> bool:
    """Whether no integer is divided by what may be -1: of the lowest one the process ends."""
    if node.domain or node.op_type not in ("Div", "Mod") or node.output.dtype is None:
        return True
    if is_float(helper.tensor_dtype_to_np_dtype(node.output.dtype)):
        return True
    divisor = node.inputs[1]
    return divisor is not None and divisor.is_constant and bool((divisor.numpy() > 0).all())
