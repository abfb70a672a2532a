"""Cutting pieces out of graphs: what comes out computes just what the graph computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from onnxforge import Graph, Model, Value, evaluate
from onnxforge.extract import between, extract, reads
from onnxforge.testing import model

X = np.array([1.0, -2.0, 3.0, 0.5], np.float32)
TEXT = "g (float[4] x) => (float[4] y) <float[4] w> { a = Add(x, w) b = Neg(a) c = Exp(a) d = Add(b, c) y = Neg(d) }"


def run(proto: ModelProto, **feeds: Any) -> Any:
    return evaluate(proto, {name: np.asarray(each) for name, each in feeds.items()})[0]


def values(graph: Graph, *names: str) -> list[Value]:
    return [graph.resolve(name) for name in names]


def test_the_whole_way_back_to_the_inputs_is_cut_out() -> None:
    graph = Model(model(TEXT)).graph
    (d,) = values(graph, "d")
    w = graph.values["w"].numpy()
    proto = extract([d])
    assert [info.name for info in proto.graph.input] == ["x"]
    np.testing.assert_allclose(run(proto, x=X), np.exp(X + w) - (X + w), rtol=1e-6)


def test_the_way_back_ends_at_given_values() -> None:
    graph = Model(model(TEXT)).graph
    a, d = values(graph, "a", "d")
    proto = extract([d], [a])
    assert [info.name for info in proto.graph.input] == ["a"]
    assert not proto.graph.initializer
    np.testing.assert_allclose(run(proto, a=X), np.exp(X) - X, rtol=1e-6)


def test_nodes_come_in_order_and_once_however_often_they_are_read() -> None:
    text = "g (float[4] x) => (float[4] y) { " + " ".join(
        f"v{i + 1} = Add(v{i}, v{i})" for i in range(200)
    )
    graph = Model(model(text.replace("v0", "x") + " y = Neg(v200) }")).graph
    nodes, ends = between(graph.outputs, ())
    assert nodes == list(graph)
    assert ends == [graph.values["x"]]


def test_a_long_way_back_needs_no_recursion() -> None:
    proto = model("g (float[4] x) => (float[4] y) { v0 = Neg(x) }")
    for index in range(20_000):
        proto.graph.node.add(op_type="Neg", input=[f"v{index}"], output=[f"v{index + 1}"])
    proto.graph.output[0].name = "v20000"
    assert len(extract(Model(proto).graph.outputs).graph.node) == 20_001


def test_an_initializer_can_be_an_output_and_an_input() -> None:
    graph = Model(model(TEXT)).graph
    w, a = values(graph, "w", "a")
    np.testing.assert_array_equal(run(extract([w])), w.numpy())
    proto = extract([a], [w])
    np.testing.assert_array_equal(run(proto, x=X, w=X), X + X)


def test_what_a_caller_may_override_is_an_input() -> None:
    before = model(TEXT)
    before.ir_version = 3
    before.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4]))
    proto = extract(values(Model(before).graph, "a"))
    assert [info.name for info in proto.graph.input] == ["x", "w"]


def test_a_piece_of_a_model_of_version_3_may_have_constants() -> None:
    before = model(
        "g (float[4] x) => (float[4] y) { k = Constant<value = float[4] {1,2,3,4}>() y = Add(x, k) }"
    )
    before.ir_version = 3
    graph = Model(before).graph
    constant = graph.constant(np.array([1, 2, 3, 4], np.float32))
    new = graph.add_node("Add", [graph.values["x"], constant]).output
    np.testing.assert_array_equal(run(extract([new]), x=X), np.add(X, [1, 2, 3, 4]))


def test_a_sparse_initializer_comes_along() -> None:
    before = model("g (float[4] x) => (float[4] y) { y = Add(x, x) }")
    sparse = before.graph.sparse_initializer.add(dims=[4])
    sparse.values.CopyFrom(numpy_helper.from_array(np.array([2], np.float32), "k"))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.array([1], np.int64)))
    before.graph.node[0].input[1] = "k"
    proto = extract(Model(before).graph.outputs)
    assert [info.name for info in proto.graph.input] == ["x"]
    np.testing.assert_array_equal(run(proto, x=X), np.add(X, [0, 2, 0, 0]))


BODY = """
g (float[4] x, bool q) => (float[4] y) <float[4] w> {
    a = Abs(x)
    y = If (q) <
        then_branch = t () => (float[4] u) <float[4] k = {1, 2, 3, 4}> { n = Add(a, k) m = Add(n, w) u = Neg(m) },
        else_branch = e () => (float[4] v) { v = Exp(a) }
    >
}
"""


def test_what_the_bodies_of_a_node_read_is_read_by_the_node() -> None:
    graph = Model(model(BODY)).graph
    node = graph.values["y"].producer
    assert node is not None
    assert reads(node) == values(graph, "q", "a", "w")
    proto = extract(graph.outputs, values(graph, "a"))
    assert sorted(info.name for info in proto.graph.input) == ["a", "q"]
    np.testing.assert_allclose(run(proto, a=X, q=False), np.exp(X), rtol=1e-6)


def test_a_body_is_cut_out_as_it_is_after_edits_that_nobody_committed() -> None:
    graph = Model(model(BODY)).graph
    node = graph.values["y"].producer
    assert node is not None
    body = node.subgraphs[0]
    assert body.replace(body.values["m"], body.values["n"])
    np.testing.assert_array_equal(
        run(extract(graph.outputs), x=X, q=True), -(np.abs(X) + body.values["k"].numpy())
    )


def test_a_piece_of_a_body_takes_along_what_is_outside() -> None:
    graph = Model(model(BODY)).graph
    node = graph.values["y"].producer
    assert node is not None
    body = node.subgraphs[0]
    k, w = body.values["k"].numpy(), graph.values["w"].numpy()
    np.testing.assert_array_equal(run(extract([body.values["u"]]), x=X), -(np.abs(X) + k + w))


def test_a_value_of_a_body_that_hides_another_is_told_apart_from_it() -> None:
    text = """
    g (float[4] x, bool q) => (float[4] y) {
        a = Abs(x)
        b = Exp(a)
        y = If (q) <
            then_branch = t () => (float[4] u) { a = Neg(b) u = Neg(a) },
            else_branch = e () => (float[4] v) { v = Exp(x) }
        >
    }
    """
    graph = Model(model(text)).graph
    node = graph.values["y"].producer
    assert node is not None
    proto = extract([node.subgraphs[0].values["u"]])
    names = [name for each in proto.graph.node for name in each.output]
    assert len(set(names)) == len(names) == 4
    np.testing.assert_allclose(run(proto, x=X), np.exp(np.abs(X)), rtol=1e-6)


def test_functions_are_cut_out_as_they_are_after_edits_that_nobody_committed() -> None:
    text = """
    <ir_version: 9, opset_import: ["" : 17, "my" : 1]>
    g (float[4] x) => (float[4] y) { y = my.Twice(x) }
    <domain: "my", opset_import: ["" : 17]>
    Twice(x) => (y) { a = Neg(x) b = Neg(a) y = Add(b, x) }
    """
    subject = Model(onnx.parser.parse_model(text))
    function = subject.functions[0]
    assert function.replace(function.values["b"], function.values["x"])
    proto = extract(subject.graph.outputs)
    assert len(proto.functions[0].node) == 1
    np.testing.assert_array_equal(run(proto, x=X), 2 * X)


def test_given_types_take_the_place_of_known_ones() -> None:
    graph = Model(model(TEXT)).graph
    type = helper.make_tensor_type_proto(TensorProto.FLOAT, [None])
    proto = extract(values(graph, "a"), types={graph.values["x"]: type})
    assert proto.graph.input[0].type == type
