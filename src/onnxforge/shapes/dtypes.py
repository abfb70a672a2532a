"""Output dtypes, as the schema of an operator ties them to those of its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from onnx import TensorProto, defs

from onnxforge.shapes.call import KnownInput

_DTYPES = {f"tensor({name.lower()})": dtype for name, dtype in TensorProto.DataType.items()}
_VARIADIC = defs.OpSchema.FormalParameterOption.Variadic


class _Rule(NamedTuple):
    """Where a dtype comes from: it is fixed, or that of the first given of some inputs."""

    dtype: int | None = None
    like: tuple[int, ...] = ()


def output_dtypes(
    op_type: str,
    attributes: Mapping[str, Any],
    opset: int,
    inputs: Sequence[KnownInput | None],
    outputs: int,
) -> list[int | None]:
    """The dtypes of the tensors that an operator of ONNX's makes, None for each not known so."""
    if op_type == "Cast":
        return [attributes.get("to")]
    found = []
    for dtype, like in _rules(op_type, opset, outputs):
        given = (inputs[index] for index in like if index < len(inputs))
        known = next((each.dtype for each in given if each is not None), None)
        found.append(dtype if dtype is not None else known)
    return found


@lru_cache(None)
def _rules(op_type: str, opset: int, outputs: int) -> list[_Rule]:
    try:
        schema = defs.get_schema(op_type, opset, "")
    except defs.SchemaError:
        return [_Rule()] * outputs
    last = len(schema.outputs) - 1
    return [_rule(schema, schema.outputs[min(index, last)]) for index in range(outputs)]


def _rule(schema: defs.OpSchema, output: defs.OpSchema.FormalParameter) -> _Rule:
    if output.option == _VARIADIC and not output.is_homogeneous:
        return _Rule()
    allowed = {each.type_param_str: each.allowed_type_strs for each in schema.type_constraints}
    names = allowed.get(output.type_str, [output.type_str])
    if len(names) == 1:
        return _Rule(_DTYPES.get(names[0]))
    alike = [
        index
        for index, each in enumerate(schema.inputs)
        if each.type_str == output.type_str and (each.option != _VARIADIC or each.is_homogeneous)
    ]
    return _Rule(None, tuple(alike))
