"""Looking for a pattern at a node, with every way to bind what can be bound in more than one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import onnx

from onnxforge.ir import Node, Value, operators
from onnxforge.pattern.operands import Alternatives, Call, Operand, Output, Variable

# How far a constant may be from the number a pattern spells: a few units in the last place of the
# float types exporters round to.
_CLOSE = {"float64": 1e-6, "float32": 1e-6, "float16": 1e-3, "bfloat16": 1e-2}


Bound = dict[Any, Any]
"""What stands for the calls and variables of a pattern: nodes and values."""

Orders = list[tuple[Value | None, ...]]


def occurrences(outputs: tuple[Output, ...], node: Node, given: Orders) -> Iterator[Bound]:
    """The ways to bind what *outputs* are computed from so that *node* makes the last of them.

    Its inputs may be in the orders *given*.
    """
    for bound in _match_orders(outputs[-1].call, node, {}, given):
        yield from _match_rest(outputs, bound)


def _match_rest(outputs: tuple[Output, ...], bound: Bound) -> Iterator[Bound]:
    """Bind the outputs that cannot be reached backwards from the root: its siblings."""
    missing = next((output for output in outputs if output.call not in bound), None)
    if missing is None:
        yield bound
        return
    taken = [node for key, node in bound.items() if isinstance(key, Call)]
    for candidate in _siblings(missing, bound):
        if candidate not in taken:
            for extended in _match_call(missing.call, candidate, bound):
                yield from _match_rest(outputs, extended)


def _siblings(output: Output, bound: Bound) -> Iterator[Node]:
    """The nodes that could make *output*: readers of what it shares with the match."""
    call = output.call
    starts = [v for k, v in bound.items() if isinstance(k, Variable) and v is not None]
    level = dict.fromkeys(starts)
    for _ in range(_depth(output)):
        readers = dict.fromkeys(node for value in level for node in value.consumers)
        for node in readers:
            if node.op_type == call.op_type and node.domain == call.domain:
                yield node
        level = dict.fromkeys(value for node in readers for value in node.outputs)


@lru_cache(maxsize=1024)
def _depth(operand: Operand) -> int:
    if isinstance(operand, Alternatives):
        return max(map(_depth, operand.options))
    if isinstance(operand, Output):
        return 1 + max(map(_depth, operand.call.inputs), default=0)
    return 0


def orders(call: Call, node: Node) -> Orders:
    """The orders in which a node's inputs could be those of *call*, as far as their makers tell.

    That rules out most nodes, and costs least to ask.
    """
    if node.op_type != call.op_type or node.domain != call.domain:
        return []
    inputs, count = node.inputs, len(call.inputs)
    if len(inputs) != count:
        inputs = (*inputs, *[None] * count)[:count]
    found = [inputs] if _is_plausible(call, inputs) else []
    if call.is_commutative and _is_plausible(call, turned := inputs[::-1]):
        found.append(turned)
    return found


def _is_plausible(call: Call, inputs: tuple[Value | None, ...]) -> bool:
    """Whether the inputs of *call* may be these, by the operators that make them."""
    for index, makers in call.makers:
        value = inputs[index]
        maker = value.producer if value is not None else None
        if ("" if maker is None else maker.op_type) not in makers:
            return False
    return True


def _match_call(call: Call, node: Node, bound: Bound) -> Iterator[Bound]:
    if call in bound:
        if bound[call] is node:
            yield bound
    elif found := orders(call, node):
        yield from _match_orders(call, node, bound, found)


def _match_orders(call: Call, node: Node, bound: Bound, given: Orders) -> Iterator[Bound]:
    count = len(call.inputs)
    if len(node.inputs) > count and any(v is not None for v in node.inputs[count:]):
        return
    if node.has_references:
        return
    if len(node.outputs) != call.outputs and any(v.is_used for v in node.outputs[call.outputs :]):
        return
    if len(node.outputs) < call.outputs:
        return
    for name, value in call.attributes.items():
        if not _has_attribute(node, name, value):
            return
    for order in given:
        yield from _match_inputs(call.inputs, order, node, {**bound, call: node})


def _has_attribute(node: Node, name: str, expected: Any) -> bool:
    actual = node.attribute(name)
    if actual is None:
        # An opset that does not know the attribute yet behaves as its later default says.
        known = operators.schema(node.op_type, node.domain, node.version)
        if known is not None and name not in known.attributes:
            latest = onnx.defs.onnx_opset_version()
            actual = operators.attribute_defaults(node.op_type, node.domain, latest).get(name)
    if isinstance(expected, float) and isinstance(actual, float):
        return bool(np.float32(actual) == np.float32(expected))
    return bool(actual == expected)


def _match_inputs(
    operands: tuple[Operand, ...],
    values: tuple[Value | None, ...],
    node: Node,
    bound: Bound,
    start: int = 0,
) -> Iterator[Bound]:
    """The ways to bind *operands*, from *start* on, to *values*, which *node* reads."""
    for index in range(start, len(operands)):
        operand = operands[index]
        if isinstance(operand, Output) or isinstance(operand, Alternatives):  # noqa: SIM101 - faster
            for extended in _match_value(operand, values[index], node, bound):
                yield from _match_inputs(operands, values, node, extended, index + 1)
            return
        only = _bind(operand, values[index], node, bound)
        if only is None:
            return
        bound = only
    yield bound


def _match_value(
    operand: Operand, value: Value | None, node: Node, bound: Bound
) -> Iterator[Bound]:
    if isinstance(operand, Output):
        if value is not None and value.producer is not None:
            outputs = value.producer.outputs
            if len(outputs) > operand.index and outputs[operand.index] is value:
                yield from _match_call(operand.call, value.producer, bound)
    elif isinstance(operand, Alternatives):
        for option in operand.options:
            yield from _match_value(option, value, node, bound)
    elif (only := _bind(operand, value, node, bound)) is not None:
        yield only


def _bind(
    operand: Variable | float | None, value: Value | None, node: Node, bound: Bound
) -> Bound | None:
    """The one way to bind what is not computed in the pattern; None if *value* is nothing such."""
    if isinstance(operand, Variable):
        if operand in bound:
            return bound if bound[operand] is value else None
        fits = operand.optional if value is None else value.is_constant or not operand.constant
        return {**bound, operand: value} if fits else None
    if operand is None:
        return bound if value is None else None
    return bound if value is not None and _is_number(value, operand, node) else None


def _is_number(value: Value, number: float, node: Node) -> bool:
    """Whether a constant is one element equal to *number* that does not raise the result's rank."""
    known = value.graph.model.recall(_number, value) if value.is_constant else None
    if known is None:
        return False
    element, rank, tolerance = known
    if rank:
        ranks = [v.rank for v in node.inputs if v is not None and v is not value]
        if not any(other is not None and other >= rank for other in ranks):
            return False
    return abs(element - number) <= tolerance * abs(number)


def _number(constant: Value) -> tuple[float, int, float] | None:
    """The element of a constant that has but one, its rank, and how far it may be off, relatively."""
    tensor = constant.tensor
    if tensor is not None and prod(tensor.dims) != 1:
        return None
    array = constant.numpy()
    if array.size != 1 or array.dtype == object:
        return None
    element = float(array.reshape(()).astype(np.float64))
    return element, array.ndim, _CLOSE.get(array.dtype.name, 0.0)
