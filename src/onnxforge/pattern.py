"""Patterns: a subgraph written as the Python function that would build it.

    def pattern(op, x, scale: Const):
        return op.Mul(op.Relu(x), scale)

The parameters are the pattern's variables and their annotations are its guards: `Const` binds only
to a constant, `Const | None` may also be absent.  Calling the function with a recording `op` yields
the pattern; calling it with a real builder yields the subgraph itself.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import onnx

from onnxforge.ir import Node, Value, operators
from onnxforge.ir.order import dependencies

# How far a constant may be from the number a pattern spells: a few units in the last place of the
# float types exporters round to.
_CLOSE = {"float64": 1e-6, "float32": 1e-6, "float16": 1e-3, "bfloat16": 1e-2}


class Const(Value):
    """Annotates a pattern variable that binds only to a constant."""


@dataclass(frozen=True, eq=False, slots=True)
class Variable:
    """A parameter of a pattern."""

    name: str
    constant: bool = False
    optional: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Call:
    """A node a pattern asks for."""

    op_type: str
    domain: str
    inputs: tuple[Operand, ...]
    attributes: Mapping[str, Any]
    outputs: int
    makers: tuple[frozenset[str] | None, ...] = ()
    """For each input the operators that may make it, "" being none; None if any may."""
    is_commutative: bool = False
    """Whether there are two inputs, in either order."""


@dataclass(frozen=True, eq=False, slots=True)
class Output:
    """One output of a node a pattern asks for."""

    call: Call
    index: int


@dataclass(frozen=True, eq=False, slots=True)
class Alternatives:
    """Several spellings of one value, the first that fits being taken."""

    options: tuple[Operand, ...]


Operand = Variable | Output | Alternatives | float | None
_Bound = dict[Any, Any]


@dataclass(frozen=True, slots=True)
class Match:
    """Where a pattern was found.

    `nodes` are in the order the pattern wrote them; of alternatives, only those that were found.
    `values` are its variables by name, `outputs` the values it returns.
    """

    nodes: tuple[Node, ...]
    values: Mapping[str, Value | None]
    outputs: tuple[Value, ...]

    @property
    def root(self) -> Node:
        """The last node of the pattern."""
        return self.nodes[-1]


class Recorder:
    """The `op` a pattern function is traced with: every call becomes a `Call`, in order."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def any(self, *options: Operand) -> Alternatives:
        """One value that may be written in several ways."""
        return Alternatives(options)

    def __getattr__(self, op_type: str) -> Callable[..., Output | tuple[Output, ...]]:
        def record(
            *inputs: Operand, domain: str = "", outputs: int = 1, **attributes: Any
        ) -> Output | tuple[Output, ...]:
            makers = tuple(map(_makers, inputs))
            is_turnable = len(inputs) == 2 and operators.lookup(op_type, domain).commutative
            call = Call(op_type, domain, inputs, attributes, outputs, makers, is_turnable)
            self.calls.append(call)
            results = tuple(Output(call, index) for index in range(outputs))
            return results[0] if outputs == 1 else results

        return record


