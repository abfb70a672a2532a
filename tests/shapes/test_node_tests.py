"""ONNX's own node tests, with every size of every input turned into a symbol of its own."""

from __future__ import annotations

import warnings

import numpy as np
from onnx import helper
from onnx.backend.test.case.node import collect_testcases

from onnxforge.shapes import (
    Dim,
    KnownInput,
    dim,
    infer_model,
    output_dtypes,
    output_shapes,
    propagate,
    shape_of,
    value_of,
)


def _cases():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some cases divide by zero on purpose
        return collect_testcases(None)


def _tensor(data):
    return np.asarray(data) if isinstance(data, np.ndarray | np.generic) else None


def _is(size, real, sizes):
    return size is None or (size.subs(sizes) if isinstance(size, Dim) else size) == real


def _known(array, name, sizes):
    if array is None:
        return KnownInput()
    value = value_of(array)
    if value is not None and array.dtype.kind in "iu":
        # Contents at hand, as shapes are; what looks like data gets symbols.
        return KnownInput(array.shape, helper.np_dtype_to_tensor_dtype(array.dtype), value)
    shape = []
    for axis, size in enumerate(array.shape):
        symbol = dim(f"{name}_{axis}", minimum=2 if size > 1 else 0)
        sizes[f"{name}_{axis}"] = size
        # A size of 1 is what broadcasting is decided by.
        shape.append(size if size == 1 else symbol)
    try:
        dtype = helper.np_dtype_to_tensor_dtype(array.dtype)
    except (KeyError, ValueError):
        dtype = None
    return KnownInput(tuple(shape), dtype, value)


def test_what_is_known_agrees_with_the_outputs_that_onnx_ships():
    claims = typed = 0
    wrong = []
    for case in _cases():
        proto, graph = case.model, case.model.graph
        inputs, outputs = (list(map(_tensor, data)) for data in case.data_sets[0])
        inferred = infer_model(proto)
        for value, array in zip(graph.output, outputs, strict=True):
            shape = shape_of(inferred.graph.get(value.name))
            if array is not None and shape is not None:
                numbers = [s for s in shape if isinstance(s, int)]
                if len(shape) != array.ndim or any(
                    isinstance(s, int) and s != n for s, n in zip(shape, array.shape, strict=True)
                ):
                    wrong.append((case.name, "infer_model", shape, array.shape))
                claims += len(numbers)
        if len(graph.node) != 1:
            continue
        node = graph.node[0]
        sizes: dict[str, int] = {}
        by_name = {
            value.name: _known(array, f"i{index}", sizes)
            for index, (value, array) in enumerate(zip(graph.input, inputs, strict=True))
        }
        opset = next(o.version for o in proto.opset_import if o.domain in ("", node.domain))
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        given = (
            node.op_type,
            node.domain,
            attributes,
            opset,
            [by_name.get(name) if name else None for name in node.input],
            len(node.output),
        )
        named = dict(zip((v.name for v in graph.output), outputs, strict=True))
        dtypes = [None] * len(node.output)
        if not node.domain:
            dtypes = output_dtypes(given[0], *given[2:])
        for name, shape, dtype, value in zip(
            node.output, output_shapes(*given), dtypes, propagate(*given), strict=True
        ):
            array = named.get(name)
            if array is None:
                continue
            if dtype is not None:
                typed += 1
                if helper.tensor_dtype_to_np_dtype(dtype) != array.dtype:
                    wrong.append((case.name, "output_dtypes", dtype, array.dtype))
            if shape is not None:
                claims += 1
                if len(shape) != array.ndim or not all(
                    _is(s, n, sizes) for s, n in zip(shape, array.shape, strict=True)
                ):
                    wrong.append((case.name, "output_shapes", shape, array.shape, sizes))
            if value is not None:
                flat = np.asarray(array).reshape(-1).tolist()
                if value.rank != array.ndim or not (
                    len(flat) == len(value.elements)
                    and all(_is(e, n, sizes) for e, n in zip(value.elements, flat, strict=True))
                ):
                    wrong.append((case.name, "propagate", value, array))
    assert wrong == []
    assert claims > 1000
    assert typed > 500
