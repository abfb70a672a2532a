"""The one editing verb, in every combination of what is replaced and what stands in."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from onnxforge import Graph, Model, Value, evaluate
from onnxforge.errors import InterfaceError, InvalidModelError
from onnxforge.runtime import reference
from onnxforge.testing import assert_consistent, calls, model

X = np.array([1.0, -2.0, 3.0, 0.5], np.float32)


def opened(text: str) -> Model:
    return Model(model(text))


def settled(subject: Model) -> ModelProto:
    """The model after commit, found consistent, sorted, and valid."""
    proto = subject.commit()
    for graph in subject.graphs():
        assert_consistent(graph)
    onnx.checker.check_model(proto, full_check=True)
    again = Model(subject.to_proto())
    assert not again.graph._is_unsorted
    assert subject.commit().SerializeToString() == proto.SerializeToString()
    return proto


def assert_same_numbers(before: ModelProto, after: ModelProto, **feeds: Any) -> None:
    given = {"x": X, **{name: np.asarray(value) for name, value in feeds.items()}}
    for a, b in zip(evaluate(before, given), evaluate(after, given), strict=True):
        np.testing.assert_array_equal(a, b)


def assert_same_on_both_branches(before: ModelProto, after: ModelProto) -> None:
    for flag in (True, False):
        assert_same_numbers(before, after, q=flag)


def value(graph: Graph, name: str) -> Value:
    return graph.resolve(name)


def identity(graph: Graph, of: Value, before: Any = None) -> Value:
    return graph.add_node("Identity", [of], before=before).output


CHAIN = (
    "g (float[4] x) => (float[4] y) <float[4] w> { a = Abs(x) b = Add(a, w) c = Exp(b) y = Neg(c) }"
)


@pytest.mark.parametrize("old", ["a", "b", "c", "x", "w"])
def test_a_new_node_computed_from_the_old_value_is_inserted_after_it(old: str) -> None:
    subject = opened(CHAIN)
    graph = subject.graph
    assert graph.replace(value(graph, old), identity(graph, value(graph, old)))
    proto = settled(subject)
    assert len(graph) == 5
    assert_same_numbers(model(CHAIN), proto)


@pytest.mark.parametrize("hops", [2, 3, 7])
def test_a_chain_of_new_nodes_may_be_computed_from_the_old_value(hops: int) -> None:
    subject = opened(CHAIN)
    graph = subject.graph
    new = value(graph, "b")
    for _ in range(hops):
        new = identity(graph, new)
        assert new.shape == (4,)  # asking settles the graph, in the middle of the edit
        subject.commit()  # and even the end of another edit does not matter
    assert graph.replace(value(graph, "b"), new)
    assert_same_numbers(model(CHAIN), settled(subject))


def test_an_output_is_taken_over_with_its_name() -> None:
    subject = opened(CHAIN)
    graph = subject.graph
    assert graph.replace(value(graph, "y"), identity(graph, value(graph, "y")))
    proto = settled(subject)
    assert proto.graph.node[-1].output[0] == "y"
    assert_same_numbers(model(CHAIN), proto)


def test_an_output_is_replaced_by_a_value_others_read() -> None:
    text = "g (float[4] x) => (float[4] y, float[4] z) { a = Abs(x) b = Abs(x) z = Exp(b) y = Identity(b) }"
    subject = opened(text)
    graph = subject.graph
    assert graph.replace(value(graph, "y"), value(graph, "b"))
    proto = settled(subject)
    assert calls(proto) == "a = Abs(x)\ny = Abs(x)\nz = Exp(y)"
    assert_same_numbers(model(text), proto)


@pytest.mark.parametrize("new", ["x", "w", "z"])
def test_an_output_is_not_replaced_by_an_input_an_initializer_or_another_output(new: str) -> None:
    text = (
        "g (float[4] x) => (float[4] y, float[4] z) <float[4] w> { y = Identity(x) z = Add(x, w) }"
    )
    subject = opened(text)
    before = subject.commit().SerializeToString()
    assert not subject.graph.replace(value(subject.graph, "y"), value(subject.graph, new))
    assert subject.commit().SerializeToString() == before


def test_an_output_may_become_a_constant_node_but_no_initializer() -> None:
    text = "g (float[4] x) => (float[2] y) { a = Constant<value = float[2] {1, 2}>() y = Neg(a) }"
    subject = opened(text)
    graph = subject.graph
    constant = graph.constant(np.array([-1, -2], np.float32))
    assert not graph.replace(value(graph, "y"), constant)
    graph.sweep([constant])
    tensor = onnx.numpy_helper.from_array(np.array([-1, -2], np.float32))
    node = graph.add_node("Constant", [], value=tensor)
    assert graph.replace(value(graph, "y"), node.output)
    proto = settled(subject)
    assert len(proto.graph.node) == 1
    assert not proto.graph.initializer
    assert_same_numbers(model(text), proto)


def test_a_constant_takes_over_the_name_of_the_node_it_replaces() -> None:
    subject = opened("g (float[4] x) => (float[4] y) <float[4] w> { a = Exp(w) y = Add(x, a) }")
    graph = subject.graph
    new = graph.constant(np.exp(value(graph, "w").numpy()))
    assert graph.replace(value(graph, "a"), new)
    proto = settled(subject)
    assert [tensor.name for tensor in proto.graph.initializer] == ["a"]
    assert proto.graph.node[0].input == ["x", "a"]


def test_an_initializer_goes_with_its_last_reader_and_its_name_is_free_again() -> None:
    subject = opened(CHAIN)
    graph = subject.graph
    old = value(graph, "w")
    assert graph.replace(old, graph.constant(2 * old.numpy()))
    assert "w" not in graph.values
    tensor = onnx.numpy_helper.from_array(np.zeros(4, np.float32), "w")
    again = graph.add_tensor(tensor)
    assert graph.replace(
        value(graph, "a"), graph.add_node("Add", [value(graph, "a"), again]).output
    )
    proto = settled(subject)
    assert [tensor.name for tensor in proto.graph.initializer][1:] == ["w"]


def test_a_tensor_under_a_name_that_is_taken_is_refused() -> None:
    subject = opened(CHAIN)
    with pytest.raises(InvalidModelError, match="'w' twice"):
        subject.graph.add_tensor(onnx.numpy_helper.from_array(np.zeros(4, np.float32), "w"))


def test_old_nodes_that_the_new_value_needs_go_on_reading_the_old_one() -> None:
    text = "g (float[4] x) => (float[4] y) { a = Abs(x) b = Identity(a) c = Identity(b) d = Exp(a) y = Add(c, d) }"
    subject = opened(text)
    graph = subject.graph
    assert graph.replace(value(graph, "a"), value(graph, "c"))
    proto = settled(subject)
    assert calls(proto) == "a = Abs(x)\nb = Identity(a)\nc = Identity(b)\nd = Exp(c)\ny = Add(c, d)"
    assert_same_numbers(model(text), proto)


def test_nothing_is_done_where_only_the_new_value_reads_the_old_one() -> None:
    subject = opened(CHAIN)
    graph = subject.graph
    assert not graph.replace(value(graph, "b"), value(graph, "c"))
    assert subject.edits == 0


def test_a_value_computed_later_moves_ahead_of_its_new_readers() -> None:
    text = (
        "g (float[4] x) => (float[4] y, float[4] z) { a = Abs(x) y = Exp(a) b = Abs(x) z = Neg(b) }"
    )
    subject = opened(text)
    graph = subject.graph
    assert graph.replace(value(graph, "a"), value(graph, "b"))
    proto = settled(subject)
    assert calls(proto) == "b = Abs(x)\ny = Exp(b)\nz = Neg(b)"
    assert_same_numbers(model(text), proto)


def test_one_of_several_outputs_is_replaced_and_the_node_stays_for_the_others() -> None:
    text = "g (float[4] x) => (float[2] y, float[2] z) { a, b = Split<axis=0>(x) y = Neg(a) z = Neg(b) }"
    subject = opened(text)
    graph = subject.graph
    assert graph.replace(value(graph, "a"), identity(graph, value(graph, "a")))
    proto = settled(subject)
    assert len(graph) == 4
    assert_same_numbers(model(text), proto)


def test_like_lends_a_name_metadata_and_the_attributes_that_are_not_given() -> None:
    subject = opened("g (float[4] x) => (float[2] y, float[2] z) { y, z = Split<axis=0>(x) }")
    (split,) = subject.graph
    split.proto.name, split.proto.domain, split.proto.overload = "s", "ai.onnx", "o"
    split.proto.metadata_props.add(key="k", value="v")
    split.proto.device_configurations.add(configuration_id="of tensors that are not the new node's")
    twin = subject.graph.add_node("Split", split.inputs, outputs=2, like=split, num_outputs=2)
    other = subject.graph.add_node("Concat", split.inputs, like=split, axis=None)
    entries = {
        (entry.key, entry.value) for each in (twin, other) for entry in each.proto.metadata_props
    }
    assert (twin.attributes, other.attributes) == ({"axis": 0, "num_outputs": 2}, {})
    assert entries == {("k", "v")}
    assert [(n.name, n.proto.overload, n.proto.domain) for n in (twin, other)] == [
        ("s", "o", ""),
        ("s", "", ""),
    ]
    assert not twin.proto.device_configurations


def test_both_outputs_of_a_node_are_replaced_by_those_of_another() -> None:
    text = "g (float[4] x) => (float[2] y, float[2] z) { y, z = Split<axis=0>(x) }"
    subject = opened(text)
    graph = subject.graph
    (split,) = graph
    new = graph.add_node("Split", split.inputs, outputs=2, like=split)
    assert all(graph.replace(a, b) for a, b in zip(split.outputs, new.outputs, strict=True))
    assert list(graph) == [new]
    proto = settled(subject)
    assert proto.graph.node[0].output == ["y", "z"]
    assert_same_numbers(model(text), proto)


def test_values_that_have_left_are_no_party_to_a_replacement() -> None:
    subject = opened(CHAIN)
    graph = subject.graph
    gone, there = value(graph, "c"), value(graph, "b")
    new = graph.add_node("Exp", [there]).output
    assert graph.replace(gone, new)
    assert not graph.replace(gone, there)
    assert not graph.replace(there, gone)
    with pytest.raises(InvalidModelError, match="has left the model"):
        graph.add_node("Neg", [gone])
    with pytest.raises(InvalidModelError, match="has left the model"):
        new.producer.set_input(0, gone)
    settled(subject)


def test_a_value_named_like_the_old_one_with_a_tilde_is_not_overwritten() -> None:
    text = "g (float[4] x) => (float[4] y) { a = Abs(x) t = Exp(a) y = Add(a, t) }"
    proto = model(text)
    proto.graph.node[1].output[0] = proto.graph.node[2].input[1] = "a~"
    subject = Model(proto).copy()
    assert subject.graph.replace(
        value(subject.graph, "a"), subject.graph.add_node("Abs", [value(subject.graph, "x")]).output
    )
    assert_same_numbers(proto, settled(subject))


IF = """
g (float[4] x, bool q) => (float[4] y) {{
    a = Abs(x)
    {more}
    i = If (q) <
        then_branch = t () => (float[4] u) {{ {then} }},
        else_branch = e () => (float[4] v) {{ v = Exp(a) }}
    >
    y = Add(i, a)
}}
"""


def then_branch(subject: Model) -> Graph:
    body: Graph = value(subject.graph, "i").producer.subgraphs[0]
    return body


def test_readers_in_a_body_read_the_new_value_too() -> None:
    text = IF.format(more="", then="u = Neg(a)")
    subject = opened(text)
    graph = subject.graph
    assert graph.replace(value(graph, "a"), graph.add_node("Abs", [value(graph, "x")]).output)
    assert len(graph) == 3
    assert_same_on_both_branches(model(text), settled(subject))


def test_a_body_that_has_a_value_of_the_new_name_renames_its_own() -> None:
    text = IF.format(more="k = Identity(a) h = Neg(k)", then="k = Neg(x) u = Add(k, a)")
    subject = opened(text)
    graph = subject.graph
    assert graph.replace(value(graph, "a"), value(graph, "k"))
    proto = subject.commit()
    body = proto.graph.node[-2].attribute[0].g
    assert body.node[1].input[1] == "k"
    assert body.node[0].output[0] != "k"
    assert_same_numbers(model(text), proto, q=True)


def test_a_node_added_to_a_body_reads_the_outer_value_and_not_one_that_hides_it() -> None:
    text = IF.format(more="k = Neg(x)", then="k = Exp(x) u = Neg(k)")
    subject = opened(text)
    graph = subject.graph
    body = value(graph, "i").producer.subgraphs[0]
    outer = graph.values["k"]
    node = body.add_node("Neg", [outer])
    assert node.inputs == (outer,)
    assert body.replace(value(body, "u"), node.output)
    proto = subject.commit()
    (got,) = evaluate(proto, {"x": X, "q": np.array(True)})
    np.testing.assert_array_equal(got, X + np.abs(X))


def test_a_body_renames_its_own_input_and_output_where_they_would_hide_a_value() -> None:
    text = """
    g (float[4] x, int64 n, bool go) => (float[4] y) {
        s = Exp(x)
        k = Abs(x)
        y = Loop (n, go, x) <
            body = b (int64 i, bool c, float[4] s) => (bool d, float[4] k) {
                d = Identity(c)
                k = Neg(s)
            }
        >
    }
    """
    subject = opened(text)
    graph = subject.graph
    body = value(graph, "y").producer.subgraphs[0]
    for name in ("s", "k"):
        assert body.add_node("Identity", [graph.values[name]]).inputs == (graph.values[name],)
    body.prune()
    proto = settled(subject)
    loop = proto.graph.node[-1].attribute[0].g
    assert {"s", "k"}.isdisjoint(info.name for info in (*loop.input, *loop.output))
    # ONNX Runtime would read the outer `s` in the original: ONNX has no hiding of names.
    feeds = {"x": X, "n": np.array(3), "go": np.array(True)}
    np.testing.assert_array_equal(evaluate(proto, feeds)[0], -X)


def test_a_value_of_a_body_is_replaced_by_an_outer_one() -> None:
    text = IF.format(more="", then="b = Abs(x) u = Neg(b)")
    subject = opened(text)
    body = then_branch(subject)
    assert body.replace(value(body, "b"), value(subject.graph, "a"))
    assert_same_on_both_branches(model(text), settled(subject))


def test_a_value_of_a_body_stands_for_an_outer_one_there_and_nowhere_else() -> None:
    text = IF.format(more="", then="b = Abs(x) n = Neg(a) u = Mul(n, b)")
    subject = opened(text)
    body, a = then_branch(subject), value(subject.graph, "a")
    b = value(body, "b")
    assert body.replace(a, b)
    assert value(body, "n").producer.inputs == (b,)
    assert [node.op_type for node in a.consumers] == ["Exp", "Add"]
    assert_same_on_both_branches(model(text), settled(subject))


def test_what_a_body_computes_from_an_outer_value_is_inserted_after_it_there() -> None:
    text = IF.format(more="", then="b = Abs(a) u = Mul(a, b)")
    subject = opened(text)
    body, a = then_branch(subject), value(subject.graph, "a")
    new = identity(body, a)
    assert body.replace(a, new)
    assert value(body, "b").producer.inputs == (new,)
    assert new.producer.inputs == (a,)
    assert_same_on_both_branches(model(text), settled(subject))


def test_a_constant_moves_into_the_body_that_alone_reads_it_name_and_all() -> None:
    text = IF.format(more="", then="u = Mul(a, w)").replace("{", "<float[4] w> {", 1)
    subject = opened(text)
    body, w = then_branch(subject), value(subject.graph, "w")
    assert subject.graph.replace(w, body.add_tensor(w.initializer, w.name))
    after = settled(subject)
    assert not after.graph.initializer
    (tensor,) = after.graph.node[1].attribute[0].g.initializer
    assert tensor == model(text).graph.initializer[0]
    assert_same_on_both_branches(model(text), after)


def test_what_a_body_returns_from_outside_is_not_replaced_there() -> None:
    proto = model(IF.format(more="", then="u = Abs(a)"))
    body = proto.graph.node[1].attribute[0].g
    del body.node[:]
    body.output[0].name = "a"
    subject = Model(proto)
    graph = then_branch(subject)
    assert not graph.replace(value(graph, "a"), graph.constant(X))


def test_a_value_of_another_body_or_of_one_that_left_stands_for_nothing() -> None:
    subject = opened(IF.format(more="", then="b = Neg(a) u = Abs(b)"))
    then, other = value(subject.graph, "i").producer.subgraphs
    assert not subject.graph.replace(value(then, "b"), value(other, "v"))
    constant = then.constant(X)
    then.sweep([constant])
    assert not subject.graph.replace(value(subject.graph, "a"), constant)


def test_an_output_of_a_body_is_not_replaced_by_an_outer_value() -> None:
    subject = opened(IF.format(more="", then="u = Abs(x)"))
    body = then_branch(subject)
    assert not body.replace(value(body, "u"), value(subject.graph, "a"))


@pytest.mark.parametrize("new", ["i", "y"])
def test_a_value_of_a_body_is_not_replaced_by_what_depends_on_the_body(new: str) -> None:
    subject = opened(IF.format(more="", then="b = Abs(x) u = Neg(b)"))
    body = then_branch(subject)
    assert not body.replace(value(body, "b"), value(subject.graph, new))
    settled(subject)


def test_a_body_that_the_new_value_is_computed_by_goes_on_reading_the_old_one() -> None:
    text = IF.format(more="", then="u = Identity(a)")
    subject = opened(text)
    graph = subject.graph
    assert graph.replace(value(graph, "a"), value(graph, "i"))
    proto = settled(subject)
    assert proto.graph.node[-1].input == ["i", "i"]
    assert len(graph) == 3


def test_a_body_that_returns_an_outer_value_returns_what_stands_for_it() -> None:
    proto = model(IF.format(more="b = Neg(a)", then="u = Neg(a)"))
    body = proto.graph.node[2].attribute[0].g
    del body.node[:]
    body.output[0].name = "b"
    subject = Model(proto).copy()
    graph = subject.graph
    old = value(graph, "b")
    assert old.is_output
    assert graph.replace(old, graph.add_node("Neg", [value(graph, "a")]).output)
    subject.commit()
    assert subject.proto.graph.node[2].attribute[0].g.output[0].name == "b"
    again = Model(subject.to_proto())
    assert again.graph.values["b"].is_output
    for flag in (True, False):
        feeds = {"x": X, "q": np.array(flag)}
        expected, got = (reference(each, feeds) for each in (proto, subject.to_proto()))
        np.testing.assert_array_equal(expected[0], got[0])


def test_outer_values_go_once_no_body_of_a_dropped_node_reads_them() -> None:
    text = """
    g (float[4] x, int64 n, bool go, bool q) => (float[4] y) <float[4] w> {
        a = Abs(x)
        l = Loop (n, go, x) <
            body = b (int64 i, bool c, float[4] s) => (bool d, float[4] k) {
                d = Identity(c)
                k = If (q) <
                    then_branch = t () => (float[4] u) { h = Add(a, w) u = Add(h, s) },
                    else_branch = e () => (float[4] v) { v = Exp(a) }
                >
            }
        >
        y = Identity(x)
        z = Neg(l)
    }
    """
    subject = opened(text)
    graph = subject.graph
    assert graph.prune() == 3
    proto = settled(subject)
    assert calls(proto) == "y = Identity(x)"
    assert not proto.graph.initializer


def test_the_name_of_an_input_or_output_is_not_for_renaming() -> None:
    subject = opened(CHAIN)
    for name in ("x", "y"):
        with pytest.raises(InterfaceError, match=name):
            value(subject.graph, name).rename("other")
    value(subject.graph, "a").rename("other")
    assert_same_numbers(model(CHAIN), settled(subject))


def test_value_info_follows_a_renaming_and_goes_with_its_value() -> None:
    proto = model(CHAIN)
    for name in ("a", "b", "c"):
        proto.graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]))
    subject = Model(proto).copy()
    graph = subject.graph
    value(graph, "a").rename("other")
    assert graph.replace(value(graph, "c"), value(graph, "b"))
    assert [info.name for info in settled(subject).graph.value_info] == ["other", "b"]


def test_a_checker_that_says_no_leaves_everything_as_it_was() -> None:
    subject = opened(CHAIN)
    asked = []
    subject.checker = lambda old, new: bool(asked.append((old.name, new.name)))
    before = subject.commit().SerializeToString()
    assert not subject.graph.replace(value(subject.graph, "b"), value(subject.graph, "a"))
    assert asked == [("b", "a")]
    assert subject.commit().SerializeToString() == before


def test_many_insertions_at_one_place_keep_the_order() -> None:
    subject = opened(CHAIN)
    graph = subject.graph
    last = graph.outputs[0].producer
    new = value(graph, "c")
    for _ in range(300):
        new = identity(graph, new, before=last)
    assert not graph._is_unsorted
    assert graph.replace(value(graph, "c"), new)
    assert len(graph) == 304
    assert_same_numbers(model(CHAIN), settled(subject))


def test_a_sparse_constant_is_not_returned() -> None:
    proto = model("g (float[4] x) => (float[4] y) { z = Neg(x) y = Abs(z) }")
    numbers = helper.make_tensor("", TensorProto.FLOAT, [1], [2.0])
    at = helper.make_tensor("", TensorProto.INT64, [1], [3])
    sparse = onnx.SparseTensorProto(values=numbers, indices=at, dims=[4])
    proto.graph.node.insert(0, helper.make_node("Constant", [], ["c"], sparse_value=sparse))
    subject = Model(proto)
    graph = subject.graph
    assert not graph.replace(graph.values["y"], graph.values["c"])
    assert graph.replace(graph.values["z"], graph.values["c"])
    settled(subject)
