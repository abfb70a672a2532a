"""What the tests of a pass are written with, ours and yours alike.

def test_identities_go():
check(
IdentityElimination(),
before="g (float[N] x) => (float[N] y) { a = Identity(x)  y = Relu(a) }",
after="y = Relu(x)",
)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from onnxforge.ir import Graph, Model
from onnxforge.ir.operators import python_value
from onnxforge.manager import PassManager
from onnxforge.passes import Pass
from onnxforge.storage import from_array
from onnxforge.verify import Baseline, EditChecker

MIXED = (0.5, 1.5)
"""The range of random weights: positive, so that they serve as variances, and away from zero."""


def check(
    each: Pass,
    before: str | ModelProto,
    after: str | None = None,
    *,
    opset: int = 17,
    declined: str | None = None,
    unchecked: str | None = None,
) -> Model:
    """Assert that the pass turns *before* into *after*, is sound, and is done the first time.

    *before* is ONNX text, a graph or a whole model, or a protobuf; see `model`.  *after* is what
    `calls` prints of the result, line by line; None says that nothing changes.  Then *declined*
    can be a part of the reason the pass must give.  The model that came out is returned.

    Also asserted: every edit was checked on its own and found right, save for a reason that
    contains *unchecked*; the whole model gives the same numbers in ONNX Runtime with its own
    optimizer off; ONNX's checker accepts it; the graph's index agrees with its protobuf; and a
    second run changes nothing.
    """
    proto = model(before, opset=opset) if isinstance(before, str) else before
    expected = calls(proto) if after is None else "\n".join(_lines(after))
    subject = Model(proto).copy()
    baseline = Baseline(subject)
    checker = EditChecker()
    report = PassManager([each], checker=checker).run(subject)
    assert not report.refused, report.refused
    reasons = [reason for step in report.steps for reason in step.tally.unchecked]
    assert all(unchecked is not None and unchecked in reason for reason in reasons), reasons
    result = subject.to_proto()
    assert calls(result, names_of(proto)) == expected
    if after is None:
        assert report.changes == 0, "nothing should change, and the pass claims otherwise"
        found = [reason for step in report.steps for reason in step.declined]
        assert declined is None or any(declined in reason for reason in found), found
    onnx.checker.check_model(result, full_check=not _is_foreign(result))
    for graph in subject.graphs():
        assert_consistent(graph)
    comparison = baseline.compare(subject)
    assert not comparison.unchecked, comparison.unchecked
    assert comparison.is_equivalent, str(comparison)
    again = PassManager([each]).run(subject)
    assert again.changes == 0, "a second run found more to do"
    assert subject.to_proto() == result, "a second run that reports no changes made some"
    return subject


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
        array: Any = random.uniform(*MIXED, shape)
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


def _lines(text: str) -> list[str]:
    """The lines of a text, freed of the indentation they share."""
    lines = [line.rstrip() for line in text.expandtabs().splitlines() if line.strip()]
    margin = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    return [line[margin:] for line in lines]


def _is_foreign(proto: ModelProto) -> bool:
    """Whether a model calls operators whose types ONNX's checker cannot infer."""
    defined = {function.domain for function in proto.functions}
    return any(
        entry.domain not in ("", "ai.onnx", "ai.onnx.ml", *defined) for entry in proto.opset_import
    )


def assert_consistent(graph: Graph) -> None:
    """Assert that the index of a committed graph says what its protobuf says."""
    assert [node.proto for node in graph] == list(graph.proto.node)
    for node in graph:
        assert [v.name if v is not None else "" for v in node.inputs] == list(node.proto.input)
        assert [v.name for v in node.outputs] == list(node.proto.output)
        assert all(v.producer is node for v in node.outputs)
        assert all(graph.values[v.name] is v for v in node.outputs if v.name)
        assert all(node in v.consumers for v in node.inputs if v is not None)
        assert all(graph.sees(v) for v in node.inputs if v is not None)
    for name, value in graph.values.items():
        assert value.name == name
        for node in value.consumers:
            assert node.graph is not None
            assert value in node.inputs
        assert (name in graph.output_names) <= value.is_output
