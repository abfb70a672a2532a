"""Types, shapes and contents: inferred on demand, of what is there now, and never from the file."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, TypeProto, helper

from onnxforge import Model
from onnxforge.shapes import dim, infer_model, is_named
from onnxforge.testing import model

TEXT = "g (float[N,4] x) => (float[N,4] y) <float[4] w> { a = Add(x, w) b = Exp(a) y = Neg(b) }"


def opened(text: str = TEXT) -> Model:
    return Model(model(text)).copy()


def test_inputs_initializers_and_computed_values_have_types() -> None:
    values = opened().graph.values
    assert values["x"].shape == (dim("N"), 4)
    assert values["w"].shape == (4,)
    assert values["b"].shape == (dim("N"), 4)
    assert values["b"].dtype == TensorProto.FLOAT
    assert values["b"].rank == 2


def test_what_the_file_records_is_not_believed() -> None:
    proto = model(TEXT)
    proto.graph.value_info.append(helper.make_tensor_value_info("a", TensorProto.INT64, [7, 7, 7]))
    values = Model(proto).graph.values
    assert values["a"].shape == (dim("N"), 4)
    assert values["b"].dtype == TensorProto.FLOAT


@pytest.mark.parametrize("asked_before", [True, False])
def test_new_nodes_have_types_before_and_after_they_take_over_a_name(asked_before: bool) -> None:
    graph = opened().graph
    old = graph.values["a"]
    if asked_before:
        assert old.shape == (dim("N"), 4)
    half = graph.add_node("Cast", [old], to=TensorProto.FLOAT16).output
    new = graph.add_node("Cast", [half], to=TensorProto.FLOAT).output
    if asked_before:
        assert half.dtype == TensorProto.FLOAT16
    assert graph.replace(old, new)
    assert new.name == "a"
    assert old.dtype == new.dtype == TensorProto.FLOAT
    assert half.dtype == TensorProto.FLOAT16
    assert old.shape == half.shape == new.shape == (dim("N"), 4)


@pytest.mark.parametrize("asked_before", [True, False])
def test_a_value_of_another_type_that_takes_over_a_name_has_its_own_type(
    asked_before: bool,
) -> None:
    graph = opened().graph
    old = graph.values["b"]
    if asked_before:
        assert old.dtype == TensorProto.FLOAT
    else:
        assert graph.values["x"].dtype == TensorProto.FLOAT
    new = graph.add_node("Cast", [graph.values["a"]], to=TensorProto.DOUBLE).output
    assert graph.replace(old, new)
    assert new.name == "b"
    assert new.dtype == TensorProto.DOUBLE


def test_an_initializer_that_takes_over_a_name_has_its_own_type() -> None:
    graph = opened("g (float[4] x) => (float[4] y) <float[4] w> { a = Exp(w) y = Add(x, a) }").graph
    assert graph.values["a"].shape == (4,)
    new = graph.constant(np.zeros((1, 4), np.float16))
    assert graph.replace(graph.values["a"], new)
    assert (new.name, new.shape, new.dtype) == ("a", (1, 4), TensorProto.FLOAT16)


def test_what_is_known_of_a_value_holds_of_what_onnx_knows_nothing_about() -> None:
    graph = opened().graph
    old = graph.values["b"]
    assert old.shape == (dim("N"), 4)
    new = graph.add_node("Mine", [graph.values["a"]], domain="com.example").output
    assert new.shape is None
    again = graph.add_node("Mine", [graph.values["a"]], domain="com.example").output
    assert graph.replace(old, again)
    assert again.shape == (dim("N"), 4)
    assert again.dtype == TensorProto.FLOAT


def test_values_that_were_renamed_keep_their_types() -> None:
    graph = opened().graph
    assert graph.values["a"].shape is not None
    b = graph.values["b"]
    b.rename("other")
    assert b.shape == (dim("N"), 4)


def test_shapes_are_followed_through_their_arithmetic() -> None:
    graph = opened("""
    g (float[N,4] x) => (float[M] y) <int64 zero = {0}, int64[1] two = {2}, int64[1] axes = {0}> {
        s = Shape(x)
        n = Gather(s, zero)
        u = Unsqueeze(n, axes)
        m = Mul(u, two)
        k = Constant<value_ints = [2]>()
        t = Concat<axis = 0>(m, k)
        r = Reshape(x, t)
        y = Identity(k)
    }
    """).graph
    assert graph.values["s"].contents is not None
    assert graph.values["t"].shape == (2,)
    assert graph.values["r"].shape == (2 * dim("N"), 2)


def test_what_was_unknown_is_looked_at_again_once_what_it_depends_on_is_constant() -> None:
    graph = opened("""
    g (float[4] x, int64[2] s) => (float[A,B] y) { t = Abs(s) r = Reshape(x, t) e = Exp(r) y = Neg(e) }
    """).graph
    assert not any(is_named(size) for size in graph.values["e"].shape)
    assert graph.replace(graph.values["t"], graph.constant(np.array([2, 2])))
    assert graph.values["e"].shape == (2, 2)
    assert graph.values["r"].shape == (2, 2)


def test_a_size_without_a_name_equals_itself_wherever_it_stands() -> None:
    graph = opened("""
    g (float[?,?] x, float[?,?] y) => (float[A,B] z, float[C,D] w, int64[2] s)
    { t = Relu(x) s = Shape(t) z = Sin(t) u = NonZero(y) w = Cast<to = 1>(u) }
    """).graph
    x, y, w = (graph.values[name] for name in "xyw")
    assert graph.values["z"].shape == x.shape == graph.values["s"].contents.elements
    assert len({*x.shape, *y.shape, *w.shape}) == 6
    assert not any(map(is_named, (*x.shape, *y.shape, w.shape[1])))
    assert all(not d.dim_param for d in w.type.tensor_type.shape.dim)


def test_values_in_bodies_have_types_and_new_ones_too() -> None:
    subject = opened("""
    g (float[N,4] x, bool q) => (float[N,4] y) {
        a = Abs(x)
        y = If (q) <
            then_branch = t () => (float[N,4] u) { p = Neg(a) u = Exp(p) },
            else_branch = e () => (float[N,4] v) { v = Exp(x) }
        >
    }
    """)
    body = subject.graph.values["y"].producer.subgraphs[0]
    assert body.values["p"].shape == (dim("N"), 4)
    new = body.add_node("Shape", [body.values["p"]]).output
    assert new.shape == (2,)
    assert new.dtype == TensorProto.INT64
    captured = body.add_node("Cast", [subject.graph.values["a"]], to=TensorProto.DOUBLE).output
    assert (captured.dtype, captured.shape) == (TensorProto.DOUBLE, (dim("N"), 4))


def test_a_body_that_hides_a_name_has_types_of_its_own() -> None:
    subject = opened("""
    g (float[4] x, bool q) => (float[4] y) {
        a = Abs(x)
        y = If (q) <
            then_branch = t () => (float[4] u) { c = Cast<to = 11>(x) u = Cast<to = 1>(c) },
            else_branch = e () => (float[4] v) { v = Exp(a) }
        >
    }
    """)
    body = subject.graph.values["y"].producer.subgraphs[0]
    body.values["c"].rename("a")
    assert body.values["a"].dtype == TensorProto.DOUBLE
    assert subject.graph.values["a"].dtype == TensorProto.FLOAT


def test_what_is_no_tensor_has_a_type_and_no_shape() -> None:
    graph = opened(
        "g (float[4] x) => (float[4] y) <int64 i = {0}> { s = SequenceConstruct(x, x) y = SequenceAt(s, i) }"
    ).graph
    s = graph.values["s"]
    assert s.type is not None
    assert s.type.WhichOneof("value") == "sequence_type"
    assert s.shape is None
    assert s.dtype is None
    assert isinstance(s.type, TypeProto)


def test_a_model_onnx_rejects_is_inferred_as_far_as_it_goes() -> None:
    proto = model(
        "g (float[4] x, float[3] z) => (float[4] y) { a = Abs(x) bad = Add(x, z) y = Neg(a) }"
    )
    values = Model(proto).graph.values
    assert values["a"].shape == (4,)


def test_a_long_row_of_new_ifs_is_inferred_without_recursion() -> None:
    subject = opened("g (float[4] x, bool q) => (float[4] y) { y = Neg(x) }")
    graph = subject.graph
    assert graph.values["y"].shape == (4,)
    value = graph.values["x"]
    for index in range(1500):
        branch = helper.make_graph(
            [helper.make_node("Neg", [value.name], [f"b{index}"])],
            "b",
            [],
            [helper.make_tensor_value_info(f"b{index}", TensorProto.FLOAT, None)],
        )
        value = graph.add_node(
            "If", [graph.values["q"]], then_branch=branch, else_branch=branch
        ).output
    assert value.dtype == TensorProto.FLOAT


def test_of_very_many_bodies_each_is_inferred_by_itself() -> None:
    rows = "\n".join(
        f"v{i + 1} = If (c) <"
        f" then_branch = t{i} () => (float[N,4] p{i}) {{ p{i} = Relu(v{i}) }},"
        f" else_branch = e{i} () => (float[N,4] q{i}) {{ q{i} = Neg(v{i}) }} >"
        for i in range(600)
    )
    text = f"g (float[N,4] x, bool c) => (float[N,4] y) {{ v0 = Abs(x) {rows} y = Exp(v600) }}"
    values = opened(text).graph.values
    assert values["v600"].shape == values["v0"].shape == (dim("N"), 4)
    assert values["y"].dtype == TensorProto.FLOAT


def test_a_new_if_has_of_the_shapes_of_its_branches_what_they_have_in_common() -> None:
    subject = opened("g (float[N,3] x, bool q) => (float[N,3] y) { y = Relu(x) }")
    graph = subject.graph
    assert graph.values["y"].shape == (dim("N"), 3)
    same = helper.make_graph(
        [helper.make_node("Sin", ["x"], ["s"])],
        "t",
        [],
        [helper.make_tensor_value_info("s", TensorProto.FLOAT, None)],
    )
    twice = helper.make_graph(
        [helper.make_node("Concat", ["x", "x"], ["d"], axis=0)],
        "e",
        [],
        [helper.make_tensor_value_info("d", TensorProto.FLOAT, None)],
    )
    alike = graph.add_node("If", [graph.values["q"]], then_branch=same, else_branch=same)
    assert alike.output.shape == (dim("N"), 3)
    other = graph.add_node("If", [graph.values["q"]], then_branch=same, else_branch=twice)
    rows, columns = other.output.shape
    assert not is_named(rows)
    assert columns == 3


def test_an_attribute_that_the_caller_of_a_function_sets_is_not_taken_for_zero() -> None:
    subject = opened("""
    <ir_version: 8, opset_import: ["" : 17, "f" : 1]>
    g (float[2,3] x) => (float[2,6] y, int64[2,3] z, float[3,2] w) {
        y, z, w = f.f <axis = 1, to = 7, perm = [1, 0]> (x)
    }
    <domain: "f", opset_import: ["" : 17]>
    f <axis, to, perm> (x) => (y, z, w) {
        y = Concat <axis: int = @axis> (x, x)
        z = Cast <to: int = @to> (x)
        w = Transpose <perm: ints = @perm> (x)
    }
    """)
    values = subject.functions[0].values
    assert [values[name].shape for name in "ywz"] == [None, None, None]
    assert [values[name].dtype for name in "ywz"] == [TensorProto.FLOAT, TensorProto.FLOAT, None]


def test_an_input_of_fixed_size_takes_no_inference_to_be_known() -> None:
    subject = opened("g (float[2,3] x, float[N,3] z) => (float[2,3] y) { y = Relu(x) }")
    x = subject.graph.values["x"]
    assert (x.shape, x.dtype, x.contents) == ((2, 3), TensorProto.FLOAT, None)
    assert x.known is None
    assert subject.graph.values["z"].shape == (dim("N"), 3)
    assert x.shape == (2, 3)
    assert x.known is not None


@pytest.mark.parametrize("is_told", [True, False])
def test_onnx_is_asked_again_about_a_body_once_more_is_known_of_what_it_is_given(
    is_told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = opened(
        """g (float[N,4] x, int64[2] to) => (float[A,B,C] y) {
            a = Reshape(x, to)
            y = Scan <num_scan_inputs = 1, body = each (p) => (q) { q = Neg(p) }> (a)
        }"""
    )
    graph = subject.graph
    scan = graph.values["y"].producer
    (inner,) = scan.subgraphs[0].inputs
    assert not is_named(inner.shape[0])
    asked = []
    monkeypatch.setattr(
        "onnxforge.ir.inference.shapes.infer_model",
        lambda *given: asked.append(given) or infer_model(*given),
    )
    if is_told:
        known = graph.add_node("Relu", [graph.values["x"]], before=scan).output
        assert graph.replace(graph.values["a"], known)
    else:
        graph.add_node("Relu", [graph.values["x"]])
    subject.infer_anew()
    assert inner.rank == 1
    assert bool(asked) == is_told
    assert (inner.shape == (4,)) == is_told
