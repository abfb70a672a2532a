"""Who calls the functions of a model, for what is known of a call to be known inside, and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxforge.ir.graph import Graph
    from onnxforge.ir.model import Model
    from onnxforge.ir.node import Node
    from onnxforge.ir.value import Value

# Functions that call each other more deeply than this are looked into no further.
_MAX_DEPTH = 16

_Operator = tuple[str, str] | None


class Calls:
    """The functions that the file brought, and the calls that can happen.

    Calls that passes add are copies of these, of which the same holds; except for functions that
    passes define, which are therefore left out.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        # The functions, and inputs of functions, about which an answer is on the way.
        self._looked_at: list[Value | Graph] = []

    def called(self, node: Node) -> Graph | None:
        """The function that a node calls."""
        function = self._functions.get((node.domain, node.op_type))
        return None if function is None or self._model.is_defined(function) else function

    def of(self, function: Graph) -> list[Node]:
        """The calls of a function."""
        return [] if self._model.is_defined(function) else self._found.get(function.operator, [])

    @contextmanager
    def looking_at(self, each: Value | Graph) -> Iterator[bool]:
        """Look from a call at a function, or back, if that is not where one comes from."""
        is_new = each not in self._looked_at and len(self._looked_at) < _MAX_DEPTH
        self._looked_at.append(each)
        try:
            yield is_new
        finally:
            self._looked_at.pop()

    @cached_property
    def _functions(self) -> dict[_Operator, Graph]:
        """The functions by operator; none if an operator has several to choose from."""
        found: dict[_Operator, Graph] = {}
        for function in self._model.functions:
            if found.setdefault(function.operator, function) is not function:
                return {}
        return found

    @cached_property
    def _found(self) -> dict[_Operator, list[Node]]:
        found: dict[_Operator, list[Node]] = {each: [] for each in self._functions}
        reached = [self._model.graph] if found else []
        for root in reached:
            for node in (node for graph in root.nested() for node in graph):
                calls = found.get((node.domain, node.op_type))
                if calls is not None:
                    calls.append(node)
                    if len(calls) == 1:
                        reached.append(self._functions[node.domain, node.op_type])
        return found
