"""The order of nodes: what comes unsorted, what edits move, and what is not in order at all."""

from __future__ import annotations

import itertools
import random

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from onnxforge import Model, evaluate
from onnxforge.errors import InvalidModelError
from onnxforge.testing import assert_consistent, calls, model

BODIES = """
g (float[4] x, bool q) => (float[4] y) {
    a = Abs(x)
    b = Exp(a)
    i = If (q) <
        then_branch = t () => (float[4] u) { p = Neg(b) u = Neg(p) },
        else_branch = e () => (float[4] v) { v = Exp(x) }
    >
    y = Add(i, a)
}
"""


def shuffled(text: str, order: tuple[int, ...]) -> ModelProto:
    proto = model(text)
    nodes = list(proto.graph.node)
    copies = [onnx.NodeProto.FromString(nodes[index].SerializeToString()) for index in order]
    del proto.graph.node[:]
    proto.graph.node.extend(copies)
    return proto


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_nodes_in_any_order_are_sorted_by_the_first_edit_and_not_before(order) -> None:
    proto = shuffled(BODIES, order)
    data = proto.SerializeToString()
    subject = Model.from_bytes(data)
    places = {node.output.name: index for index, node in enumerate(subject.graph)}
    assert places["a"] < places["b"] < places["i"] < places["y"]
    assert subject.to_bytes() == data
    graph = subject.graph
    assert graph.replace(graph.values["b"], graph.add_node("Exp", [graph.values["a"]]).output)
    onnx.checker.check_model(subject.commit(), full_check=True)
    feeds = {"x": np.ones(4, np.float32), "q": np.array(True)}
    np.testing.assert_array_equal(
        evaluate(subject.commit(), feeds)[0], evaluate(model(BODIES), feeds)[0]
    )


def test_nodes_that_need_not_move_do_not() -> None:
    text = "g (float[4] x) => (float[4] y) { a = Abs(x) b = Exp(x) c = Neg(x) d = Add(a, c) y = Add(d, b) }"
    subject = Model(shuffled(text, (3, 2, 1, 0, 4)))
    assert [node.output.name for node in subject.graph] == ["c", "b", "a", "d", "y"]


def test_a_body_that_returns_a_value_computed_later_waits_for_it() -> None:
    proto = shuffled(BODIES, (0, 2, 1, 3))
    body = proto.graph.node[1].attribute[0].g
    del body.node[:]
    body.output[0].name = "b"
    subject = Model(proto)
    assert [node.output.name for node in subject.graph] == ["a", "b", "i", "y"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("g (float[4] x) => (float[4] y) { y = Add(x, z) }", "'g' reads 'z'"),
        ("g (float[4] x) => (float[4] y) { z = Neg(x) }", "'g' returns 'y'"),
        ("g (float[4] x) => (float[4] y) { y = Neg(x) y = Abs(x) }", "'g' defines 'y' twice"),
        ("g (float[4] x) => (float[4] x) { x = Neg(x) }", "'g' defines 'x' twice"),
        ("g (float[4] x, float[4] x) => (float[4] y) { y = Neg(x) }", "'g' defines 'x' twice"),
        ("g (float[4] x) => (float[4] y) { a = Neg(b) b = Neg(a) y = Add(a, x) }", "'g' is cyclic"),
        ("g (float[4] x) => (float[4] y) { a = Add(a, x) y = Neg(a) }", "a = Add"),
        (
            """g (bool q) => (float[4] y) {
                y = If (q) <
                    then_branch = t () => (float[4] u) { u = Neg(y) },
                    else_branch = e () => (float[4] v) { v = Neg(y) }
                >
            }""",
            "'g' is cyclic",
        ),
        (
            """g (bool q, float[4] x) => (float[4] y) {
                y = If (q) <
                    then_branch = t () => (float[4] u) { u = Neg(nothing) },
                    else_branch = e () => (float[4] v) { v = Neg(x) }
                >
            }""",
            "'t' reads 'nothing'",
        ),
    ],
)
def test_what_is_no_graph_is_said_by_name(text: str, message: str) -> None:
    with pytest.raises(InvalidModelError, match=message):
        _ = Model(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]>{text}')).graph


def test_the_node_blamed_for_a_cycle_is_part_of_it() -> None:
    text = "g (float[4] x) => (float[4] y) { y = Neg(d) d = Neg(c) b = Add(c, x) c = Neg(b) }"
    with pytest.raises(InvalidModelError, match=r"b = Add\(c, x\)|c = Neg\(b\)"):
        _ = Model(model(text)).graph


def test_two_initializers_of_one_name_are_an_error() -> None:
    proto = model("g (float[4] x) => (float[4] y) <float[4] w> { y = Add(x, w) }")
    proto.graph.initializer.append(proto.graph.initializer[0])
    with pytest.raises(InvalidModelError, match="'g' defines 'w' twice"):
        _ = Model(proto).graph


def test_a_function_that_reads_what_it_does_not_define_is_an_error() -> None:
    proto = model("g (float[4] x) => (float[4] y) { y = Neg(x) }")
    node = helper.make_node("Neg", ["x"], ["b"])
    opset = helper.make_opsetid("", 17)
    proto.functions.append(helper.make_function("d", "F", ["a"], ["b"], [node], [opset]))
    with pytest.raises(InvalidModelError, match="'F' reads 'x'"):
        _ = Model(proto).graph


