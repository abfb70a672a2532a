"""Raising the opset of a whole model: the graph, what is inside it, and its functions.

ONNX's own converter leaves out bodies and functions, loses metadata, and needs the weights in
memory.  Here every node that means the same in the new opset stays byte for byte as it is, and each
other one is written anew, as `adapters` says, or is a reason to refuse.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import FunctionProto, ModelProto, helper

from onnxforge.builder import Builder
from onnxforge.errors import OpsetError
from onnxforge.ir import Graph, Model, Value
from onnxforge.ir.operators import domain_of
from onnxforge.opset.adapters import ADAPTERS, Call, history, wider


def raise_opset(model: Model, version: int) -> int:
    """Bring *model* to *version* of ONNX's own operators; return how many nodes had to change.

    Those of bodies and functions too; other domains stay as they are.  The version of the file
    format rises where the opset needs it.

    Raises `OpsetError`, and leaves the model as it was, if ONNX here does not know *version*, if
    the model is of a later one, or if a node has no counterpart there.
    """
    present = model.opset_imports.get("", 0)
    newest = onnx.defs.onnx_opset_version()
    if not 1 <= version <= newest:
        raise OpsetError(
            f"opset {version} is not known: ONNX {onnx.__version__} has up to {newest}"
        )
    if present > version:
        raise OpsetError(
            f"the model is of opset {present}, and an opset can only be raised, not lowered to {version}"
        )
    roots = [
        root
        for root in (model.graph, *model.functions)
        if 0 < root.opset_imports.get("", 0) < version
    ]
    calls = [call for root in roots for graph in root.nested() for call in _adapted(graph, version)]
    for root in roots:
        _import(root, version)
    _raise_ir_version(model.proto)
    model.edits += bool(roots)
    for call in calls:
        _write(call)
    model.infer_anew()
    return len(calls)


def _adapted(graph: Graph, version: int) -> Iterator[Call]:
    """The calls to be made in *version* in place of those nodes of *graph* that change by it."""
    present = graph.opset_imports[""]
    for node in graph:
        if node.domain or not _steps(node.op_type, present, version):
            continue
        call = Call.of(node, version)
        for adapter in _adapters(call, present, version):
            adapter(call)
        if call.is_changed:
            yield call


def _steps(op_type: str, present: int, version: int) -> tuple[int, ...]:
    """The versions of an operator after that of opset *present*, up to that of *version*."""
    versions = history().get(op_type, ())
    return versions[bisect_right(versions, present) : bisect_right(versions, version)]


def _adapters(call: Call, present: int, version: int) -> Iterator[Any]:
    """The adapters that a call has to go through, each asked for after the one before has run."""
    while steps := _steps(call.op_type, present, version):
        if history()[call.op_type][0] > present:
            raise call.error(f"ONNX has no {call.op_type} before opset {steps[0]}: whose is it?")
        present = steps[0]
        adapter = ADAPTERS.get((call.op_type, present))
        if adapter is not None:
            yield adapter
        elif present not in wider().get(call.op_type, ()):
            raise call.error(
                f"what became of {call.op_type} in opset {present} is not known here; "
                f"opset {present - 1} would do"
            )


def _import(root: Graph, version: int) -> None:
    for entry in root.model.proto.opset_import if root.operator is None else _imports(root):
        if domain_of(entry.domain) == "":
            entry.version = version
    root.opset_imports[""] = version
    root.touch()


def _imports(function: Graph) -> Any:
    assert isinstance(function.proto, FunctionProto)
    return function.proto.opset_import


def _raise_ir_version(proto: ModelProto) -> None:
    """Let the file format be at least that which came with the opset.

    A model that lists weights among its inputs, as it had to before version 4, stays below: from
    there on callers could override them, and runtimes would take them for no constants.
    """
    if proto.ir_version < 4 and proto.graph.input and _lists_weights(proto):
        return
    known = [e for e in proto.opset_import if e.domain in ("", "ai.onnx")]
    least = helper.find_min_ir_version_for(known, ignore_unknown=True)
    proto.ir_version = max(proto.ir_version, least)


def _lists_weights(proto: ModelProto) -> bool:
    weights = {tensor.name for tensor in proto.graph.initializer}
    return any(info.name in weights for info in proto.graph.input)


def _write(call: Call) -> None:
    """Put a call in the place of the node it was made of."""
    node = call.node
    graph = node.graph
    assert graph is not None
    op = Builder(graph, before=node)
    # What it read may have been written anew meanwhile.
    reads = dict(zip(call.reads, node.inputs, strict=True))
    inputs = [
        op.constant(each) if isinstance(each, np.ndarray) else reads.get(each)
        for each in call.inputs
    ]
    flat, shape = inputs, None
    if call.flattened is not None:
        shape = op.Shape(inputs[0])
        flat = [op.Flatten(inputs[0], axis=call.flattened), *inputs[1:]]
    gone = {attribute.name: None for attribute in node.proto.attribute}
    count = max((i for i, output in enumerate(node.outputs, 1) if output.name), default=1)
    made: list[Value] = list(
        graph.add_node(
            call.op_type, flat, outputs=count, before=node, like=node, **(gone | call.attributes)
        ).outputs
    )
    if shape is not None:
        # Without it a size of 0 would stand for that of the matrix.
        copies = {"allowzero": 1} if call.target >= 14 else {}
        made = [op.Reshape(made[0], shape, **copies)]
    for old, new in zip(node.outputs, made, strict=False):
        if old.name:
            graph.replace(old, new)
