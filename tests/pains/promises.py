"""One function for all pains: optimize a graph with everything there is, and assert the promises.

`optimized` runs `standard`, and every installed pass alone, so that passes yet to be written are
held to the same.  The oracle is ONNX Runtime with its own optimizer off, asked here directly and
not through the library's own comparison, which is under test as well.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

import onnxforge
from onnxforge import Model, PassManager, registry
from onnxforge.contract import Interface
from onnxforge.testing import model
from onnxforge.testing.checks import is_foreign

Feeds = Mapping[str, Any]

OPT_IN: frozenset[str] = frozenset()
"""Passes that change results or the interface because users ask them to."""

# Rounding may differ where a rewrite sums in another order; a wrong rewrite is off by far more.
_TOLERANCE = {"float16": 4e-3, "bfloat16": 3e-2, "float64": 1e-10}


def optimized(
    graph: str | ModelProto,
    *feeds: Feeds,
    opset: int = 17,
    expect: Sequence[Any] | None = None,
    compare: Literal["values", "shapes"] | None = "values",
    **weights: Any,
) -> dict[str, ModelProto]:
    """What `standard`, and each pass alone, makes of a graph, by name, after all promises held.

    *feeds* come before those made up; *expect* is what the first of them gives.  *weights* are
    initializers.  Results of random operators are compared by "shapes"; None is for models no
    runtime takes.  ONNX's checker
    accepts results as it accepts the graph.
    """
    proto = model(graph, opset=opset) if isinstance(graph, str) else graph
    for name, array in weights.items():
        tensor = array if isinstance(array, TensorProto) else onnx.numpy_helper.from_array(array)
        tensor.name = name
        proto.graph.initializer.append(tensor)
    data = proto.SerializeToString()
    untouched = Model.from_bytes(data)
    PassManager([]).run(untouched)
    assert untouched.to_bytes() == data, "no passes, and yet the bytes differ"

    used = [*feeds, *made_up(proto)] if compare == "values" or not feeds else [*feeds]
    expected = outputs(proto, used) if compare else []
    if expect is not None:
        assert_same([np.asarray(each) for each in expect], expected[0], "the graph of the pain")

    interface = Interface.of(Model(proto).copy())
    results = {}
    for name in sorted(registry.installed().keys() - OPT_IN, key=lambda n: (n != "standard", n)):
        result = results[name] = _once_and_again(proto, name)
        breaches = list(interface.breaches(Interface.of(Model(result).copy())))
        assert not breaches, f"{name}: {breaches}"
        if result == proto:
            continue
        if (complaint := _complaint(result)) is not None:
            assert _complaint(proto) is not None, f"{name}: {complaint}"
        if compare:
            for values, actual in zip(expected, outputs(result, used), strict=True):
                assert_same(values, actual, name, compare)
    assert proto.SerializeToString() == data, "the model given was changed"
    return results


def _once_and_again(proto: ModelProto, name: str) -> ModelProto:
    changed = onnxforge.optimize(proto, name, verify=False)
    result = changed.to_proto()
    again = PassManager([registry.create(name)]).run(changed)
    assert again.changes == 0, f"{name}: a second run found more to do"
    assert changed.to_proto() == result, f"{name}: a second run changed what it says it did not"
    return result


def _complaint(proto: ModelProto) -> str | None:
    """What ONNX's checker says against a model."""
    try:
        onnx.checker.check_model(proto, full_check=not is_foreign(proto))
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        return str(error)
    return None


# Running


def outputs(proto: ModelProto, feeds: Sequence[Feeds]) -> list[list[Any]]:
    """What ONNX Runtime, its optimizer off, makes of each of several feeds."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return [list(session.run(None, dict(feed))) for feed in feeds]


def made_up(proto: ModelProto) -> Iterator[dict[str, Any]]:
    """Inputs of several moods and sizes, the nasty ones among them."""
    initialized = {tensor.name for tensor in proto.graph.initializer}
    for mood, size in itertools.product(("mixed", "negative", "zeros", "large"), (3, 1)):
        random = np.random.default_rng([len(mood), size])
        sizes: dict[str, int] = {}
        yield {
            info.name: _array(info, mood, sizes, size, random)
            for info in proto.graph.input
            # A default is overridden half of the time, where the format lets callers do so.
            if info.name not in initialized or (size == 1 and proto.ir_version >= 4)
        }


def _array(
    info: ValueInfoProto, mood: str, sizes: dict[str, int], size: int, random: np.random.Generator
) -> Any:
    tensor = info.type.tensor_type
    assert tensor.elem_type, f"{info.name} is no tensor: give feeds"
    shape = [
        dim.dim_value if dim.HasField("dim_value") else sizes.setdefault(dim.dim_param, size)
        for dim in tensor.shape.dim
    ]
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    if dtype == np.bool_:
        return np.asarray(random.integers(0, 2, shape)).astype(bool)
    if dtype.kind in "iu":
        low = 0 if dtype.kind == "u" else {"mixed": -9, "negative": -9, "zeros": 0}.get(mood, -100)
        high = {"negative": max(low + 1, -1), "zeros": low + 1, "large": 100}.get(mood, 9)
        return np.asarray(random.integers(low, high, shape)).astype(dtype)
    array = np.asarray(random.standard_normal(shape))
    if mood == "negative":
        array = -1 - np.abs(array)
    elif mood == "zeros":
        array = np.where(random.integers(0, 2, shape), 0.0, -0.0)
    elif mood == "large":
        array = array * 100
    return np.asarray(array).astype(dtype)


def assert_same(
    expected: Sequence[Any], actual: Sequence[Any], who: str, compare: str | None = "values"
) -> None:
    """Assert that two results are of one structure, types and shapes, and equal but for rounding."""
    assert len(expected) == len(actual), who
    for one, other in zip(expected, actual, strict=True):
        if isinstance(one, list) or one is None:
            assert type(one) is type(other), who
            if one is not None:
                assert_same(one, other, who, compare)
            continue
        assert (one.dtype, one.shape) == (other.dtype, other.shape), who
        if compare == "shapes":
            continue
        if one.dtype.kind in "biuOSU":
            np.testing.assert_array_equal(one, other, who)
            continue
        a, b = one.astype(np.float64), other.astype(np.float64)
        finite = np.abs(a[np.isfinite(a)])
        scale = finite.max(initial=0.0) or 1.0
        tolerance = _TOLERANCE.get(one.dtype.name, 2e-5)
        np.testing.assert_allclose(b, a, rtol=0, atol=tolerance * scale, err_msg=who)


# Looking at results


def graphs(proto: ModelProto) -> Iterator[GraphProto]:
    """The main graph and all bodies in it."""
    todo = [proto.graph]
    while todo:
        graph = todo.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                todo += [attribute.g] if attribute.HasField("g") else []
                todo += attribute.graphs


def nodes(proto: ModelProto, op_type: str) -> list[NodeProto]:
    """The nodes of one operator, in bodies and functions too."""
    everywhere = [*graphs(proto), *proto.functions]
    return [node for graph in everywhere for node in graph.node if node.op_type == op_type]


def count(proto: ModelProto) -> Counter[str]:
    """How many nodes there are of each operator, in bodies too."""
    return Counter(node.op_type for graph in graphs(proto) for node in graph.node)


def all_keep(results: Mapping[str, ModelProto], **operators: int) -> None:
    """Assert that every result has so many nodes of these operators."""
    for name, result in results.items():
        found = {operator: len(nodes(result, operator)) for operator in operators}
        assert found == operators, name
