"""Fixing dynamic dimensions, which is the one change of interface a user may ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from onnx import GraphProto, TensorShapeProto, ValueInfoProto

from onnxforge.errors import OnnxForgeError
from onnxforge.ir import Model
from onnxforge.shapes.dims import MAX_SIZE

_SIZES = f"sizes are from 1 to {MAX_SIZE}"


def fix_shapes(
    model: Model,
    dims: Mapping[str, int] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
) -> int:
    """Give dynamic dimensions of the interface fixed sizes; return how many named ones were.

    *dims* are sizes by the names of symbolic dimensions, which are fixed wherever they occur;
    *input_shapes* are whole shapes by the names of inputs.  Everything else in the model stays as
    it is: what follows from the sizes is for the passes to find.

    Raises `OnnxForgeError` if there is no such dimension or input, if an input is no tensor, if a
    size is not positive or too large for ONNX, or if the model says another one already.
    """
    proto = model.commit().graph
    wanted = dict(dims or {})
    inputs = {info.name: info for info in proto.input}
    for name, shape in (input_shapes or {}).items():
        if name not in inputs:
            known = ", ".join(inputs) or "none"
            raise OnnxForgeError(f"there is no input {name!r}; the model's inputs: {known}")
        wanted |= _fix_input(inputs[name], shape, wanted)
    symbols = {dim.dim_param for dim in _dimensions(proto) if dim.dim_param}
    for name, size in wanted.items():
        if not 0 < size <= MAX_SIZE:
            raise OnnxForgeError(f"dimension {name!r} cannot be {size}: {_SIZES}")
        if name not in symbols and name in (dims or {}):
            known = ", ".join(sorted(symbols)) or "none"
            raise OnnxForgeError(f"there is no dimension {name!r}; the symbolic ones: {known}")
    fixed = 0
    for dim in _dimensions(proto):
        if dim.dim_param in wanted:
            dim.dim_value = wanted[dim.dim_param]
            fixed += 1
    model.edits += 1
    return fixed


def _fix_input(
    info: ValueInfoProto, shape: Sequence[int], wanted: Mapping[str, int]
) -> dict[str, int]:
    """Fix the nameless dimensions of an input; the sizes of its named ones."""
    if info.type.WhichOneof("value") != "tensor_type":
        raise OnnxForgeError(f"input {info.name!r} is no tensor, and has no sizes to fix")
    found: dict[str, int] = {}
    declared = info.type.tensor_type.shape.dim
    if not info.type.tensor_type.HasField("shape"):
        declared.extend(TensorShapeProto.Dimension() for _ in shape)
    if len(declared) != len(shape):
        raise OnnxForgeError(
            f"input {info.name!r} has {len(declared)} dimensions, and {len(shape)} sizes are given"
        )
    for axis, (dim, size) in enumerate(zip(declared, shape, strict=True)):
        # Some exporters write -1 for a size that is open.
        known = dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else None
        if dim.dim_param:
            known = found.setdefault(dim.dim_param, wanted.get(dim.dim_param, size))
        if known not in (None, size):
            raise OnnxForgeError(f"dimension {axis} of input {info.name!r} is {known}, not {size}")
        if not 0 < size <= MAX_SIZE:
            raise OnnxForgeError(
                f"dimension {axis} of input {info.name!r} cannot be {size}: {_SIZES}"
            )
        if not dim.dim_param:
            dim.dim_value = size
    return found


def _dimensions(graph: GraphProto) -> Iterator[TensorShapeProto.Dimension]:
    """The declared dimensions of inputs, outputs and recorded values."""
    for info in (*graph.input, *graph.output, *graph.value_info):
        if info.type.HasField("tensor_type"):
            yield from info.type.tensor_type.shape.dim
