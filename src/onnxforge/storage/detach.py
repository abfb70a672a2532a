"""Handing a model to a runtime without copying its weights."""

from __future__ import annotations

from pathlib import Path

from onnx import ModelProto, TensorProto

from onnxforge.storage.save import parse, serialize
from onnxforge.storage.span import Span, location_of
from onnxforge.storage.tensors import Array, dtype_of, to_array
from onnxforge.storage.wire import splice

_ELSEWHERE = "detached"


def detach(
    proto: ModelProto, folder: Path | str | None = None
) -> tuple[ModelProto, dict[str, Array]]:
    """A copy of *proto* and, by name, the data of the initializers that it lacks, not read yet.

    The copy says of those that they are external; ONNX Runtime takes the arrays by
    ``SessionOptions.add_external_initializers``.  They are the initializers of the main graph whose
    data is in a file and whose dtype is numpy's own; all other payloads are inline in the copy.

    Raises:
        InvalidModelError: an array's data disagrees with its shape, or the rest exceeds 2 GiB.
        ExternalDataError: data the model refers to is gone.

    """
    copy = ModelProto()
    copy.CopyFrom(proto)
    arrays: dict[str, Array] = {}
    for tensor in copy.graph.initializer:
        span = Span.of(tensor, folder)
        # The dtypes of ml_dtypes are of no kind numpy knows, and no runtime takes them so.
        if span and span.length and tensor.name not in arrays and dtype_of(tensor).isbuiltin == 1:
            arrays[tensor.name] = to_array(tensor, folder)
            Span(_ELSEWHERE, 0, span.length).park(tensor)

    def resolve(tensor: TensorProto) -> Span | None:
        return None if location_of(tensor) == _ELSEWHERE else Span.of(tensor, folder)

    pieces = splice(serialize(copy), resolve)
    if any(isinstance(piece, Span) for piece in pieces):
        copy = parse(pieces)
    return copy, arrays
