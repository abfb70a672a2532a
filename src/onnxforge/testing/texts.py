"""Models as text and back: what before and after look like in a test."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from onnxforge.ir.operators import python_value
from onnxforge.storage import from_array

WEIGHTS = (0.5, 1.5)
"""The range of random weights: positive, so that they serve as variances, and away from zero."""


def model(text: str, *, opset: int = 17, seed: int = 0) -> ModelProto:
    """A model from ONNX text, of a whole model or of a graph alone, which then is of *opset*.

    A weight that is declared and given no data gets random data: floats between 0.5 and 1.5,
    integers between 0 and 3.
    """
    if not text.lstrip().startswith("<"):
        text = f'<ir_version: 10, opset_import: ["" : {opset}]>\n{text}'
    proto = onnx.parser.parse_model(text)
    random = np.random.default_rng(seed)
    computed = {name for node in proto.graph.node for name in node.output}
    for index in reversed(range(len(proto.graph.value_info))):
        info = proto.graph.value_info[index]
        if info.name in computed:
            continue
        tensor = info.type.tensor_type
        shape = [dim.dim_value for dim in tensor.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        array: Any = random.uniform(*WEIGHTS, shape)
        if tensor.elem_type == TensorProto.BOOL or np.issubdtype(dtype, np.integer):
            array = random.integers(0, 4, shape)
        weight = from_array(np.asarray(array).astype(dtype), info.name)
        proto.graph.initializer.append(weight)
        del proto.graph.value_info[index]
    return proto


def calls(proto: ModelProto, names: frozenset[str] | None = None) -> str:
    """The nodes of a model, one a line, as ONNX text with `*` for constants.

    With *names*, values that are not among them are called `t1`, `t2`, ... in order.  The nodes of
    a body are indented under the node it belongs to, headed by the attribute's name.
    """
    return "\n".join(_calls(proto.graph, {}, names, [0]))


def names_of(proto: ModelProto) -> frozenset[str]:
    """The names of all values of a model, in its bodies too."""
    found: list[str] = []
    graphs = [proto.graph]
    while graphs:
        graph = graphs.pop()
        found += [info.name for info in (*graph.input, *graph.output)]
        found += [tensor.name for tensor in graph.initializer]
        for node in graph.node:
            found += node.output
            graphs += [body for attribute in node.attribute for body in _bodies(attribute)]
    return frozenset(found)


def _calls(
    graph: GraphProto, known: dict[str, str], names: frozenset[str] | None, count: list[int]
) -> list[str]:
    known = known | {tensor.name: "*" for tensor in graph.initializer}
    lines = []
    for node in graph.node:
        if node.op_type == "Constant" and not node.domain:
            known[node.output[0]] = "*"
            continue
        for name in node.output:
            if names is not None and name and name not in names:
                count[0] += 1
                known[name] = f"t{count[0]}"
        lines.append(_call(node, known))
        for attribute in node.attribute:
            for body in _bodies(attribute):
                lines.append(f"  {attribute.name}:")
                lines += [f"    {line}" for line in _calls(body, known, names, count)]
    return lines


def _call(node: NodeProto, known: dict[str, str]) -> str:
    written = {
        attribute.name: _written(attribute)
        for attribute in node.attribute
        if not _bodies(attribute)
    }
    attributes = ", ".join(f"{name}={value}" for name, value in sorted(written.items()))
    outputs = ", ".join(known.get(name, name) for name in node.output)
    inputs = ", ".join(known.get(name, name) if name else "_" for name in node.input)
    domain = f"{node.domain}." if node.domain else ""
    brackets = f"<{attributes}>" if attributes else ""
    return f"{outputs} = {domain}{node.op_type}{brackets}({inputs})"


def _written(attribute: AttributeProto) -> str:
    value = python_value(attribute)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return f"[{','.join(f'{v:.6g}' if isinstance(v, float) else str(v) for v in value)}]"
    return str(value) if isinstance(value, int | str) else "*"


def _bodies(attribute: AttributeProto) -> list[GraphProto]:
    return [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def lines(text: str) -> list[str]:
    """The lines of a text, freed of the indentation they share."""
    lines = [line.rstrip() for line in text.expandtabs().splitlines() if line.strip()]
    margin = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    return [line[margin:] for line in lines]
