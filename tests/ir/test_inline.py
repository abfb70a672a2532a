"""Inlining: bodies and functions copied into another graph, with nothing caught on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, ModelProto, helper, numpy_helper

from onnxforge import Graph, Model, Node, Value, evaluate, inline
from onnxforge.errors import InvalidModelError
from onnxforge.testing import assert_consistent, model

X = np.array([1.0, -2.0, 3.0, 0.5], np.float32)


def by_type(graph: Graph, op_type: str) -> Node:
    return next(node for node in graph if node.op_type == op_type)


def put(graph: Graph, node: Node, results: list[Value | None]) -> None:
    """Let what an inlined body returns stand for the node's outputs."""
    for old, new in zip(node.outputs, results, strict=True):
        assert new is not None
        if not graph.replace(old, new):
            assert graph.replace(old, graph.add_node("Identity", [new], before=node).output)


def inline_call(graph: Graph, node: Node) -> None:
    """Inline the function that a node calls."""
    function = next(f for f in graph.model.functions if f.operator == (node.domain, node.op_type))
    attributes = {each.name: each for each in node.proto.attribute}
    put(graph, node, inline(graph, function, node.inputs, before=node, attributes=attributes))


def assert_right(subject: Model, before: ModelProto, **feeds: Any) -> ModelProto:
    proto = subject.commit()
    for graph in subject.graphs():
        assert_consistent(graph)
    onnx.checker.check_model(proto, full_check=True)
    given = {"x": X, **{name: np.asarray(value) for name, value in feeds.items()}}
    for a, b in zip(evaluate(before, given), evaluate(proto, given), strict=True):
        np.testing.assert_array_equal(a, b)
    return proto


IFS = """
g (float[4] x, bool q) => (float[4] y) <float[4] w> {
    a = Abs(x)
    i = If (q) <
        then_branch = t () => (float[4] r) <float[4] k = {1, 2, 3, 4}> { b = Add(a, w) r = Add(b, k) },
        else_branch = e () => (float[4] r) <float[4] k = {5, 6, 7, 8}> { b = Mul(a, w) r = Add(b, k) }
    >
    j = If (q) <
        then_branch = t () => (float[4] r) <float[4] k = {2, 2, 2, 2}> { b = Mul(i, w) r = Add(b, k) },
        else_branch = e () => (float[4] r) <float[4] k = {3, 3, 3, 3}> { b = Add(i, w) r = Add(b, k) }
    >
    y = Neg(j)
}
"""


@pytest.mark.parametrize("taken", [True, False])
def test_branches_that_use_the_same_names_are_inlined_side_by_side(taken: bool) -> None:
    before = model(IFS)
    subject = Model(before).copy()
    graph = subject.graph
    for name in ("i", "j"):
        node = graph.values[name].producer
        put(graph, node, inline(graph, node.subgraphs[not taken], before=node))
    proto = assert_right(subject, before, q=taken)
    assert not any(node.op_type == "If" for node in proto.graph.node)
    assert len(proto.graph.initializer) == 3


def test_a_branch_that_returns_an_initializer_gives_a_constant() -> None:
    before = model("""
    g (float[4] x, bool q) => (float[4] y) {
        i = If (q) <
            then_branch = t () => (float[4] k) <float[4] k = {1, 2, 3, 4}> {},
            else_branch = e () => (float[4] b) { b = Neg(x) }
        >
        y = Add(i, x)
    }
    """)
    subject = Model(before).copy()
    node = by_type(subject.graph, "If")
    (result,) = inline(subject.graph, node.subgraphs[0], before=node)
    assert result is not None
    assert result.is_constant
    put(subject.graph, node, [result])
    assert_right(subject, before, q=True)


def test_a_branch_that_returns_an_outer_value_gives_that_value() -> None:
    proto = model(IFS)
    body = proto.graph.node[1].attribute[0].g
    del body.node[:]
    body.output[0].name = "a"
    subject = Model(proto)
    node = by_type(subject.graph, "If")
    assert inline(subject.graph, node.subgraphs[0], before=node) == [subject.graph.values["a"]]


def test_a_body_that_was_just_edited_is_inlined_as_it_is_now() -> None:
    before = model(IFS)
    subject = Model(before).copy()
    graph = subject.graph
    node = by_type(graph, "If")
    body = node.subgraphs[0]
    add = body.values["r"].producer
    assert add is not None
    again = body.add_node("Add", add.inputs[::-1], before=add)
    assert body.replace(add.output, again.output)
    put(graph, node, inline(graph, body, before=node))
    assert_right(subject, before, q=True)


