"""What is known about operators as such: one table that every pass and check reads.

ONNX's schemas say what attributes an operator has and what they default to.  They do not say
whether it answers anew each time, whether its inputs may be swapped, or whether it works element
by element; that is written here, and `declare` adds what users know of their own operators.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import onnx
from onnx import AttributeProto, helper


@dataclass(frozen=True, slots=True)
class Operator:
    """What may be done with a node of an operator.

    An operator is *deterministic* if the same inputs give the same outputs, so that its nodes may
    be folded and merged, and has *effects* if running it matters even when nobody reads its
    outputs.  It is *commutative* if its two inputs may be swapped, and *elementwise* if every
    element of its single output depends only on the elements at that place in its (broadcast)
    inputs.
    """

    deterministic: bool = True
    effects: bool = False
    commutative: bool = False
    elementwise: bool = False


PURE = Operator()
RANDOM = Operator(deterministic=False)
UNKNOWN = Operator(deterministic=False, effects=True)

COMMUTATIVE = frozenset(
    {"Add", "And", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Equal", "Max", "Mean", "Min", "Mul"}
    | {"Or", "Sum", "Xor"}
)
ELEMENTWISE = COMMUTATIVE | frozenset(
    {"Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitShift", "BitwiseNot", "Cast"}
    | {"CastLike", "Ceil", "Celu", "Clip", "Cos", "Cosh", "Div", "Elu", "Erf", "Exp", "Floor"}
    | {"Gelu", "Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity", "IsInf"}
    | {"IsNaN", "LeakyRelu", "Less", "LessOrEqual", "Log", "Mish", "Mod", "Neg", "Not", "Pow"}
    | {"PRelu", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh"}
    | {"Softplus", "Softsign", "Sqrt", "Sub", "Swish", "Tan", "Tanh", "ThresholdedRelu", "Where"}
)
REARRANGING = frozenset(
    {"Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Tile"}
    | {"Transpose", "Unsqueeze"}
)
"""ONNX's operators whose outputs have no other elements than their first input."""
_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform"}
    | {"RandomUniformLike"}
)
# ONNX Runtime's own operators that sample; the rest of its domain computes.
_MICROSOFT_RANDOM = frozenset(
    {"BiasDropout", "BitmaskBiasDropout", "BitmaskDropout", "Sampling", "GreedySearch"}
    | {"BeamSearch", "WhisperBeamSearch"}
)
PURE_DOMAINS = frozenset({"", "ai.onnx.ml", "com.microsoft"})

_declared: dict[tuple[str, str], Operator] = {}


def declare(
    op_type: str,
    domain: str,
    *,
    deterministic: bool = True,
    effects: bool = False,
    commutative: bool = False,
    elementwise: bool = False,
) -> None:
    """Tell what nodes of a custom operator may be done to; until then, nothing may."""
    _declared[domain, op_type] = Operator(deterministic, effects, commutative, elementwise)


def lookup(op_type: str, domain: str) -> Operator:
    """What is known about an operator; of one nobody declared, the worst is assumed."""
    if (known := _declared.get((domain, op_type))) is not None:
        return known
    return _lookup(op_type, domain)


@lru_cache(None)
def _lookup(op_type: str, domain: str) -> Operator:
    if domain not in PURE_DOMAINS:
        return UNKNOWN
    if domain == "com.microsoft":
        return RANDOM if op_type in _MICROSOFT_RANDOM else PURE
    if op_type in _RANDOM:
        return RANDOM
    if not onnx.defs.has(op_type, domain):
        return UNKNOWN  # a custom operator that sits in one of ONNX's own domains
    return Operator(
        commutative=op_type in COMMUTATIVE and not domain,
        elementwise=op_type in ELEMENTWISE and not domain,
    )


def domain_of(written: str) -> str:
    """A domain as it is called here: ONNX's own, which has two names, is ""."""
    return "" if written == "ai.onnx" else written


@lru_cache(None)
def may_have_bodies(op_type: str, domain: str) -> bool:
    """Whether nodes of an operator may have graphs among their attributes."""
    if not onnx.defs.has(op_type, domain):
        return True
    known = onnx.defs.get_schema(op_type, domain)
    kinds = {_kind(declared) for declared in known.attributes.values()}
    return not kinds.isdisjoint((AttributeProto.GRAPH, AttributeProto.GRAPHS))


@lru_cache(None)
def schema(op_type: str, domain: str, version: int) -> onnx.defs.OpSchema | None:
    """ONNX's schema of an operator at an opset version, if it has one."""
    try:
        return onnx.defs.get_schema(op_type, version, domain)
    except onnx.defs.SchemaError:
        return None


@lru_cache(None)
def attribute_defaults(op_type: str, domain: str, version: int) -> Mapping[str, Any]:
    """The attributes' default values by name, as the schema gives them."""
    if (known := schema(op_type, domain, version)) is None:
        return MappingProxyType({})
    defaults = {name: attribute.default_value for name, attribute in known.attributes.items()}
    return MappingProxyType(
        {n: python_value(d) for n, d in defaults.items() if d.type != AttributeProto.UNDEFINED}
    )


@lru_cache(None)
def attribute_kinds(op_type: str, domain: str, version: int) -> Mapping[str, tuple[int, bool]]:
    """The type of each attribute by name, as in `AttributeProto.type`, and whether it has to be."""
    if (known := schema(op_type, domain, version)) is None:
        return MappingProxyType({})
    return MappingProxyType({n: (_kind(d), d.required) for n, d in known.attributes.items()})


@dataclass(frozen=True, slots=True)
class AttributeReference:
    """Stands for an attribute of a function's node that each call of the function sets."""

    name: str


def python_value(attribute: AttributeProto) -> Any:
    """An attribute as a Python value: int, float, str, list, or a protobuf for tensors and graphs.

    Bytes that are no UTF-8 stay bytes; a reference to a function's parameter becomes an
    `AttributeReference`, which equals no value.
    """
    if attribute.ref_attr_name:
        return AttributeReference(attribute.ref_attr_name)
    match attribute.type:
        case AttributeProto.INT:
            return attribute.i
        case AttributeProto.FLOAT:
            return attribute.f
        case AttributeProto.STRING:
            return _text(attribute.s)
        case AttributeProto.INTS:
            return list(attribute.ints)
        case AttributeProto.FLOATS:
            return list(attribute.floats)
        case AttributeProto.STRINGS:
            return [_text(s) for s in attribute.strings]
        case AttributeProto.TENSOR:
            return attribute.t
        case AttributeProto.GRAPH:
            return attribute.g
        case _:
            value = helper.get_attribute_value(attribute)
            return _text(value) if isinstance(value, bytes) else value


def _text(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _kind(declared: onnx.defs.OpSchema.Attribute) -> int:
    kind: Any = declared.type  # an enumeration, which the stubs take for an int
    return int(kind.value)


def make_attribute(
    name: str, value: Any, op_type: str, domain: str, version: int
) -> AttributeProto:
    """The protobuf of an attribute, typed as the schema has it, which matters for empty lists."""
    if isinstance(value, AttributeProto):
        copy = AttributeProto()
        copy.CopyFrom(value)
        copy.name = name
        return copy
    known = schema(op_type, domain, version)
    declared = known.attributes.get(name) if known is not None else None
    kind = _kind(declared) if declared is not None else None
    if hasattr(value, "tolist"):
        value = value.tolist()
    if kind == AttributeProto.FLOAT:
        value = float(value)
    elif kind == AttributeProto.FLOATS:
        value = [float(each) for each in value]
    return helper.make_attribute(name, value, attr_type=kind)
