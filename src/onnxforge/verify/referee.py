"""A second opinion, before an edit is called wrong over what may be rounding.

Both sides are run again in float64.  If they agree there, they are the same function, and what
remains to be asked is whether the new one rounds notably worse.  A region with floats of several
widths gets no such opinion: in float64 a Cast to float16 and back would change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import Message  # type: ignore[import-untyped]  # ships no types
from onnx import (
    AttributeProto,
    ModelProto,
    NodeProto,
    TensorProto,
    TypeProto,
    helper,
    numpy_helper,
)

from onnxforge import runtime, storage
from onnxforge.errors import OnnxForgeError

from .compare import (
    distance,
    is_float,
    magnitude,
    precision,
    relative_error,
)

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
_NARROW = tuple(
    number
    for name, number in TensorProto.DataType.items()
    if name.startswith(("FLOAT8", "FLOAT6", "FLOAT4"))
)
# Operators that round to float32 whatever they are given.
_FLOAT32_ONLY = frozenset({"DynamicQuantizeLinear", "QuantizeLinear", "DequantizeLinear"})
_ROUNDINGS = 8
"""How many times the precision of its largest intermediate value a result may be off."""
_CANCELLATION = 1e3
"""Cancellation of more than three digits is no excuse: anything would pass."""
_WORSE = 10
"""How many times as far from the float64 result as the old one the new one may be."""
# Attributes that name an element type.
_DTYPE_ATTRIBUTES = frozenset({"to", "dtype", "output_dtype", "stash_type"})


def excuses(
    before: ModelProto,
    after: ModelProto,
    feeds: Mapping[str, Any],
    results: tuple[Any, Any],
    limit: float,
    folder: Path | None,
) -> bool:
    """Whether the two *results*, found to differ by more than *limit*, do so for no bad reason.

    Rounding is none, and neither is a defect of a runtime.
    """
    try:
        before, after = storage.materialize(before, folder), storage.materialize(after, folder)
        if _mixes_floats(before) or _mixes_floats(after):
            return _agree_by_reference(before, after, feeds, limit)
        return _agree_in_double(before, after, feeds, results, limit)
    except OnnxForgeError:
        return _agree_by_reference(before, after, feeds, limit)


def _agree_by_reference(
    before: ModelProto, after: ModelProto, feeds: Mapping[str, Any], limit: float
) -> bool:
    try:
        (expected,) = runtime.reference(before, feeds)
        (actual,) = runtime.reference(after, feeds)
    except OnnxForgeError:
        return False
    return relative_error(expected, actual) <= limit


def _agree_in_double(
    before: ModelProto,
    after: ModelProto,
    feeds: Mapping[str, Any],
    results: tuple[Any, Any],
    limit: float,
) -> bool:
    wide_feeds = {name: _widened(feed) for name, feed in feeds.items()}
    wide_before, wide_after = _doubled(before), _doubled(after)
    known = {output.name for output in before.graph.output}
    inside = dict.fromkeys(
        name for node in before.graph.node for name in node.output if name and name not in known
    )
    for name in inside:
        wide_before.graph.output.add(name=name)
    expected, *intermediates = runtime.evaluate(wide_before, wide_feeds)
    (actual,) = runtime.evaluate(wide_after, wide_feeds)
    old, new = results
    if not _is_floats(expected) or not _is_floats(old) or not _is_floats(new):
        return relative_error(expected, actual) <= limit
    if not actual.shape == expected.shape == new.shape:
        return False
    scale = magnitude(expected)
    sources = [*wide_feeds.values(), *intermediates, expected]
    largest = max(magnitude(each) for each in sources if _is_floats(each))
    largest = min(largest, _CANCELLATION * max(scale, 1.0))
    noise = max(limit * scale, _ROUNDINGS * precision(old.dtype) * largest)
    if not distance(expected, actual) <= noise:
        return False
    return distance(expected, new) <= max(noise, _WORSE * distance(expected, old))


def _is_floats(value: Any) -> bool:
    return isinstance(value, np.ndarray) and is_float(value.dtype)


def _widened(feed: Any) -> Any:
    if isinstance(feed, list):
        return [_widened(each) for each in feed]
    return feed.astype(np.float64) if _is_floats(feed) and feed.dtype.kind != "c" else feed


def _messages(root: Message) -> Iterator[Message]:
    """*root* and all messages inside it."""
    todo = [root]
    while todo:
        message = todo.pop()
        yield message
        for field, content in message.ListFields():
            if field.message_type is not None:
                todo.extend(content if field.is_repeated else (content,))


def _mixes_floats(model: ModelProto) -> bool:
    """Whether rounding to another float type is part of what the model means."""
    found: dict[int, None] = {}
    for message in _messages(model):
        if isinstance(message, TensorProto):
            found[message.data_type] = None
        elif isinstance(message, TypeProto.Tensor):
            found[message.elem_type] = None
        elif isinstance(message, AttributeProto) and message.name in _DTYPE_ATTRIBUTES:
            found[message.i] = None
        elif isinstance(message, NodeProto) and message.op_type in _FLOAT32_ONLY:
            found[TensorProto.FLOAT] = None
    return len([each for each in found if each in _FLOATS]) > 1 or any(
        each in _NARROW for each in found
    )


def _doubled(model: ModelProto) -> ModelProto:
    """A copy that computes in float64."""
    copy = ModelProto()
    copy.CopyFrom(model)
    for message in list(_messages(copy)):
        if isinstance(message, TensorProto) and message.data_type in _FLOATS:
            array = storage.to_array(message).astype(np.float64)
            message.CopyFrom(numpy_helper.from_array(array, message.name))
        elif isinstance(message, TypeProto.Tensor) and message.elem_type in _FLOATS:
            message.elem_type = TensorProto.DOUBLE
        elif isinstance(message, AttributeProto) and message.name in _DTYPE_ATTRIBUTES:
            if message.i in _FLOATS:
                message.i = TensorProto.DOUBLE
        elif isinstance(message, NodeProto) and not message.domain:
            _double_constant(message)
    return copy


def _double_constant(node: NodeProto) -> None:
    """Spell out, in float64, a tensor that is float32 unless its node says otherwise."""
    attributes = {attribute.name: attribute for attribute in node.attribute}
    if node.op_type == "ConstantOfShape" and not attributes:
        node.attribute.append(helper.make_attribute("value", numpy_helper.from_array(np.zeros(1))))
    if node.op_type == "Constant":
        for name in ("value_float", "value_floats"):
            if name in attributes and not attributes[name].ref_attr_name:
                data = np.array(helper.get_attribute_value(attributes[name]), np.float64)
                del node.attribute[:]
                tensor = numpy_helper.from_array(data)
                node.attribute.append(helper.make_attribute("value", tensor))
