"""What a pattern is made of: the nodes it asks for, and what these read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from onnxforge.ir import Value, operators


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
    makers: tuple[tuple[int, frozenset[str]], ...] = ()
    """The inputs that not any operator may make, each with those that may, "" being none."""
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
            limits = enumerate(map(_makers, inputs))
            makers = tuple((index, found) for index, found in limits if found is not None)
            is_turnable = len(inputs) == 2 and operators.lookup(op_type, domain).commutative
            call = Call(op_type, domain, inputs, attributes, outputs, makers, is_turnable)
            self.calls.append(call)
            results = tuple(Output(call, index) for index in range(outputs))
            return results[0] if outputs == 1 else results

        return record


def _makers(operand: Operand) -> frozenset[str] | None:
    """The operators that may make what *operand* stands for, "" being none; None if any may."""
    if isinstance(operand, Output):
        return frozenset({operand.call.op_type})
    if isinstance(operand, Alternatives):
        options = [_makers(option) for option in operand.options]
        known = [option for option in options if option is not None]
        return frozenset().union(*known) if len(known) == len(options) else None
    if isinstance(operand, Variable) and not operand.constant:
        return None
    return frozenset({""}) if operand is None else frozenset({"", "Constant"})