def test_a_body_inside_the_inlined_one_hides_nothing_it_reads() -> None:
    before = model("""
    g (float[4] x, bool q, bool p) => (float[4] y) {
        a = Abs(x)
        i = If (q) <
            then_branch = t () => (float[4] r) {
                b = Neg(x)
                r = If (p) <
                    then_branch = tt () => (float[4] s) { c = Exp(b) s = Add(c, a) },
                    else_branch = te () => (float[4] s) { s = Add(a, b) }
                >
            },
            else_branch = e () => (float[4] r) { r = Neg(x) }
        >
        y = Add(i, a)
    }
    """)
    subject = Model(before).copy()
    graph = subject.graph
    node = by_type(graph, "If")
    put(graph, node, inline(graph, node.subgraphs[0], before=node))
    for p in (True, False):
        proto = assert_right(subject, before, q=True, p=p)
    assert [info.name for info in by_type(graph, "If").proto.attribute[0].g.output] == ["s"]
    assert proto.graph.node[-1].op_type == "Add"


def test_a_sparse_initializer_comes_along() -> None:
    proto = model(IFS)
    body = proto.graph.node[1].attribute[0].g
    sparse = body.sparse_initializer.add(dims=[4])
    sparse.values.CopyFrom(numpy_helper.from_array(np.array([2], np.float32), "k"))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.array([1], np.int64)))
    del body.initializer[:]
    subject = Model(proto).copy()
    graph = subject.graph
    node = by_type(graph, "If")
    put(graph, node, inline(graph, node.subgraphs[0], before=node))
    (moved,) = subject.commit().graph.sparse_initializer
    assert moved.values.name in graph.values
    assert graph.sparse_tensor(graph.values[moved.values.name]) is moved
    assert graph.values[moved.values.name].consumers


FUNCTIONS = """
<ir_version: 9, opset_import: ["" : 17, "my" : 1]>
g (float[4] x, bool q) => (float[4] y) {
    t = Abs(x)
    a = my.Scale<factor: float = 3.0>(t)
    b = my.Scale(a)
    y = my.Choose(q, b, t)
}
<domain: "my", opset_import: ["" : 17]>
Scale<factor: float = 2.0>(x) => (y) {
    t = Constant<value_float: float = @factor>()
    y = Mul(x, t)
}
<domain: "my", opset_import: ["" : 17, "my" : 1]>
Choose(q, t, x) => (y) {
    y = If (q) <
        then_branch = a () => (a) { b = my.Scale(t) a = Add(b, x) },
        else_branch = b () => (b) { t1 = Neg(t) b = Add(t1, x) }
    >
}
"""


def functions() -> ModelProto:
    return onnx.parser.parse_model(FUNCTIONS)


@pytest.mark.parametrize("q", [True, False])
def test_functions_are_inlined_with_their_attributes_and_inner_bodies(q: bool) -> None:
    before = functions()
    subject = Model(before).copy()
    graph = subject.graph
    for node in [node for node in graph if node.domain == "my"]:
        inline_call(graph, node)
    assert not any(node.domain for node in graph)
    for body in list(graph.nested()):
        for node in [node for node in body if node.domain == "my"]:
            inline_call(body, node)
    assert_right(subject, before, q=q)
    names = [name for each in graph.nested() for node in each for name in node.proto.output]
    assert len(set(names)) == len(names)


def test_a_function_is_inlined_into_another_and_stays_as_it_was() -> None:
    before = functions()
    subject = Model(before).copy()
    scale, choose = subject.functions
    text = scale.proto.SerializeToString()
    body = by_type(choose, "If").subgraphs[0]
    inline_call(body, by_type(body, "Scale"))
    assert scale.proto.SerializeToString() == text
    assert "Scale" not in [node.op_type for node in body]
    assert_right(subject, before, q=True)


def test_references_to_attributes_stay_where_the_caller_has_them_too() -> None:
    subject = Model(functions()).copy()
    scale = subject.functions[0]
    outer = helper.make_function(
        "my", "Twice", ["a"], ["c"],
        [helper.make_node("Scale", ["a"], ["b"], domain="my"), helper.make_node("Neg", ["b"], ["c"])],
        [helper.make_opsetid("", 17), helper.make_opsetid("my", 1)],
        ["alpha"],
    )  # fmt: skip
    reference = AttributeProto(name="factor", ref_attr_name="alpha", type=AttributeProto.FLOAT)
    outer.node[0].attribute.append(reference)
    assert subject.define(outer)
    twice = subject.functions[-1]
    call = by_type(twice, "Scale")
    put(
        twice,
        call,
        inline(twice, scale, call.inputs, before=call, attributes={"factor": reference}),
    )
    constant = by_type(twice, "Constant")
    assert constant.proto.attribute[0].ref_attr_name == "alpha"
    assert constant.proto.attribute[0].name == "value_float"


