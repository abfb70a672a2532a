"""Models as others hold them: onnx_ir, torch's exporter, ONNX GraphSurgeon.

None of those libraries is imported unless the caller already uses it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from onnx import ModelProto, TensorProto

from onnxforge import storage
from onnxforge.ir import Model

if TYPE_CHECKING:
    import onnx_ir

Source: TypeAlias = str | os.PathLike[str] | bytes | ModelProto | Model | Any
"""What `as_model` takes; `Any` stands for the classes of libraries that need not be there."""

_PARK_FROM = 1 << 30
"""Bytes of payload from which a model no longer fits into one protobuf with some to spare."""
_LARGE = 1 << 16


def as_model(source: Source) -> Model:
    """The model that *source* is; a `Model` is returned itself, a `ModelProto` is not copied.

    *source* is a path, serialized bytes, a `ModelProto`, a `Model`, an `onnx_ir.Model`, a
    `torch.onnx.ONNXProgram` or an `onnx_graphsurgeon.Graph`.  Raises `TypeError` for anything else,
    `InvalidModelError` if it is no model, `OSError` if a file cannot be read.
    """
    if isinstance(source, Model):
        return source
    if isinstance(source, ModelProto):
        return Model(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return Model.from_bytes(bytes(source))
    if isinstance(source, str | os.PathLike):
        return Model.load(source)
    if _is_a(source, "ONNXProgram", "torch"):
        return from_ir(source.model)
    if _is_a(source, "Model", "onnx_ir", "onnxscript"):
        return from_ir(source)
    if _is_a(source, "Graph", "onnx_graphsurgeon"):
        from onnx_graphsurgeon import export_onnx

        return Model(export_onnx(source))
    hint = ""
    if _is_a(source, "Module", "torch") or _is_a(source, "ExportedProgram", "torch"):
        hint = "; export it first: torch.onnx.export(model, args, dynamo=True)"
    raise TypeError(f"a {type(source).__qualname__} is no ONNX model{hint}")


def from_ir(source: onnx_ir.Model) -> Model:
    """The model that an `onnx_ir.Model` is; data that it has in files stays there."""
    import onnx_ir

    proto = onnx_ir.to_proto(source)
    files = {}
    for graph in (source.graph, *source.graph.subgraphs()):
        for value in graph.initializers.values():
            tensor = value.const_value
            if isinstance(tensor, onnx_ir.ExternalTensor):
                files[tensor.name, os.fspath(tensor.location)] = tensor
    for target in storage.tensors(proto, initializers=True) if files else ():
        if not storage.is_external(target):
            continue
        location = next(entry.value for entry in target.external_data if entry.key == "location")
        if (known := files.get((target.name, location))) is not None:
            path = Path(known.path).resolve()
            storage.Span(str(path), known.offset or 0, storage.nbytes(target)).park(target)
    return park(Model(proto))


def to_ir(model: Model) -> onnx_ir.Model:
    """An `onnx_ir.Model` of its own; large weights on disk are mapped, not read.

    Raises `ExternalDataError` if data the model refers to is gone.
    """
    import onnx_ir

    skeleton, arrays = storage.detach(model.commit(), model.folder)
    result = onnx_ir.from_proto(skeleton)
    for name, array in arrays.items():
        result.graph.initializers[name].const_value = onnx_ir.Tensor(array, name=name)
    return result


def park(model: Model) -> Model:
    """*model*, with large payloads moved to its scratch file if they are too much for protobuf."""
    large = [
        tensor
        for tensor in storage.tensors(model.proto)
        if tensor.HasField("raw_data") and storage.nbytes(tensor) >= _LARGE
    ]
    if sum(map(storage.nbytes, large)) >= _PARK_FROM:
        for tensor in large:
            model.scratch.add(np.frombuffer(tensor.raw_data, np.uint8)).park(tensor)
    return model


def unpark(proto: ModelProto) -> None:
    """Put all that was parked on disk back into *proto*, which then stands alone."""
    for tensor in storage.tensors(proto):
        if storage.is_parked(tensor) and (span := storage.Span.of(tensor)) is not None:
            data = span.map().tobytes()
            del tensor.external_data[:]
            tensor.data_location = TensorProto.DEFAULT
            tensor.ClearField("data_location")
            tensor.raw_data = data


def _is_a(source: object, name: str, *packages: str) -> bool:
    """Whether *source* is of a class of that name, or one derived from it."""
    return any(
        each.__name__ == name and each.__module__.partition(".")[0] in packages
        for each in type(source).__mro__
    )
