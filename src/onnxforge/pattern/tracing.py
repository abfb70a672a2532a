"""Patterns, traced from the functions that draw them, and where they were found."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import onnx

from onnxforge.ir import Node, Value, operators
from onnxforge.ir.order import dependencies
from onnxforge.pattern.matching import occurrences, orders
from onnxforge.pattern.operands import (
    Alternatives,
    Call,
    Const,
    Operand,
    Output,
    Recorder,
    Variable,
)


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
        if not (possible := orders(self.root, node)):
            return None
        for bound in occurrences(self.outputs, node, possible):
            match = Match(
                tuple(bound[call] for call in self.calls if call in bound),
                {v.name: bound.get(v) for v in self.variables},
                tuple(bound[output.call].outputs[output.index] for output in self.outputs),
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
