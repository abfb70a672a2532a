"""Between TensorProto and numpy, whatever the dtype and wherever the bytes are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from onnx import (
    AttributeProto,
    ModelProto,
    SparseTensorProto,
    TensorProto,
    helper,
    numpy_helper,
)

from onnxforge.errors import ExternalDataError, InvalidModelError
from onnxforge.storage.scratch import Scratch
from onnxforge.storage.span import KEY, Span, payload

Array: TypeAlias = npt.NDArray[Any]

SCRATCH_FROM = 1 << 16
"""Bytes from which a new array goes to the scratch file instead of into memory."""

# Elements that share bytes; not every onnx has them all.
_BITS = {
    getattr(TensorProto, name): bits
    for name, bits in {
        "UINT4": 4, "INT4": 4, "FLOAT4E2M1": 4, "UINT2": 2, "INT2": 2, "FLOAT6E2M3": 6, "FLOAT6E3M2": 6,
    }.items()
    if hasattr(TensorProto, name)
}  # fmt: skip


def to_array(tensor: TensorProto, folder: Any = None) -> Array:
    """The elements of *tensor*, read-only, in its shape and its ONNX dtype.

    Types numpy lacks come as those of ml_dtypes (bfloat16, float8_*, int4, ...); strings as objects,
    str or, where they are not UTF-8, bytes.  External data is looked up in *folder*.  Large external
    and parked data is mapped, not read, except where elements share bytes.

    Raises:
        InvalidModelError: the dtype is unknown, or there is not as much data as the shape says.
        ExternalDataError: the data cannot be read from where it should be.

    """
    dtype = dtype_of(tensor)
    shape = shape_of(tensor)
    span = Span.of(tensor, folder)
    if tensor.data_type == TensorProto.STRING:
        if span or tensor.HasField("raw_data"):
            raise _mismatch(tensor, "strings cannot be raw data")
        return _strings(tensor, shape)
    if span is not None or tensor.HasField("raw_data"):
        raw = span.map() if span is not None else tensor.raw_data
        expected = _nbytes(tensor.data_type, dtype, shape)
        if len(raw) != expected:
            raise _mismatch(tensor, f"{len(raw)} bytes of data instead of {expected}")
        if tensor.data_type not in _BITS:
            # Of what may not be written to it makes what may not be.
            return np.frombuffer(raw, dtype).reshape(shape)
        inline = TensorProto(data_type=tensor.data_type, dims=tensor.dims, raw_data=bytes(raw))
    else:
        inline = tensor
    try:
        array = numpy_helper.to_array(inline)
    except (TypeError, ValueError, KeyError, OverflowError, MemoryError) as error:
        raise _mismatch(tensor, str(error)) from error
    if array.shape != shape:
        raise _mismatch(tensor, f"data of shape {array.shape}")
    array.setflags(write=False)
    return array


def from_array(array: Array, name: str, scratch: Scratch | None = None) -> TensorProto:
    """A TensorProto of *array*: raw data, packed where elements share bytes, or strings.

    From 64 KiB on the data goes to *scratch*, if there is one, and the tensor is parked there.

    Raises:
        InvalidModelError: ONNX has no such dtype.

    """
    if array.dtype.kind in "OSU":
        tensor = TensorProto(name=name, data_type=TensorProto.STRING, dims=array.shape)
        for item in array.reshape(-1).tolist():
            if not isinstance(item, str | bytes):
                kind = type(item).__name__
                raise InvalidModelError(f"tensor {name!r}: ONNX has no elements of type {kind}")
            tensor.string_data.append(item.encode() if isinstance(item, str) else item)
        return tensor
    try:
        data_type = helper.np_dtype_to_tensor_dtype(array.dtype.newbyteorder("="))
    except (KeyError, ValueError, TypeError) as error:
        raise InvalidModelError(f"tensor {name!r}: ONNX has no dtype {array.dtype}") from error
    tensor = TensorProto(name=name, data_type=data_type, dims=array.shape)
    if data_type in _BITS:
        packed = numpy_helper.from_array(np.ascontiguousarray(array)).raw_data
        content: Array = np.frombuffer(packed, np.uint8)
    else:
        content = array
    if scratch is not None and content.nbytes >= SCRATCH_FROM:
        scratch.add(content).park(tensor)
    else:
        tensor.raw_data = content.astype(content.dtype.newbyteorder("<"), copy=False).tobytes()
    return tensor


def nbytes(tensor: TensorProto) -> int:
    """How many bytes the data of *tensor* is, without reading it; for strings, their contents."""
    if tensor.data_type == TensorProto.STRING:
        return sum(map(len, tensor.string_data))
    return _nbytes(tensor.data_type, dtype_of(tensor), shape_of(tensor))


def _nbytes(data_type: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    return -(-math.prod(shape) * (_BITS.get(data_type) or dtype.itemsize * 8) // 8)


def dtype_of(tensor: TensorProto) -> np.dtype[Any]:
    """The numpy dtype of *tensor*, little-endian; InvalidModelError if ONNX has no such type."""
    try:
        return _dtype(tensor.data_type)
    except (KeyError, ValueError, TypeError):
        raise _mismatch(tensor, f"{tensor.data_type} is no data type of ONNX") from None


@cache
def _dtype(data_type: int) -> np.dtype[Any]:
    native = np.dtype(helper.tensor_dtype_to_np_dtype(data_type))
    little = native.newbyteorder("<")
    return native if native == little else little


def shape_of(tensor: TensorProto) -> tuple[int, ...]:
    """The shape of *tensor*; InvalidModelError if a dimension is negative."""
    shape = tuple(tensor.dims[:])  # element by element takes twice as long
    if shape and min(shape) < 0:
        raise _mismatch(tensor, "a dimension is negative")
    return shape


def tensors(model: ModelProto, *, initializers: bool = False) -> Iterator[TensorProto]:
    """Every tensor of *model*, in an order that depends on the model alone.

    With *initializers*, only those of its graphs and subgraphs, not the attributes and the parts of
    sparse tensors: what every runtime accepts external data for.
    """
    graphs = [model.graph]
    for training in model.training_info:
        graphs += training.initialization, training.algorithm
    attributes: list[Iterable[AttributeProto]] = []
    for function in model.functions:
        attributes.append(function.attribute_proto)
        attributes.append(each for node in function.node for each in node.attribute)
    # Lists of what is left to visit instead of recursion: nesting costs no stack.
    while graphs or attributes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            if not initializers:
                yield from _parts(graph.sparse_initializer)
            attributes.append(each for node in graph.node for each in node.attribute)
        for attribute in attributes.pop() if attributes else ():
            if attribute.HasField("g"):
                graphs.append(attribute.g)
            graphs += attribute.graphs
            if not initializers:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors
                if attribute.HasField("sparse_tensor"):
                    yield from _parts([attribute.sparse_tensor])
                yield from _parts(attribute.sparse_tensors)


def model_nbytes(model: ModelProto) -> int:
    """How many bytes *model* is, its payloads included, wherever they are.

    What does not say how large it is counts nothing: who reads it will complain.
    """
    graph = model.SerializeToString()
    size = len(graph)
    for tensor in externals(model, graph):
        with suppress(InvalidModelError, ExternalDataError):
            size += payload(tensor) - sum(entry.ByteSize() for entry in tensor.external_data)
    return size


def externals(model: ModelProto, graph: bytes) -> Iterator[TensorProto]:
    """The tensors of *model*, which serializes to *graph*, that have their data elsewhere.

    Looking through all tensors and attributes is dear, and stops where no location is left.
    """
    left = graph.count(KEY)
    for tensor in tensors(model):
        if not left:
            return
        if tensor.data_location == TensorProto.EXTERNAL:
            left -= tensor.SerializeToString().count(KEY)
            yield tensor


def _parts(sparse: Iterable[SparseTensorProto]) -> Iterator[TensorProto]:
    for tensor in sparse:
        yield from (tensor.values, tensor.indices)


def _strings(tensor: TensorProto, shape: tuple[int, ...]) -> Array:
    if len(tensor.string_data) != math.prod(shape):
        raise _mismatch(tensor, f"{len(tensor.string_data)} strings")
    array = np.empty(len(tensor.string_data), object)
    for index, item in enumerate(tensor.string_data):
        try:
            array[index] = item.decode()
        except UnicodeDecodeError:
            array[index] = item
    array = array.reshape(shape)
    array.setflags(write=False)
    return array


def _mismatch(tensor: TensorProto, why: str) -> InvalidModelError:
    shape = "x".join(map(str, tensor.dims)) or "scalar"
    return InvalidModelError(f"tensor {tensor.name!r} ({shape}): {why}")
