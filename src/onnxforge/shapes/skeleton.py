"""What ONNX's inference sees of a model: all but its weights, and what the file records of types."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    OperatorSetIdProto,
    TensorProto,
    ValueInfoProto,
    defs,
    numpy_helper,
)

from onnxforge.shapes.types import cleaned
from onnxforge.shapes.withheld import constants_of, misleads, withhold

GraphPath: TypeAlias = tuple[tuple[int, str, int], ...]
"""The way to a nested graph: at each level the index of the node, the attribute's name, and the
index in `graphs` (0 in `g`)."""
Ways: TypeAlias = dict[GraphPath, list[tuple[int, str, int]]]
"""The rest of the way from each graph to the bodies of its nodes."""

MAX_DATA = 1024
"""Bytes of the largest tensor whose contents inference may look at."""
MAX_OWNERS = 512
"""Nodes with bodies of one graph that ONNX is asked about with the rest of the model."""
MAX_NESTING = 64
"""Graphs nested deeper are left out: hostile, or broken."""
HEAVY = frozenset({
    AttributeProto.TENSOR, AttributeProto.TENSORS, AttributeProto.SPARSE_TENSOR,
    AttributeProto.SPARSE_TENSORS, AttributeProto.GRAPH, AttributeProto.GRAPHS,
    AttributeProto.TYPE_PROTO, AttributeProto.TYPE_PROTOS,
})  # fmt: skip
"""Attributes that may hold weights, or claims about types."""
BODIES = frozenset({AttributeProto.GRAPH, AttributeProto.GRAPHS})
"""Attributes that hold graphs."""


def skeleton_of(proto: ModelProto, folder: Path | None) -> tuple[ModelProto, Ways]:
    """A copy of a model without weights and recorded types, and the bodies there are in it.

    Weights of up to `MAX_DATA` bytes are there; *folder* is where the relative locations of
    external data start.  Of more than `MAX_OWNERS` nodes with bodies there are none.
    """
    ways: Ways = {}
    skeleton = ModelProto(ir_version=max(proto.ir_version, 4))
    skeleton.opset_import.extend(proto.opset_import)
    for function in proto.functions:
        copy = skeleton.functions.add(
            name=function.name, domain=function.domain, overload=function.overload
        )
        copy.input.extend(function.input)
        copy.output.extend(function.output)
        copy.attribute.extend(function.attribute)
        copy.attribute_proto.extend(function.attribute_proto)
        copy.opset_import.extend(function.opset_import)
        _copy_nodes(function.node, copy, folder, _version(function.opset_import), (), {})
    graph = skeleton.graph
    graph.name = proto.graph.name or "graph"
    for value in proto.graph.input:
        graph.input.add(name=value.name).type.CopyFrom(value.type)
    declared = {value.name for value in proto.graph.input}
    for tensor in proto.graph.initializer:
        if tensor.name in declared:
            # From IR version 4 on, an initializer of an input's name is but its default.
            if proto.ir_version < 4 and (small := _small(tensor, folder)) is not None:
                graph.initializer.append(small)
        elif (small := _small(tensor, folder)) is not None:
            graph.initializer.append(small)
        else:
            # As an input it has a type, and contents nobody will ask for.
            declare(graph, tensor.name, tensor.data_type, tensor.dims)
    for sparse in proto.graph.sparse_initializer:
        if sparse.values.name not in declared:
            type = graph.input.add(name=sparse.values.name).type.sparse_tensor_type
            type.elem_type = sparse.values.data_type
            type.shape.SetInParent()
            for size in sparse.dims:
                type.shape.dim.add(dim_value=size)
    graph.output.extend(ValueInfoProto(name=value.name) for value in proto.graph.output)
    _copy_nodes(proto.graph.node, graph, folder, _version(proto.opset_import), (), ways)
    imported = {opset.domain for opset in skeleton.opset_import}
    for domain in dict.fromkeys([node.domain for node in graph.node]):
        if domain not in imported and domain != "ai.onnx":
            # One operator of a domain nobody imported would end the whole inference.
            skeleton.opset_import.add(domain=domain, version=1)
    _leave_out_owners(graph, ways)
    return skeleton, ways


def _version(opset_imports: Iterable[OperatorSetIdProto]) -> int:
    return next((each.version for each in opset_imports if each.domain in ("", "ai.onnx")), 1)


def _leave_out_owners(graph: GraphProto, ways: Ways) -> None:
    """Leave out nodes with bodies if there are very many: ONNX copies all types for each body."""
    owners = {index for index, _, _ in ways[()]}
    if len(owners) > MAX_OWNERS:
        kept = GraphProto()
        kept.node.extend(node for index, node in enumerate(graph.node) if index not in owners)
        graph.ClearField("node")
        graph.node.extend(kept.node)
        ways[()] = []


def _copy_nodes(
    nodes: Any,
    holder: GraphProto | FunctionProto,
    folder: Path | None,
    version: int,
    path: GraphPath,
    ways: Ways,
) -> None:
    """Copy nodes without weights, and note in *ways* the bodies they have."""
    copies = holder.node
    ways[path] = []
    plain: list[NodeProto] = []
    others, misled = [], []
    for index, node in enumerate(nodes):
        is_plain, is_misled = _kind(node.op_type, node.domain)
        if is_misled:
            misled.append(index)
        if not is_plain:
            others.append(index)
        if is_plain or all(map(_is_light, node.attribute)):
            plain.append(node)
            continue
        copies.extend(plain)
        plain.clear()
        copy = copies.add(name=node.name, op_type=node.op_type, domain=node.domain)
        copy.overload = node.overload
        copy.input.extend(node.input)
        copy.output.extend(node.output)
        for attribute in node.attribute:
            if attribute.type in BODIES and not attribute.ref_attr_name:
                _copy_bodies(attribute, copy, folder, version, (path, index), ways)
            else:
                _copy_attribute(attribute, copy, folder)
    copies.extend(plain)
    if misled:
        known: dict[str, TensorProto | AttributeProto] = constants_of(
            copies[index] for index in others
        )
        if isinstance(holder, GraphProto):
            known |= {tensor.name: tensor for tensor in holder.initializer}
        for index in misled:
            withhold(copies[index], version, known)


@lru_cache(None)
def _kind(op_type: str, domain: str) -> tuple[bool, bool]:
    """Whether nodes of an operator have nothing that may not be copied, and `misleads`."""
    is_misled = misleads(NodeProto(op_type=op_type, domain=domain))
    if not defs.has(op_type, domain):
        return False, is_misled
    declared: Any = defs.get_schema(op_type, domain).attributes.values()
    return HEAVY.isdisjoint(each.type.value for each in declared), is_misled


def _is_light(attribute: AttributeProto) -> bool:
    """Whether an attribute is copied as it is."""
    if attribute.type == AttributeProto.TENSOR and not attribute.ref_attr_name:
        return _is_at_hand(attribute.t)
    return attribute.type not in HEAVY


def _copy_attribute(attribute: AttributeProto, node: NodeProto, folder: Path | None) -> None:
    kind = attribute.type
    if _is_light(attribute) or attribute.ref_attr_name:
        node.attribute.append(attribute)
    elif kind == AttributeProto.TENSOR:
        tensor = _small(attribute.t, folder)
        copy = node.attribute.add(name=attribute.name, type=kind)
        if tensor is not None:
            copy.t.CopyFrom(tensor)
        else:
            # Type and dims are all that inference asks of a large Constant.
            copy.t.data_type = attribute.t.data_type
            copy.t.dims.extend(attribute.t.dims)
    elif kind == AttributeProto.SPARSE_TENSOR:
        copy = node.attribute.add(name=attribute.name, type=kind)
        copy.sparse_tensor.dims.extend(attribute.sparse_tensor.dims)
        copy.sparse_tensor.values.data_type = attribute.sparse_tensor.values.data_type
        copy.sparse_tensor.values.dims.extend(attribute.sparse_tensor.values.dims)
    elif kind == AttributeProto.TYPE_PROTO:
        copy = node.attribute.add(name=attribute.name, type=kind)
        copy.tp.CopyFrom(attribute.tp)
        cleaned(copy.tp, ())


def _copy_bodies(
    attribute: AttributeProto,
    node: NodeProto,
    folder: Path | None,
    version: int,
    place: tuple[GraphPath, int],
    ways: Ways,
) -> None:
    """Copy nested graphs, whose inputs and outputs get their types from the node around them."""
    path, index = place
    if len(path) >= MAX_NESTING:
        return
    if any(each.name == attribute.name for each in node.attribute):
        return  # given twice
    copy = node.attribute.add(name=attribute.name, type=attribute.type)
    is_one = attribute.type == AttributeProto.GRAPH
    for number, graph in enumerate([attribute.g] if is_one else attribute.graphs):
        way = (index, attribute.name, number)
        ways[path].append(way)
        body = copy.g if is_one else copy.graphs.add()
        body.name = graph.name or "body"
        body.input.extend(ValueInfoProto(name=value.name) for value in graph.input)
        body.output.extend(ValueInfoProto(name=value.name) for value in graph.output)
        for tensor in graph.initializer:
            small = _small(tensor, folder)
            if small is None:
                # Without contents: an operator that asks for them finds none, and knows nothing.
                small = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
                small.data_location = TensorProto.EXTERNAL
            body.initializer.append(small)
        _copy_nodes(graph.node, body, folder, version, (*path, way), ways)


def declare(graph: GraphProto, name: str, dtype: int, dims: Any) -> None:
    """Add an input of that type to a graph."""
    type = graph.input.add(name=name).type.tensor_type
    type.elem_type = dtype
    type.shape.SetInParent()
    for size in dims:
        type.shape.dim.add(dim_value=size)


def _small(tensor: TensorProto, folder: Path | None) -> TensorProto | None:
    """The tensor with its contents at hand, or None where it is too large to be looked at."""
    if _is_at_hand(tensor):
        return tensor
    if tensor.data_location != TensorProto.EXTERNAL:
        return None
    itemsize = np.dtype(_numpy_dtype(tensor.data_type)).itemsize
    if not 0 <= prod(tensor.dims) * itemsize <= MAX_DATA:
        return None
    from onnxforge.storage.tensors import (
        to_array,
    )  # storage is needed only where weights are elsewhere

    try:
        return numpy_helper.from_array(to_array(tensor, folder), tensor.name)
    except Exception:  # noqa: BLE001 - whoever reads the weights complains about a missing file
        return None


def _is_at_hand(tensor: TensorProto) -> bool:
    """Whether the contents of a tensor are in it, and few."""
    if tensor.data_location == TensorProto.EXTERNAL or not 0 <= prod(tensor.dims) <= MAX_DATA:
        return False
    nbytes: int = tensor.ByteSize()
    return nbytes <= 4 * MAX_DATA


def _numpy_dtype(data_type: int) -> Any:
    from onnx.helper import tensor_dtype_to_np_dtype

    try:
        return tensor_dtype_to_np_dtype(data_type)
    except (KeyError, TypeError, ValueError):
        return np.dtype("V65536")
