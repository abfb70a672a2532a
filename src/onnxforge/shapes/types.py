"""TypeProtos, read and written as plain data."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from typing import Any

from onnx import TensorProto, TypeProto

from onnxforge.shapes.dims import Dim, DimLike, Known, Shape, broadcast, dim, maximum

# Marks a dim_param that holds an expression, not a name; no text format can produce it, and
# `infer_model` drops it from what was read from a file.
EXPRESSION = "\0"


def shape_of(type: TypeProto | None, minimums: Mapping[str, int] | None = None) -> Shape | None:
    """The shape of a dense or sparse tensor, or None where the rank is unknown.

    A `dim_param` becomes the symbol of its name, with that of the *minimums*, so the type must come from where equal names
    mean equal sizes: declared graph inputs, or what `infer_model` and `infer_node` answer.
    """
    tensor = _tensor(type)
    if tensor is None or not tensor.HasField("shape"):
        return None
    return tuple([_size(entry, minimums or {}) for entry in tensor.shape.dim])


def dtype_of(type: TypeProto | None) -> int | None:
    """The element type of a tensor as a `TensorProto.DataType`, or None where unknown."""
    tensor = _tensor(type)
    return (tensor.elem_type or None) if tensor is not None else None


def tensor_type(
    elem_type: int | None, shape: Sequence[DimLike] | None, *, readable: bool = False
) -> TypeProto:
    """The tensor type of these elements and sizes, either of them None where unknown.

    `shape_of` gives the very same sizes back if it is told the minimums, but for those that have
    no name.  For a model that people read, *readable* writes
    an expression such as `2*N` as a `dim_param` of that text, which then is a mere name.
    """
    type = TypeProto()
    tensor = type.tensor_type
    tensor.elem_type = elem_type or TensorProto.UNDEFINED
    if shape is not None:
        tensor.shape.SetInParent()
        for size in shape:
            entry = tensor.shape.dim.add()
            if isinstance(size, int):
                entry.dim_value = size
            elif isinstance(size, Dim) and size.is_named:
                entry.dim_param = str(size) if readable else _text(size)
    return type


def contradicts(recorded: TypeProto, inferred: TypeProto) -> bool:
    """Whether no value can have both types.

    Unknown parts and symbols fit anything: only different kinds, element types, ranks and
    numbers contradict.
    """
    kinds = recorded.WhichOneof("value"), inferred.WhichOneof("value")
    if None in kinds:
        return False
    if kinds[0] != kinds[1]:
        return True
    if kinds[0] == "sequence_type":
        return contradicts(recorded.sequence_type.elem_type, inferred.sequence_type.elem_type)
    if kinds[0] == "optional_type":
        return contradicts(recorded.optional_type.elem_type, inferred.optional_type.elem_type)
    if kinds[0] == "map_type":
        keys = recorded.map_type.key_type, inferred.map_type.key_type
        return (0 not in keys and keys[0] != keys[1]) or contradicts(
            recorded.map_type.value_type, inferred.map_type.value_type
        )
    dtypes = dtype_of(recorded), dtype_of(inferred)
    if None not in dtypes and dtypes[0] != dtypes[1]:
        return True
    left, right = _tensor(recorded), _tensor(inferred)
    if not (left and right and left.HasField("shape") and right.HasField("shape")):
        return False
    if len(left.shape.dim) != len(right.shape.dim):
        return True
    return any(
        a.HasField("dim_value") and b.HasField("dim_value") and a.dim_value != b.dim_value
        for a, b in zip(left.shape.dim, right.shape.dim, strict=True)
    )


def symbols_of(type: TypeProto) -> list[str]:
    """The dim_params of a type, of its elements too."""
    shape = _shape_field(type)
    return [entry.dim_param for entry in shape.dim if entry.dim_param] if shape is not None else []


def cleaned(type: TypeProto, symbols: Container[str]) -> TypeProto:
    """The type with only these symbols; any other name, and negative sizes, become unknown."""
    shape = _shape_field(type)
    if shape is not None:
        for entry in shape.dim:
            if (entry.dim_param and entry.dim_param not in symbols) or entry.dim_value < 0:
                entry.Clear()
    return type


def _tensor(type: TypeProto | None) -> TypeProto.Tensor | TypeProto.SparseTensor | None:
    kind = type.WhichOneof("value") if type is not None else None
    if type is not None and kind == "tensor_type":
        return type.tensor_type
    return type.sparse_tensor_type if type is not None and kind == "sparse_tensor_type" else None


def _size(entry: Any, minimums: Mapping[str, int]) -> DimLike:
    kind = entry.WhichOneof("value")
    if kind == "dim_value":
        # Some exporters write -1 for an unknown size.
        return int(entry.dim_value) if entry.dim_value >= 0 else None
    if kind is None or not entry.dim_param:
        return None
    name: str = entry.dim_param
    return (
        _decode(json.loads(name[1:]))
        if name.startswith(EXPRESSION)
        else dim(name, minimums.get(name, 0))
    )


def _text(size: Dim) -> str:
    ((monomial, number), *more) = size.terms
    if number == len(monomial) == 1 and not more:
        atom = monomial[0]
        if atom.kind == "symbol":
            return atom.name
    return EXPRESSION + json.dumps(_encode(size), separators=(",", ":"))


def _encode(size: Known) -> Any:
    if isinstance(size, int):
        return size
    return [
        [number]
        + [
            [a.kind, a.name, a.minimum] if a.kind == "symbol" else [a.kind, *map(_encode, a.args)]
            for a in monomial
        ]
        for monomial, number in size.terms
    ]


def _decode(data: Any) -> Known:
    if isinstance(data, int):
        return data
    result: Known = 0
    for number, *atoms in data:
        product: Known = number
        for kind, *rest in atoms:
            if kind == "symbol":
                product = product * dim(*rest)
            elif kind in ("max", "broadcast"):
                combine = maximum if kind == "max" else broadcast
                product = product * combine(map(_decode, rest))
            else:
                product = product * (_decode(rest[0]) // _decode(rest[1]))
        result = result + product
    return result


def _shape_field(type: TypeProto) -> Any:
    kind = type.WhichOneof("value")
    while kind in ("sequence_type", "optional_type"):
        type = getattr(type, kind).elem_type
        kind = type.WhichOneof("value")
    if kind not in ("tensor_type", "sparse_tensor_type"):
        return None
    tensor = getattr(type, kind)
    return tensor.shape if tensor.HasField("shape") else None
