"""Drawing nodes into a graph, in the same spelling patterns are written in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxforge.ir import Graph, Node, Value
from onnxforge.pattern import Pattern

if TYPE_CHECKING:
    import numpy.typing as npt


class Decline(Exception):  # noqa: N818 - not an error: how a rewrite says no
    """Raised by a rewrite to leave one occurrence alone; the report counts the reasons."""


class Builder:
    """Draws nodes into a graph: `op.Conv(x, weights, strides=[1, 1])` returns the output value.

    An array, or a NumPy scalar, stands for a constant.  `outputs=2` returns a tuple.  `like=node`
    copies a node's attributes and name.  `body=function` makes the node a custom operator that
    means what the pattern *function* says: it becomes a function of the model.
    """

    def __init__(self, graph: Graph, before: Node | None = None) -> None:
        self.graph = graph
        self.before = before
        self.made: list[Value] = []

    def constant(self, array: npt.ArrayLike, name: str = "constant") -> Value:
        """A new constant."""
        value = self.graph.constant(array, name)
        self.made.append(value)
        return value

    def __getattr__(self, op_type: str) -> Callable[..., Any]:
        def call(
            *inputs: Value | npt.NDArray[Any] | np.generic | None,
            domain: str = "",
            body: Callable[..., Any] | None = None,
            **options: Any,
        ) -> Value | tuple[Value, ...]:
            if body is not None:
                self._define(domain, op_type, body, options)
            values = [
                self.constant(each) if isinstance(each, np.ndarray | np.generic) else each
                for each in inputs
            ]
            node = self.graph.add_node(
                op_type, values, domain=domain, before=self.before, **options
            )
            self.made.extend(node.outputs)
            return node.outputs[0] if len(node.outputs) == 1 else node.outputs

        return call

    def _define(
        self, domain: str, op_type: str, body: Callable[..., Any], options: dict[str, Any]
    ) -> None:
        if self.graph.operator == (domain, op_type):
            raise Decline("an operator cannot call itself")
        attributes = sorted(options.keys() - {"outputs", "like"})
        imports = self.graph.opset_imports
        function = Pattern(body).to_function(domain, op_type, imports, attributes)
        if imports.get("", 1) < 15 and any(node.op_type == "CastLike" for node in function.node):
            raise Decline("a custom operator whose body has numbers needs opset 15")
        if not self.graph.model.define(function):
            raise Decline(f"the model has another function called {domain}::{op_type}")

    @property
    def nodes(self) -> list[Node]:
        """The nodes drawn so far that are still in the graph."""
        producers = dict.fromkeys(v.producer for v in self.made if v.producer is not None)
        return [node for node in producers if node.graph is not None]

    def undo(self) -> None:
        """Remove whatever was drawn and is not used."""
        self.graph.sweep(reversed(self.made))