def test_inputs_left_out_and_initializers_without_names_are_not_mixed_up() -> None:
    proto = model("g (float[4] x, float hi) => (float[4] y) { y = Clip(x, , hi) }")
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(1, np.float32)))
    node = next(iter(Model(proto).graph))
    assert node.inputs[1] is None


def nested(depth: int) -> ModelProto:
    """Ifs in the then-branch of each other."""
    proto = ModelProto(ir_version=9)
    proto.opset_import.add(version=17)
    graph = proto.graph
    graph.name = "main"
    graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    graph.input.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, [1]))
    graph.output.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1]))
    name = "y"
    for level in range(depth):
        node = graph.node.add(op_type="If", input=["c"], output=[name])
        branch = node.attribute.add(name="else_branch", type=onnx.AttributeProto.GRAPH).g
        branch.name, name = f"else{level}", f"e{level}"
        branch.node.add(op_type="Neg", input=["x"], output=[name])
        branch.output.add(name=name)
        graph = node.attribute.add(name="then_branch", type=onnx.AttributeProto.GRAPH).g
        graph.name, name = f"then{level}", f"t{level}"
        graph.output.add(name=name)
    graph.node.add(op_type="Abs", input=["x"], output=[name])
    return proto


def test_thirty_bodies_inside_each_other_are_read_edited_and_written() -> None:
    subject = Model.from_bytes(nested(30).SerializeToString())
    innermost = next(graph for graph in subject.graphs() if graph.depth == 30)
    (node,) = innermost
    assert node.operator.deterministic
    assert innermost.replace(node.output, innermost.add_node("Abs", node.inputs).output)
    assert subject.graph.outputs[0].dtype == TensorProto.FLOAT
    again = Model.from_bytes(subject.to_bytes())
    assert sum(map(len, again.graphs())) == 61


def test_bodies_deeper_inside_each_other_than_any_file_has_them_are_walked_or_refused() -> None:
    subject = Model(nested(50))
    assert sum(map(len, subject.graphs())) == 101
    assert subject.graph.prune() == 0
    with pytest.raises(InvalidModelError, match="deep"):
        _ = Model(nested(200)).graph


def chain(length: int) -> Model:
    proto = model("g (float[4] x) => (float[4] y) { y = Neg(x) }")
    proto.graph.node[0].input[0] = f"v{length}"
    previous = "x"
    for index in range(1, length + 1):
        proto.graph.node.add(op_type="Neg", input=[previous], output=[previous := f"v{index}"])
    return Model(proto)


def test_a_hundred_thousand_nodes_in_a_row_are_no_problem_for_anything() -> None:
    subject = chain(100_000)
    graph = subject.graph
    assert len(graph) == 100_001
    last = graph.outputs[0]
    assert last.shape == (4,)
    assert graph.replace(last, graph.add_node("Neg", [graph.values["v99999"]]).output)
    assert len(graph) == 100_000  # v100000 had no other reader
    assert graph.replace(graph.outputs[0], graph.add_node("Abs", [graph.values["x"]]).output)
    assert len(graph) == 1
    assert calls(subject.commit()) == "y = Abs(x)"


def test_every_node_of_a_long_chain_is_replaced_in_time_that_grows_with_the_chain() -> None:
    subject = chain(20_000)
    graph = subject.graph
    for node in list(graph):
        assert graph.replace(node.output, graph.add_node("Neg", node.inputs, before=node).output)
    subject.commit()
    assert_consistent(graph)


def test_every_node_of_a_long_chain_that_comes_backwards_is_sorted() -> None:
    proto = chain(20_000).proto
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in proto.graph.node]
    random.Random(0).shuffle(nodes)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    subject = Model(proto)
    assert [node.output.name for node in subject.graph][:2] == ["v1", "v2"]


def test_walking_goes_on_while_nodes_come_and_go() -> None:
    subject = chain(100)
    graph = subject.graph
    seen = 0
    for node in graph:
        seen += 1
        graph.replace(node.output, graph.add_node("Abs", node.inputs, before=node).output)
    assert seen == 101
    assert all(node.op_type == "Abs" for node in graph)
    for node in reversed(graph):
        if not node.output.is_output:
            graph.replace(node.output, node.inputs[0])
    assert calls(subject.commit()) == "y = Abs(x)"


def test_committing_twice_changes_nothing_more() -> None:
    subject = Model(shuffled(BODIES, (3, 2, 1, 0)))
    graph = subject.graph
    graph.replace(
        graph.values["a"],
        graph.add_node("Abs", [graph.values["x"]], like=graph.values["a"].producer).output,
    )
    first = subject.commit().SerializeToString()
    assert subject.commit().SerializeToString() == first


def test_nodes_that_share_a_name_are_told_apart_by_the_first_edit() -> None:
    proto = model(BODIES)
    for node in proto.graph.node:
        node.name = "n"
    proto.graph.node[-1].name = "n_1"
    subject = Model(proto)
    graph = subject.graph
    graph.replace(
        graph.values["b"],
        graph.add_node("Exp", [graph.values["a"]], like=graph.values["b"].producer).output,
    )
    names = [node.name for node in subject.commit().graph.node]
    assert len(set(names)) == len(names)
    assert names[0] == "n"
    feeds = {"x": np.ones(4, np.float32), "q": np.array(True)}
    evaluate(subject.commit(), feeds)
