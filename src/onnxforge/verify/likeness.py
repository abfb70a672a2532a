"""What makes two edits alike, so that what is found of one is evidence for the other."""

from __future__ import annotations

import hashlib

from onnxforge import storage
from onnxforge.extract import between, reads
from onnxforge.ir import Node, Value
from onnxforge.shapes import Dim, DimLike, is_named

from .region import Starts

_FEW = 16
"""Elements of constants that say what a node does, as axes do, and are no weights."""


def likeness(old: Value, new: Value, starts: Starts) -> bytes:
    """The same for two edits whose regions differ in names and in the data of weights alone.

    Operators, attributes, types of what the region starts from, small constants, and how all of
    it is connected have to agree.
    """
    nodes, ends = between((old, new), starts)
    numbers: dict[Value, str] = {}
    unnamed: dict[DimLike, int] = {}
    parts: list[object] = []
    for index, start in enumerate(ends):
        numbers[start] = f"start {index}"
        elements = start.contents.elements if start.contents is not None else ()
        parts.append(
            (
                start.dtype,
                None if start.shape is None else [_size(s, unnamed) for s in start.shape],
                [_size(element, unnamed) for element in elements],
            )
        )
    for index, node in enumerate(nodes):
        inner = [numbers.get(value) or _constant(value) for value in reads(node)]
        inputs = [value and (numbers.get(value) or _constant(value)) for value in node.inputs]
        parts.append((node.domain, node.op_type, _attributes(node), inputs, inner))
        for place, output in enumerate(node.outputs):
            numbers.setdefault(output, f"node {index} {place}")
    parts += [numbers.get(value) or _constant(value) for value in (old, new)]
    return hashlib.sha256(repr(parts).encode()).digest()


def weights(old: Value, new: Value, starts: Starts) -> bytes:
    """The same for two edits that are alike if the data of their constants is the same, too."""
    digest = hashlib.sha256()
    inner = (v for node in between((old, new), starts)[0] for v in (*reads(node), *node.outputs))
    for value in (old, new, *inner):
        if value.is_constant:
            array = value.numpy()
            digest.update(
                repr(array.tolist()).encode() if array.dtype == object else array.tobytes()
            )
    return digest.digest()


def _size(size: DimLike, unnamed: dict[DimLike, int]) -> str:
    """A size as it is written; those without a name are told apart in the order they come."""
    if not isinstance(size, Dim) or is_named(size):
        return str(size)
    return f"?{unnamed.setdefault(size, len(unnamed))}"


def _constant(value: Value) -> str:
    tensor = value.tensor
    if tensor is None or not value.is_constant:
        return f"constant {value.contents} {value.dtype} {value.shape}"
    text = f"constant {tensor.data_type} {list(tensor.dims)}"
    if storage.is_external(tensor) or any(size > _FEW for size in tensor.dims):
        return text
    array = value.numpy()
    return f"{text} {array.tobytes().hex()}" if array.size <= _FEW else text


def _attributes(node: Node) -> list[bytes]:
    if node.op_type == "Constant" and not node.domain:
        return [_constant(node.output).encode()]
    return sorted(each.SerializeToString(deterministic=True) for each in node.proto.attribute)