def test_an_input_that_a_call_leaves_out_is_left_out_of_the_copy() -> None:
    text = """
    <ir_version: 9, opset_import: ["" : 17, "my" : 1]>
    g (float[4] x) => (float[4] y) { y = my.Cut(x) }
    <domain: "my", opset_import: ["" : 17]>
    Cut(x, low, high) => (y) { y = Clip(x, low, high) }
    """
    subject = Model(onnx.parser.parse_model(text))
    node = by_type(subject.graph, "Cut")
    inline_call(subject.graph, node)
    assert subject.graph.outputs[0].producer.inputs[1:] == (None, None)


def test_arguments_are_not_hidden_by_what_the_body_calls_the_same() -> None:
    before = functions()
    subject = Model(before).copy()
    graph = subject.graph
    # `t` of the main graph becomes the function's `x`, whose own `t` is something else.
    inline_call(graph, by_type(graph, "Scale"))
    assert graph.values["t"].producer.op_type == "Abs"
    assert_right(subject, before, q=True)


def test_a_function_for_another_opset_is_inlined_only_where_its_operators_mean_the_same() -> None:
    proto = functions()
    proto.functions[0].opset_import[0].version = 13  # Mul changed with 14: another schema
    subject = Model(proto)
    graph = subject.graph
    node = by_type(graph, "Scale")
    before = subject.commit().SerializeToString()
    with pytest.raises(InvalidModelError, match=r"ai\.onnx::(Mul|Constant)"):
        inline_call(graph, node)
    assert subject.commit().SerializeToString() == before
    proto.functions[0].opset_import[0].version = 16
    subject = Model(proto)
    inline_call(subject.graph, by_type(subject.graph, "Scale"))


def test_domains_that_only_the_function_imports_are_imported() -> None:
    proto = functions()
    node = proto.functions[0].node.add(op_type="Gelu", domain="com.microsoft", output=["y"])
    node.input.append("m")
    proto.functions[0].node[1].output[0] = "m"
    proto.functions[0].opset_import.add(domain="com.microsoft", version=1)
    subject = Model(proto)
    inline_call(subject.graph, by_type(subject.graph, "Scale"))
    assert subject.graph.opset_imports["com.microsoft"] == 1
    assert [e.version for e in subject.commit().opset_import if e.domain == "com.microsoft"] == [1]


def test_the_body_of_a_loop_is_inlined_with_its_arguments() -> None:
    before = model("""
    g (float[4] x) => (float[4] y) <int64 one = {1}, bool yes = {1}> {
        y = Loop (one, yes, x) <
            body = b (int64 i, bool c, float[4] s) => (bool d, float[4] r) {
                d = Identity(c)
                f = Cast<to = 1>(i)
                a = Add(s, f)
                r = Add(a, x)
            }
        >
    }
    """)
    subject = Model(before).copy()
    graph = subject.graph
    node = by_type(graph, "Loop")
    zero = graph.constant(np.array(0, np.int64))
    _, result = inline(
        graph, node.subgraphs[0], [zero, node.inputs[1], node.inputs[2]], before=node
    )
    put(graph, node, [result])
    assert_right(subject, before)


def test_too_many_arguments_are_an_error() -> None:
    subject = Model(functions())
    graph = subject.graph
    with pytest.raises(InvalidModelError, match="2 arguments"):
        inline(graph, subject.functions[0], [graph.inputs[0], graph.inputs[1]])


def test_inlining_leaves_no_trace_in_what_the_body_reads() -> None:
    subject = Model(model(IFS)).copy()
    graph = subject.graph
    node = by_type(graph, "If")
    readers = {name: set(value.consumers) for name, value in graph.values.items()}
    results = inline(graph, node.subgraphs[0], before=node)
    graph.sweep(value for value in results if value is not None)
    assert {name: set(graph.values[name].consumers) for name in readers} == readers
    assert len(graph) == 4


def test_names_are_the_same_from_run_to_run() -> None:
    def run() -> bytes:
        subject = Model(functions()).copy()
        for node in [node for node in subject.graph if node.domain == "my"]:
            inline_call(subject.graph, node)
        data: bytes = subject.commit().SerializeToString()
        return data

    assert run() == run()
