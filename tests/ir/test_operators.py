"""What is known about operators, their attributes and their defaults."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, TensorProto, helper

from onnxforge import Model
from onnxforge.ir.operators import (
    attribute_defaults,
    declare,
    lookup,
    make_attribute,
    may_have_bodies,
    python_value,
)
from onnxforge.testing import model


def test_a_missing_attribute_has_the_default_of_the_graph_s_opset() -> None:
    text = "g (float[N,C,H,W] x, float[C] s) => (float[N,C,H,W] y) { y = BatchNormalization(x, s, s, s, s) }"
    node = next(iter(Model(model(text)).graph))
    assert node.attribute("epsilon") == pytest.approx(1e-5)
    assert node.attribute("training_mode") == 0
    assert node.attribute("nonsense") is None
    assert "epsilon" not in node.attributes
    node = next(iter(Model(model(text, opset=9)).graph))
    assert node.attribute("training_mode") is None


@pytest.mark.parametrize(
    ("op_type", "domain", "deterministic", "effects"),
    [
        ("Conv", "", True, False),
        ("RandomNormal", "", False, False),
        ("Multinomial", "", False, False),
        ("Nonsense", "", False, True),
        ("Nonsense", "ai.onnx.ml", False, True),
        ("LabelEncoder", "ai.onnx.ml", True, False),
        ("Print", "com.example", False, True),
        ("FusedConv", "com.microsoft", True, False),
        ("BiasDropout", "com.microsoft", False, False),
    ],
)
def test_of_an_operator_nobody_knows_the_worst_is_assumed(
    op_type: str, domain: str, deterministic: bool, effects: bool
) -> None:
    known = lookup(op_type, domain)
    assert (known.deterministic, known.effects) == (deterministic, effects)


def test_a_declared_operator_is_what_it_is_declared_to_be() -> None:
    declare("Known", "com.example.declared", commutative=True)
    assert lookup("Known", "com.example.declared").commutative
    assert not lookup("Known", "com.example.declared").effects
    assert lookup("Other", "com.example.declared").effects


def test_a_node_is_as_random_as_its_bodies() -> None:
    text = """
    g (float[4] x, bool q) => (float[4] y) {
        y = If (q) <
            then_branch = t () => (float[4] a) {
                a = If (q) <
                    then_branch = tt () => (float[4] r) { r = RandomNormalLike(x) },
                    else_branch = te () => (float[4] s) { s = Neg(x) }
                >
            },
            else_branch = e () => (float[4] b) { b = Abs(x) }
        >
    }
    """
    node = next(iter(Model(model(text)).graph))
    assert not node.operator.deterministic
    assert not node.operator.effects


def test_a_dropout_that_may_train_is_random() -> None:
    plain, training = Model(
        model(
            "g (float[4] x, float r, bool t) => (float[4] y) { a = Dropout(x, r) y = Dropout(a, r, t) }"
        )
    ).graph
    assert plain.operator.deterministic
    assert not training.operator.deterministic


def test_all_operators_that_carry_graphs_are_looked_into() -> None:
    carriers = {s.name for s in onnx.defs.get_all_schemas() if may_have_bodies(s.name, s.domain)}
    assert carriers >= {"If", "Loop", "Scan", "SequenceMap"}
    assert may_have_bodies("Custom", "")
    assert may_have_bodies("Custom", "com.example")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 3),
        (0.5, 0.5),
        ("text", "text"),
        (b"\xff\xfe", b"\xff\xfe"),
        ([1, 2], [1, 2]),
        ([0.5], [0.5]),
        (["a", "b"], ["a", "b"]),
        (np.int64(3), 3),
        (np.array([1, 2]), [1, 2]),
        (True, 1),
    ],
)
def test_attributes_are_python_values_and_back(value: object, expected: object) -> None:
    assert python_value(make_attribute("k", value, "Op", "com.example", 1)) == expected


def test_attributes_have_the_type_of_the_schema() -> None:
    assert make_attribute("alpha", 1, "LeakyRelu", "", 17).type == AttributeProto.FLOAT
    assert make_attribute("axes", [], "Squeeze", "", 11).type == AttributeProto.INTS
    assert make_attribute("scales", [1, 2], "Upsample", "", 7).type == AttributeProto.FLOATS


def test_an_attribute_s_protobuf_is_copied_under_the_new_name() -> None:
    given = helper.make_attribute("old", [1, 2])
    made = make_attribute("new", given, "Op", "", 17)
    assert (made.name, given.name) == ("new", "old")
    assert list(made.ints) == [1, 2]


def test_defaults_are_those_of_the_version_asked_for() -> None:
    assert attribute_defaults("Softmax", "", 11)["axis"] == 1
    assert attribute_defaults("Softmax", "", 13)["axis"] == -1
    assert not attribute_defaults("Nonsense", "", 13)


CONSTANTS = {
    "value_int": (3, np.int64(3)),
    "value_ints": ([1, 2], np.array([1, 2])),
    "value_float": (0.5, np.float32(0.5)),
    "value_floats": ([0.5], np.array([0.5], np.float32)),
    "value_string": ("s", np.array("s", object)),
    "value_strings": (["a", "b"], np.array(["a", "b"], object)),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_a_constant_node_is_read_however_it_spells_its_data(name: str) -> None:
    given, expected = CONSTANTS[name]
    graph = Model(model("g (float x) => (float y) { y = Neg(x) }")).graph
    node = graph.add_node("Constant", [], **{name: given})
    assert node.output.is_constant
    found = node.output.numpy()
    assert found.dtype == np.asarray(expected).dtype
    np.testing.assert_array_equal(found, expected)


DTYPES = [number for name, number in TensorProto.DataType.items() if name != "UNDEFINED"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_constant_of_every_dtype_is_read_and_written_back(dtype: int) -> None:
    if dtype == TensorProto.STRING:
        array = np.array(["a", "b"], object)
    else:
        array = np.array([0, 1, 1, 0]).astype(helper.tensor_dtype_to_np_dtype(dtype))
    graph = Model(model("g (float x) => (float y) { y = Neg(x) }")).graph
    value = graph.constant(array)
    assert value.dtype == dtype
    assert value.shape == array.shape
    found = value.numpy()
    assert found.dtype == array.dtype
    assert (found == array).all() or found.tobytes() == array.tobytes()  # the bytes of NaN
    assert not value.numpy().flags.writeable
