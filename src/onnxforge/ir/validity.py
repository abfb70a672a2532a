"""What ONNX demands of names, nodes and functions, asked once so that no pass has to.

Only what code would trip over, or take forever for, is asked; all else is for ONNX's checker.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

import onnx
from onnx import FunctionProto, ModelProto

from onnxforge.errors import InvalidModelError
from onnxforge.ir.operators import schema

if TYPE_CHECKING:
    from onnxforge.ir.graph import Graph
    from onnxforge.ir.node import Node

MAX_EXPANSION = 1_000_000
"""Nodes that the calls of a model's functions may come to.

Runtimes, and ONNX's own inference, put functions in the place of their calls: twenty functions
that each call the one before twice are a million nodes, and forty would outlast us all.
"""

_MAX_OPSET = 2**31 - 1


def check_model(proto: ModelProto) -> None:
    """Raise `InvalidModelError` if what is said of the model as a whole cannot be worked with."""
    imports = chain(proto.opset_import, *(each.opset_import for each in proto.functions))
    for each in imports:
        _check_text(proto.graph.name, (each.domain,))
        if each.version > _MAX_OPSET:
            raise InvalidModelError(
                f"opset {each.version} of {each.domain or 'ai.onnx'!r} is none: the file is damaged"
            )


def check_names(graph: Graph, nodes: list[Node]) -> None:
    """Raise `InvalidModelError` if a name is no text."""
    proto = graph.proto
    texts = [proto.name]
    if isinstance(proto, FunctionProto):
        texts += [proto.domain, proto.overload, *proto.attribute]
    _check_text(proto.name, chain(texts, graph.values))
    _check_text(proto.name, (node.op_type for node in nodes))
    _check_text(proto.name, (node.domain for node in nodes))


def check_nodes(graph: Graph, nodes: list[Node]) -> None:
    """Raise `InvalidModelError` if a node has too many or too few inputs, outputs or branches."""
    by_operator: dict[tuple[str, str], list[Node]] = {}
    for node in nodes:
        by_operator.setdefault((node.op_type, node.domain), []).append(node)
    for (op_type, domain), alike in by_operator.items():
        limits = _limits(op_type, domain, graph.opset_imports.get(domain, 1))
        if limits is None:
            continue
        min_in, max_in, min_out, max_out, is_first_needed = limits
        for node in alike:
            inputs, outputs = len(node.inputs), len(node.outputs)
            if not (min_in <= inputs <= max_in and min_out <= outputs <= max_out):
                raise _miscounted(node, *limits)
            if is_first_needed and node.inputs[0] is None:
                raise InvalidModelError(f"{node!r} lacks its first input: the file is damaged")
            if op_type == "If":
                _check_branches(node)


def _check_text(where: str, names: Iterable[Any]) -> None:
    # What is not UTF-8 protobuf hands out as bytes, whatever its type says.
    try:
        "".join(names)
    except TypeError:
        raise InvalidModelError(f"graph {where!r}: a name in it is not UTF-8") from None


@lru_cache(None)
def _limits(op_type: str, domain: str, version: int) -> tuple[int, int, int, int, bool] | None:
    """How many inputs and outputs an operator has at least and at most; if the first must be."""
    known = schema(op_type, domain, version)
    if known is None or known.deprecated:
        return None
    required = onnx.defs.OpSchema.FormalParameterOption.Single
    is_first_needed = bool(known.inputs) and known.inputs[0].option == required
    return (known.min_input, known.max_input, known.min_output, known.max_output, is_first_needed)


def _miscounted(
    node: Node, min_in: int, max_in: int, min_out: int, max_out: int, _: bool
) -> InvalidModelError:
    what, found, least, most = "inputs", len(node.inputs), min_in, max_in
    if least <= found <= most:
        what, found, least, most = "outputs", len(node.outputs), min_out, max_out
    wanted = f"{least}" if least == most else f"{least} to {most}"
    return InvalidModelError(
        f"{node!r} has {found} {what}, and {node.op_type} has {wanted}: the file is damaged"
    )


def _check_branches(node: Node) -> None:
    names = [each.name for each in node.proto.attribute if each.HasField("g")]
    if sorted(names) != ["else_branch", "then_branch"]:
        raise InvalidModelError(f"{node!r} has to have a then_branch and an else_branch")
    for body in node.subgraphs:
        if len(body.proto.output) != len(node.outputs) or body.proto.input:
            raise InvalidModelError(
                f"{node!r}: its branch {body.proto.name!r} has to have {len(node.outputs)} outputs "
                "and no input"
            )


def check_calls(main: Graph, functions: list[Graph]) -> None:
    """Raise `InvalidModelError` if the model's functions come to more nodes than can be handled.

    A function that calls itself, which ONNX forbids, is for whoever puts it in place to refuse.
    """
    if not functions:
        return
    bodies = {graph.operator: graph for graph in functions}
    calls = {
        graph: [(node.domain, node.op_type) for body in graph.nested() for node in body]
        for graph in (*functions, main)
    }
    sizes: dict[Graph, int] = {}
    stack = [main]
    entered: dict[Graph, None] = {}
    while stack:
        graph = stack[-1]
        called = [bodies[each] for each in calls[graph] if each in bodies]
        if graph not in entered:
            entered[graph] = None
            stack += [each for each in dict.fromkeys(called) if each not in entered]
            continue
        stack.pop()
        sizes[graph] = len(calls[graph]) + sum(sizes.get(each, 0) for each in called)
    if sizes[main] > max(MAX_EXPANSION, sum(map(len, calls.values()))):
        raise InvalidModelError(
            f"the calls of the model's functions come to {sizes[main]:,} nodes, and no runtime "
            f"takes more than {MAX_EXPANSION:,}"
        )
