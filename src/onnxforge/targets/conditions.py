"""What a kernel may need beyond opset and element type, as far as a graph tells, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from onnxforge.ir import Node, Value

Condition: TypeAlias = Callable[[Node], bool]


def _is_known(value: Value | None) -> bool:
    return value is None or value.is_constant


def _constant(index: int) -> Condition:
    return lambda node: _is_known(node.input(index))


def _rank(*ranks: int) -> Condition:
    def has_rank(node: Node) -> bool:
        value = node.input(0)
        return value is None or value.rank is None or value.rank in ranks

    return has_rank


def _last_axis(node: Node) -> bool:
    value, axis = node.input(0), node.attribute("axis")
    rank = value.rank if value is not None else None
    return axis == -1 or (rank is not None and axis == rank - 1)


def _fixed_shapes(node: Node) -> bool:
    values = [value for value in (*node.inputs, *node.outputs) if value is not None and value.name]
    return all(
        value.shape is not None and all(isinstance(size, int) for size in value.shape)
        for value in values
    )


def _attribute(name: str, *allowed: object) -> Condition:
    return lambda node: node.attribute(name) in allowed


CONDITIONS: Mapping[str, Condition] = {
    "constant weights": lambda node: all(map(_is_known, node.inputs[1:3])),
    "constant parameters": lambda node: all(map(_is_known, node.inputs[1:])),
    "a constant second input": _constant(1),
    "a constant fourth input": _constant(3),
    "fixed shapes": _fixed_shapes,
    "images of two dimensions": _rank(4),
    "images of two or three dimensions": _rank(4, 5),
    "3 to 5 dimensions": _rank(3, 4, 5),
    "matrices": _rank(2),
    "the last axis": _last_axis,
    "no indices": lambda node: not any(output.is_used for output in node.outputs[1:]),
    "constant mode": _attribute("mode", "constant", None),
    "linear mode": _attribute("mode", "linear", "bilinear"),
    "nearest or linear mode": _attribute("mode", "nearest", "linear", None),
    "DCR mode": _attribute("mode", "DCR", None),
    "p of 2": _attribute("p", 2),
}
"""Whether a node meets each condition; the names are those that targets' files use."""