class Pattern:
    """A pattern function, traced.

    Raises `TypeError` if the function does not return outputs of operators it calls.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        recorder = Recorder()
        _, *parameters = inspect.signature(function, eval_str=True).parameters.values()
        self.name = function.__qualname__
        self.variables = tuple(map(_variable, parameters))
        returned = function(recorder, *self.variables)
        self.outputs: tuple[Output, ...] = returned if isinstance(returned, tuple) else (returned,)
        if not all(isinstance(output, Output) for output in self.outputs):
            raise TypeError(f"{self.name} must return what the operators it calls return")
        self.calls = tuple(recorder.calls)
        self.root = self.outputs[-1].call
        # Those of the alternatives are not needed: what is left out is found to be, node by node.
        self.operators = frozenset(call.op_type for call in _needed(self.outputs))

    def match(self, node: Node, *, shared: bool = False) -> Match | None:
        """The match whose last output *node* computes, if there is one.

        Unless *shared*, the values inside a match must not be read outside of it.
        """
        if not _orders(self.root, node):
            return None
        for bound in _match_call(self.root, node, {}):
            for complete in _match_rest(self.outputs, bound):
                match = Match(
                    tuple(complete[call] for call in self.calls if call in complete),
                    {v.name: complete.get(v) for v in self.variables},
                    tuple(complete[output.call].outputs[output.index] for output in self.outputs),
                )
                if _is_replaceable(match) and (shared or _is_private(match)):
                    return match
        return None

    def to_function(
        self,
        domain: str,
        name: str,
        opset_imports: Mapping[str, int],
        attributes: Iterable[str] = (),
    ) -> onnx.FunctionProto:
        """The pattern as a function of a model: what a custom operator computes.

        Numbers take the type of the first variable; of alternatives, the first is taken.
        """
        function = onnx.FunctionProto(domain=domain, name=name, attribute=list(attributes))
        function.input.extend(variable.name for variable in self.variables)
        names: dict[Any, str] = {variable: variable.name for variable in self.variables}
        used = dict.fromkeys(_reachable(self.outputs))
        calls = [call for call in self.calls if call in used]

        def write(operand: Operand) -> str:
            while isinstance(operand, Alternatives):
                operand = operand.options[0]
            if operand is None:
                return ""
            if isinstance(operand, Variable):
                return names[operand]
            if isinstance(operand, Output):
                return names[operand.call, operand.index]
            number = f"c{len(function.node)}"
            constant = function.node.add(op_type="Constant", output=[number])
            constant.attribute.append(onnx.helper.make_attribute("value_float", float(operand)))
            like = [number, self.variables[0].name]
            function.node.add(op_type="CastLike", input=like, output=[f"{number}_like"])
            return f"{number}_like"

        for index, call in enumerate(calls):
            inputs = [write(operand) for operand in call.inputs]
            for position in range(call.outputs):
                names[call, position] = f"v{index}" + (f"_{position}" if position else "")
            node = function.node.add(op_type=call.op_type, domain=call.domain, input=inputs)
            node.output.extend(names[call, position] for position in range(call.outputs))
            version = opset_imports.get(call.domain, 1)
            node.attribute.extend(
                operators.make_attribute(key, value, call.op_type, call.domain, version)
                for key, value in call.attributes.items()
            )
        function.output.extend(names[output.call, output.index] for output in self.outputs)
        for used_domain in dict.fromkeys(node.domain for node in function.node):
            version = opset_imports.get(used_domain, 1)
            function.opset_import.add(domain=used_domain, version=version)
        return function

    def __str__(self) -> str:
        """The pattern as ONNX text."""
        latest = {"": onnx.defs.onnx_opset_version()}
        return onnx.printer.to_text(self.to_function("pattern", self.name.split(".")[0], latest))


def _variable(parameter: inspect.Parameter) -> Variable:
    guards = typing.get_args(parameter.annotation) or (parameter.annotation,)
    return Variable(parameter.name, constant=Const in guards, optional=type(None) in guards)


def _reachable(outputs: Iterable[Output]) -> Iterator[Call]:
    stack: list[Operand] = list(outputs)
    while stack:
        operand = stack.pop()
        if isinstance(operand, Alternatives):
            stack.append(operand.options[0])
        elif isinstance(operand, Output):
            yield operand.call
            stack.extend(operand.call.inputs)


def _needed(outputs: Iterable[Output]) -> Iterator[Call]:
    """The calls that every match has."""
    stack: list[Operand] = list(outputs)
    while stack:
        operand = stack.pop()
        if isinstance(operand, Output):
            yield operand.call
            stack.extend(operand.call.inputs)


def _is_replaceable(match: Match) -> bool:
    """Whether nodes at the root of the match could take its place.

    The match must lie in one graph, for what moves into a body may run once an iteration; and of
    several outputs none may be what another is computed from by nodes outside the match, for in
    the end all of them are computed at once.
    """
    graph = match.root.graph
    if graph is None or any(node.graph is not graph for node in match.nodes):
        return False
    reads = [_read_by(output, match) for output in match.outputs]
    common = set.intersection(*map(set, reads))
    makers = {output.producer for output in match.outputs}
    stack = [value.producer for each in reads for value in each if value not in common]
    seen: set[Node | None] = {None}
    while stack:
        node = stack.pop()
        if node in makers:
            return False
        if node is not None and node not in seen:
            seen.add(node)
            stack.extend(dependencies(graph, node))
    return True


def _read_by(output: Value, match: Match) -> dict[Value, None]:
    """The values from outside the match that it computes *output* from."""
    inside = dict.fromkeys(match.nodes)
    stack = [output.producer]
    read: dict[Value, None] = {}
    while stack:
        node = stack.pop()
        assert node is not None
        for value in node.inputs:
            if value is not None and value.producer in inside:
                stack.append(value.producer)
            elif value is not None:
                read[value] = None
    return read


def _is_private(match: Match) -> bool:
    """Whether nothing outside the match sees the values inside it."""
    inside = dict.fromkeys(match.nodes)
    return all(
        not value.is_output and value.consumers.keys() <= inside.keys()
        for node in match.nodes
        for value in node.outputs
        if value not in match.outputs
    )


# Matching, with every way to bind what can be bound in more than one


def _match_rest(outputs: tuple[Output, ...], bound: _Bound) -> Iterator[_Bound]:
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


def _siblings(output: Output, bound: _Bound) -> Iterator[Node]:
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


def _makers(operand: Operand) -> frozenset[str] | None:
    """The operators that may make what *operand* stands for, as in `Call.makers`."""
    if isinstance(operand, Output):
        return frozenset({operand.call.op_type})
    if isinstance(operand, Alternatives):
        options = [_makers(option) for option in operand.options]
        known = [option for option in options if option is not None]
        return frozenset().union(*known) if len(known) == len(options) else None
    if isinstance(operand, Variable) and not operand.constant:
        return None
    return frozenset({""}) if operand is None else frozenset({"", "Constant"})


def _orders(call: Call, node: Node) -> list[tuple[Value | None, ...]]:
    """The orders in which a node's inputs could be those of *call*, as far as their makers tell.

    That rules out most nodes, and costs least to ask.
    """
    if node.op_type != call.op_type or node.domain != call.domain:
        return []
    inputs, count = node.inputs, len(call.inputs)
    if len(inputs) != count:
        inputs = (*inputs, *[None] * count)[:count]
    made = ["" if v is None or v.producer is None else v.producer.op_type for v in inputs]
    orders = [inputs] if _is_plausible(call, made) else []
    if call.is_commutative and _is_plausible(call, made[::-1]):
        orders.append(inputs[::-1])
    return orders


def _is_plausible(call: Call, made: list[str]) -> bool:
    """Whether the inputs of *call* may be made by these operators."""
    for makers, op_type in zip(call.makers, made, strict=True):
        if makers is not None and op_type not in makers:
            return False
    return True


def _match_call(call: Call, node: Node, bound: _Bound) -> Iterator[_Bound]:
    if call in bound:
        if bound[call] is node:
            yield bound
        return
    orders = _orders(call, node)
    if not orders:
        return
    if any(v is not None for v in node.inputs[len(call.inputs) :]) or node.has_references:
        return
    if len(node.outputs) != call.outputs and any(v.is_used for v in node.outputs[call.outputs :]):
        return
    if len(node.outputs) < call.outputs:
        return
    for name, value in call.attributes.items():
        if not _has_attribute(node, name, value):
            return
    for order in orders:
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
    operands: tuple[Operand, ...], values: tuple[Value | None, ...], node: Node, bound: _Bound
) -> Iterator[_Bound]:
    if not operands:
        yield bound
        return
    for extended in _match_value(operands[0], values[0], node, bound):
        yield from _match_inputs(operands[1:], values[1:], node, extended)


def _match_value(
    operand: Operand, value: Value | None, node: Node, bound: _Bound
) -> Iterator[_Bound]:
    if isinstance(operand, Variable):
        if operand in bound:
            if bound[operand] is value:
                yield bound
        elif operand.optional if value is None else value.is_constant or not operand.constant:
            yield {**bound, operand: value}
    elif isinstance(operand, Output):
        if value is not None and value.producer is not None:
            outputs = value.producer.outputs
            if len(outputs) > operand.index and outputs[operand.index] is value:
                yield from _match_call(operand.call, value.producer, bound)
    elif isinstance(operand, Alternatives):
        for option in operand.options:
            yield from _match_value(option, value, node, bound)
    elif operand is None:
        if value is None:
            yield bound
    elif value is not None and _is_number(value, operand, node):
        yield bound


def _is_number(value: Value, number: float, node: Node) -> bool:
    """Whether a constant is one element equal to *number* that does not raise the result's rank."""
    if not value.is_constant:
        return False
    tensor = value.tensor
    if tensor is not None and int(np.prod(tensor.dims, dtype=np.int64)) != 1:
        return False
    array = value.numpy()
    if array.size != 1 or array.dtype == object:
        return False
    if array.ndim:
        ranks = [v.rank for v in node.inputs if v is not None and v is not value]
        if not any(rank is not None and rank >= array.ndim for rank in ranks):
            return False
    element = array.reshape(()).astype(np.float64)
    tolerance = _CLOSE.get(array.dtype.name, 0.0)
    return bool(abs(element - number) <= tolerance * abs(number))
