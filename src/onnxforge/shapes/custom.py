"""Shape functions for operators that ONNX has no schema of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from onnx import NodeProto, TypeProto

ShapeFunction: TypeAlias = Callable[
    [NodeProto, Sequence[TypeProto | None]], Sequence[TypeProto | None]
]
"""From a node and the types of its inputs (None where unknown, or the input is left out) to
those of its outputs, None where unknown; fewer than the node has will do."""

_functions: dict[tuple[str, str], ShapeFunction] = {}


def register(domain: str, op_type: str, function: ShapeFunction) -> None:
    """Let *function* say what the operator's outputs are; the last one registered is asked."""
    _functions[domain, op_type] = function


def shape_function(domain: str, op_type: str) -> ShapeFunction | None:
    """The function registered for an operator."""
    return _functions.get((domain, op_type))
