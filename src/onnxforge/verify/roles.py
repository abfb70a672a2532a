"""What numbers are for: an index must be within range, a size positive, a divisor not zero.

How a value is read says what it may be.  A table tells it per operator and input; values pass
through operators that only move or convert them, bodies of functions included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from onnxforge.ir import Graph, Node, Value

_VISITED = 256
"""Readers looked at before the search for a role ends."""


@dataclass(frozen=True, slots=True)
class Role:
    """What a tensor may hold: *low* to *high*, both included, or one of *choices*, which are what
    it mostly is if there are numbers between *low* and *high* as well.

    `ascending` are the numbers 0, 1, 2, ...: axes.  `wildcard` is a shape with one -1.  What it may
    be as well, but seldom is, and what others may not go together with, is `rare`.
    """

    low: int = 0
    high: int = 0
    choices: tuple[float, ...] = ()
    ascending: bool = False
    wildcard: bool = False
    rare: tuple[int, ...] = ()


Sizes: TypeAlias = Callable[[Value | None], tuple[int, ...] | None]
"""The concrete shape of a value, None where it is not known."""
_Rule: TypeAlias = Callable[[Node, Sizes], Role | None]

# Operators whose output holds elements of these inputs, and nothing else.
_PASSING = {
    "Cast": (0,), "Clip": (0,), "Concat": None, "Expand": (0,), "Flatten": (0,), "Gather": (0,),
    "Identity": (0,), "Reshape": (0,), "ScatterND": (0, 2), "Slice": (0,), "Split": (0,),
    "Squeeze": (0,), "Tile": (0,), "Transpose": (0,), "Unsqueeze": (0,), "Where": (1, 2),
}  # fmt: skip


def role_of(value: Value, sizes: Sizes) -> Role | None:
    """What *value* has to be for its readers; None if none of them minds."""
    low, high, found = -(2**62), 2**62, False
    rare: dict[int, None] = {}
    choices: tuple[float, ...] = ()
    for node, index in _readings(value):
        rule = _RULES.get((node.domain, node.op_type, index))
        role = rule(node, sizes) if rule is not None else None
        if role is None:
            continue
        if role.ascending or role.wildcard:
            return role
        if role.choices:
            choices = choices or role.choices
            continue
        low, high, found = max(low, role.low), min(high, role.high), True
        rare.update(dict.fromkeys(role.rare))
    if not found:
        return Role(choices=choices) if choices else None
    high = max(low, high)
    fitting = tuple(each for each in choices if low <= each <= high)
    return Role(low, high, fitting, rare=tuple(rare))


def texts_of(value: Value) -> list[str]:
    """The strings that the readers of *value* know: keys of their tables."""
    known: dict[str, None] = {}
    for node, _ in _readings(value):
        for each in node.attributes.values():
            if isinstance(each, list):
                known.update(dict.fromkeys(text for text in each if isinstance(text, str)))
    return list(known)


def _readings(value: Value) -> Iterator[tuple[Node, int]]:
    """Who reads *value*, directly or behind operators that pass it on, and as which input."""
    seen: dict[Value, None] = {value: None}
    todo = [value]
    while todo:
        each = todo.pop()
        for node in each.consumers:
            for index, read in enumerate(node.inputs):
                if read is not each:
                    continue
                yield node, index
                if len(seen) > _VISITED:
                    return
                for behind in _behind(node, index):
                    if behind not in seen:
                        seen[behind] = None
                        todo.append(behind)


def _behind(node: Node, index: int) -> tuple[Value, ...]:
    if not node.domain and node.op_type in _PASSING:
        passed = _PASSING[node.op_type]
        return node.outputs if passed is None or index in passed else ()
    if node.domain and (body := _function(node)) is not None:
        return body.inputs[index : index + 1]
    return ()


def _function(node: Node) -> Graph | None:
    assert node.graph is not None
    for function in node.graph.model.functions:
        if function.operator == (node.domain, node.op_type):
            return function
    return None


def _size(sizes: Sizes, value: Value | None, axis: int) -> int:
    shape = sizes(value)
    if shape is None or not -len(shape) <= axis < len(shape):
        return 1
    return max(1, shape[axis])


def _along_axis(node: Node, sizes: Sizes) -> Role:
    size = _size(sizes, node.input(0), node.attribute("axis") or 0)
    return Role(-size, size - 1)


def _coordinates(node: Node, sizes: Sizes) -> Role:
    data, indices = sizes(node.input(0)), sizes(node.input(1))
    first = int(node.attribute("batch_dims") or 0)
    last = first + indices[-1] if indices else None
    smallest = min(data[first:last], default=1) if data else 1
    return Role(-max(1, smallest), max(1, smallest) - 1)


def _rows(index: int) -> _Rule:
    return lambda node, sizes: Role(0, _size(sizes, node.input(index), 0) - 1)


def _one_hot(node: Node, sizes: Sizes) -> Role:  # noqa: ARG001 - a rule's signature
    depth = node.input(1)
    known = int(depth.numpy().item()) if depth is not None and depth.is_constant else 2
    return Role(-known, known - 1)


def _compared(other: int) -> _Rule:
    """An input that is compared to constants is meant to be one of them, sometimes."""

    def rule(node: Node, sizes: Sizes) -> Role | None:  # noqa: ARG001 - a rule's signature
        value = node.input(other)
        if value is None or not value.is_constant:
            return None
        array: Any = value.numpy()
        if array.dtype.kind not in "iu" or not 0 < array.size <= 16:
            return None
        numbers = dict.fromkeys(int(number) for number in array.flat)
        return Role(choices=(*numbers, next(iter(numbers)) + 1))

    return rule


def _ends(node: Node, sizes: Sizes) -> Role:
    shape = sizes(node.input(0))
    return Role(1, max(1, min(shape, default=1)) if shape else 1, rare=(-1, 2**31))


def _within(low: int, high: int, *rare: int) -> _Rule:
    role = Role(low, high, rare=rare)
    return lambda _node, _sizes: role


def _fixed(role: Role) -> _Rule:
    return lambda _node, _sizes: role


_AXES = _fixed(Role(ascending=True))
_RULES: dict[tuple[str, str, int], _Rule] = {
    ("", "Gather", 1): _along_axis,
    ("", "GatherElements", 1): _along_axis,
    ("", "ScatterElements", 1): _along_axis,
    ("", "Scatter", 1): _along_axis,
    ("", "GatherND", 1): _coordinates,
    ("", "ScatterND", 1): _coordinates,
    ("", "OneHot", 0): _one_hot,
    ("", "OneHot", 1): _within(2, 5),
    ("", "Slice", 1): _within(0, 0, -2, -1, 1, 2),
    ("", "Slice", 2): _ends,
    ("", "Slice", 3): _AXES,
    ("", "Slice", 4): _within(1, 1, -1, 2),
    ("", "TopK", 1): _within(1, 1, 2),
    ("", "Reshape", 1): _fixed(Role(wildcard=True)),
    ("", "Expand", 1): _within(1, 1, 2),
    ("", "Tile", 1): _within(1, 2),
    ("", "Pad", 1): _within(0, 1),
    ("", "ConstantOfShape", 0): _within(1, 3),
    ("", "RandomNormal", 0): _within(1, 3),
    ("", "Unsqueeze", 1): _AXES,
    ("", "Squeeze", 1): _AXES,
    ("", "Range", 0): _within(0, 1),
    ("", "Range", 1): _within(3, 6),
    ("", "Range", 2): _within(1, 2),
    ("", "Loop", 0): _within(1, 3, 0),
    ("", "CumSum", 1): _within(0, 0, -1, 1),
    ("", "CumProd", 1): _within(0, 0, -1, 1),
    ("", "Trilu", 1): _within(-1, 1),
    ("", "Div", 1): _within(1, 5, -3, -2),
    ("", "Mod", 1): _within(1, 5, -3, -2),
    ("", "Pow", 1): _within(0, 3),
    ("", "BitShift", 1): _within(0, 7),
    ("", "SequenceAt", 1): _within(0, 1, -1),
    ("", "SequenceErase", 1): _within(0, 1, -1),
    ("", "SequenceInsert", 2): _within(0, 1, -1),
    ("", "NonMaxSuppression", 2): _within(1, 4),
    ("", "Equal", 0): _compared(1),
    ("", "Equal", 1): _compared(0),
    ("", "LSTM", 4): lambda node, sizes: Role(1, _size(sizes, node.input(0), 0)),
    ("", "GRU", 4): lambda node, sizes: Role(1, _size(sizes, node.input(0), 0)),
    ("", "RNN", 4): lambda node, sizes: Role(1, _size(sizes, node.input(0), 0)),
    ("", "ReverseSequence", 1): lambda node, sizes: Role(
        1, _size(sizes, node.input(0), node.attribute("time_axis") or 0)
    ),
    ("", "NegativeLogLikelihoodLoss", 1): lambda node, sizes: Role(
        0, _size(sizes, node.input(0), 1) - 1
    ),
    ("", "SoftmaxCrossEntropyLoss", 1): lambda node, sizes: Role(
        0, _size(sizes, node.input(0), 1) - 1
    ),
    ("", "Resize", 2): _fixed(Role(choices=(1.0, 2.0))),
    ("", "Upsample", 1): _fixed(Role(choices=(1.0, 2.0))),
    ("", "Dropout", 1): _fixed(Role(choices=(0.5,))),
    ("", "QuantizeLinear", 1): _fixed(Role(choices=(0.02, 0.05, 0.1))),
    ("", "DequantizeLinear", 1): _fixed(Role(choices=(0.02, 0.05, 0.1))),
    ("com.microsoft", "EmbedLayerNormalization", 0): _rows(2),
    ("com.microsoft", "EmbedLayerNormalization", 1): _rows(4),
    ("com.microsoft", "GatherBlockQuantized", 1): _rows(0),
}
_REDUCTIONS = "Max Mean Min Prod Sum L1 L2 LogSum LogSumExp SumSquare"
_RULES |= {("", f"Reduce{name}", 1): _AXES for name in _REDUCTIONS.split()}


def fill(role: Role, shape: tuple[int, ...], random: np.random.Generator) -> Any:
    """An array that plays the role: int64, or float64 if that is what the choices are."""
    if role.ascending:
        return np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)
    if role.wildcard:
        ones = np.ones(shape, np.int64)
        ones.reshape(-1)[:1] = -1
        return ones
    if role.choices:
        return random.choice(np.array(role.choices), shape)
    return random.integers(role.low, role.high, shape, endpoint=True)
