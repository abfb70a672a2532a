"""What a pattern means: which subgraphs it fits, and which it does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx.reference
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxforge import Const, Match, Model, Pattern, Value
from onnxforge.testing import model

X = "g (float[2,3] x, float[2,3] z) => (float[2,3] y)"


def find(
    pattern: Callable[..., Any],
    text: str | onnx.ModelProto,
    *,
    opset: int = 17,
    shared: bool = False,
) -> Match | None:
    """The match at the node that computes the first output."""
    proto = model(text, opset=opset) if isinstance(text, str) else text
    producer = Model(proto).graph.outputs[0].producer
    assert producer is not None
    return Pattern(pattern).match(producer, shared=shared)


def names(match: Match | None) -> dict[str, str | None]:
    assert match is not None
    return {name: value and value.name for name, value in match.values.items()}


# Structure


def test_a_chain_binds_its_variable_and_lists_nodes_as_written() -> None:
    def pattern(op: Any, x: Value) -> Any:
        return op.Relu(op.Neg(x))

    match = find(pattern, f"{X} {{ a = Neg(x)  y = Relu(a) }}")
    assert names(match) == {"x": "x"}
    assert match is not None
    assert [node.op_type for node in match.nodes] == ["Neg", "Relu"]
    assert match.root.op_type == "Relu"
    assert [value.name for value in match.outputs] == ["y"]


def test_another_operator_does_not_match() -> None:
    assert find(lambda op, x: op.Relu(op.Neg(x)), f"{X} {{ a = Abs(x)  y = Relu(a) }}") is None


def test_an_operator_of_another_domain_does_not_match() -> None:
    text = '<ir_version: 10, opset_import: ["" : 17, "com.microsoft" : 1]>' + X
    own, foreign = f"{text} {{ y = Gelu(x) }}", f"{text} {{ y = com.microsoft.Gelu(x) }}"

    def pattern(op: Any, x: Value) -> Any:
        return op.Gelu(x, domain="com.microsoft")

    assert find(pattern, own) is None
    assert find(pattern, foreign) is not None


def test_the_long_name_of_the_standard_domain_is_the_same() -> None:
    proto = model(f"{X} {{ y = Relu(x) }}")
    proto.graph.node[0].domain = "ai.onnx"
    assert find(lambda op, x: op.Relu(x), proto) is not None


def test_one_variable_twice_is_one_value_twice() -> None:
    def pattern(op: Any, x: Value) -> Any:
        return op.Mul(x, op.Sigmoid(x))

    assert find(pattern, f"{X} {{ s = Sigmoid(x)  y = Mul(x, s) }}") is not None
    assert find(pattern, f"{X} {{ s = Sigmoid(x)  y = Mul(z, s) }}") is None


def test_one_call_read_twice_is_one_node() -> None:
    def pattern(op: Any, x: Value) -> Any:
        a = op.Neg(x)
        return op.Mul(a, op.Sigmoid(a))

    assert find(pattern, f"{X} {{ a = Neg(x)  s = Sigmoid(a)  y = Mul(a, s) }}") is not None
    two = f"{X} {{ a = Neg(x)  b = Neg(x)  s = Sigmoid(a)  y = Mul(b, s) }}"
    assert find(pattern, two) is None


def test_commutative_operators_match_either_way_and_others_do_not() -> None:
    either = f"{X} {{ a = Neg(x)  y = Add(z, a) }}"
    assert names(find(lambda op, x, z: op.Add(op.Neg(x), z), either)) == {"x": "x", "z": "z"}
    assert find(lambda op, x, z: op.Sub(op.Neg(x), z), either.replace("Add", "Sub")) is None


def test_matching_goes_back_on_the_order_it_tried_first() -> None:
    def pattern(op: Any, x: Value) -> Any:
        return op.Add(op.Mul(op.Neg(x), op.Abs(x)), op.Exp(op.Abs(x)))

    text = f"{X} {{ n = Neg(x) a = Abs(x) m = Mul(a, n) b = Abs(x) e = Exp(b) y = Add(e, m) }}"
    assert find(pattern, text) is not None


# Guards and optional inputs


def test_a_const_is_an_initializer_or_a_constant_but_nothing_a_caller_may_set() -> None:
    def pattern(op: Any, x: Value, w: Const) -> Any:
        return op.Add(x, w)

    initializer = model(f"{X} <float[3] w> {{ y = Add(x, w) }}")
    assert names(find(pattern, initializer)) == {"x": "x", "w": "w"}
    assert find(pattern, f"{X} {{ w = Constant <value_float = 1.0> ()  y = Add(x, w) }}")
    assert find(pattern, f"{X} {{ y = Add(x, z) }}") is None
    initializer.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [3]))
    assert find(pattern, initializer) is None


@pytest.mark.parametrize("text", ["Conv(x, w)", 'Conv(x, w, "")'])
def test_an_absent_trailing_input_and_an_empty_one_are_the_same(text: str) -> None:
    def optional(op: Any, x: Value, w: Value, b: Const | None) -> Any:
        return op.Conv(x, w, b)

    def required(op: Any, x: Value, w: Value, b: Value) -> Any:
        return op.Conv(x, w, b)

    def absent(op: Any, x: Value, w: Value) -> Any:
        return op.Conv(x, w)

    conv = f"g (float[1,1,4] x) => (float[1,1,2] y) <float[1,1,3] w> {{ y = {text} }}"
    assert names(find(optional, conv)) == {"x": "x", "w": "w", "b": None}
    assert find(required, conv) is None
    assert find(absent, conv) is not None


def test_an_input_the_pattern_does_not_name_must_be_absent() -> None:
    conv = "g (float[1,1,4] x) => (float[1,1,2] y) <float[1,1,3] w, float[1] b> {y = Conv(x, w, b)}"
    assert find(lambda op, x, w: op.Conv(x, w), conv) is None


def test_none_asks_for_an_absent_input() -> None:
    def pattern(op: Any, x: Value, high: Const) -> Any:
        return op.Clip(x, None, high)

    text = f"{X} <float low, float high> {{{{ y = Clip(x, {{}}, high) }}}}"
    assert find(pattern, text.format('""')) is not None
    assert find(pattern, text.format("low")) is None


# Attributes


@pytest.mark.parametrize(
    ("opset", "text", "axis", "fits"),
    [
        (13, "Softmax(x)", -1, True),  # the default since 13
        (13, "Softmax(x)", 1, False),
        (12, "Softmax(x)", 1, True),  # the default until 12
        (12, "Softmax(x)", -1, False),
        (12, "Softmax<axis = -1>(x)", -1, True),
    ],
)
def test_an_attribute_that_is_not_written_has_its_opsets_default(
    opset: int, text: str, axis: int, fits: bool
) -> None:
    found = find(lambda op, x: op.Softmax(x, axis=axis), f"{X} {{ y = {text} }}", opset=opset)
    assert (found is not None) is fits


def test_an_attribute_an_opset_does_not_know_has_its_later_default() -> None:
    reshape = "g (float[2,3] x) => (float[3,2] y) <int64[2] s = {3, 2}> { y = Reshape(x, s) }"
    assert find(lambda op, x, s: op.Reshape(x, s, allowzero=0), reshape, opset=11)
    assert not find(lambda op, x, s: op.Reshape(x, s, allowzero=1), reshape, opset=11)


def test_floats_lists_and_text_compare_as_attributes_store_them() -> None:
    assert find(lambda op, x: op.Elu(x, alpha=0.1), f"{X} {{ y = Elu <alpha = 0.1> (x) }}")
    assert not find(lambda op, x: op.Elu(x, alpha=0.1), f"{X} {{ y = Elu <alpha = 0.11> (x) }}")
    assert find(
        lambda op, x: op.Transpose(x, perm=[0, 1]), f"{X} {{ y = Transpose<perm = [0, 1]>(x) }}"
    )
    gelu = f'{X} {{ y = Gelu <approximate = "tanh"> (x) }}'
    assert find(lambda op, x: op.Gelu(x, approximate="tanh"), gelu, opset=20)
    assert not find(lambda op, x: op.Gelu(x, approximate="none"), gelu, opset=20)


def test_an_attribute_that_callers_of_a_function_set_matches_nothing() -> None:
    proto = model(
        f"""
        <ir_version: 10, opset_import: ["" : 17, "my" : 1]>
        {X} {{ y = my.Leaky <alpha = 0.01> (x) }}
        <domain: "my", opset_import: ["" : 17]>
        Leaky <alpha> (x) => (y) {{ y = LeakyRelu <alpha: float = @alpha> (x) }}
        """
    )
    (node,) = Model(proto).functions[0]
    assert Pattern(lambda op, x: op.LeakyRelu(x)).match(node) is None


# Numbers


@pytest.mark.parametrize("dtype", ["float", "float16", "double", "bfloat16"])
def test_a_number_is_a_constant_near_it(dtype: str) -> None:
    kind = TensorProto.DataType.Value(dtype.upper())
    for number, fits in ((0.7071067811865476, True), (0.72, False)):
        proto = model(f"g ({dtype}[2,3] x) => ({dtype}[2,3] y) <{dtype} w> {{ y = Mul(x, w) }}")
        proto.graph.initializer[0].CopyFrom(helper.make_tensor("w", kind, [], [number]))
        assert (find(lambda op, x: op.Mul(x, 0.7071067811865476), proto) is not None) is fits


def test_an_integer_must_be_equal() -> None:
    proto = model("g (int64[2,3] x) => (int64[2,3] y) <int64 w = {1000000}> { y = Add(x, w) }")
    assert find(lambda op, x: op.Add(x, 1000000), proto) is not None
    assert find(lambda op, x: op.Add(x, 1000001), proto) is None


@pytest.mark.parametrize(
    ("shape", "fits"),
    [((), True), ((1,), True), ((1, 1), True), ((1, 1, 1), False), ((3,), False), ((0,), False)],
)
def test_a_number_has_one_element_and_does_not_raise_the_rank(
    shape: tuple[int, ...], fits: bool
) -> None:
    proto = model(f"{X} <float w> {{ y = Add(x, w) }}")
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones(shape, np.float32), "w"))
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    assert (find(lambda op, x: op.Add(x, 1.0), proto) is not None) is fits


def test_the_rank_of_a_value_of_unknown_shape_may_be_raised_by_all_but_a_scalar() -> None:
    proto = model(f"{X} <float[1] w = {{1.0}}, float s = {{1.0}}> {{ y = Add(x, w) }}")
    proto.graph.input[0].type.tensor_type.ClearField("shape")
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    assert find(lambda op, x: op.Add(x, 1.0), proto) is None
    proto.graph.node[0].input[1] = "s"
    assert find(lambda op, x: op.Add(x, 1.0), proto) is not None


def test_a_number_is_neither_a_text_nor_what_a_caller_may_set() -> None:
    proto = model(f"{X} <float w = {{1.0}}> {{ y = Add(x, w) }}")
    proto.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, []))
    assert find(lambda op, x: op.Add(x, 1.0), proto) is None
    text = 'g (string[2] x) => (string[2] y) <string w = {"1.0"}> { y = StringConcat(x, w) }'
    assert find(lambda op, x: op.StringConcat(x, 1.0), text, opset=20) is None


# Privacy


@pytest.mark.parametrize(
    "text",
    [
        "g (float[N] x) => (float[N] y, float[N] a) { a = Neg(x)  y = Relu(a) }",
        "g (float[N] x) => (float[N] y, float[N] b) { a = Neg(x)  y = Relu(a)  b = Exp(a) }",
        """g (float[N] x, bool c) => (float[N] y, float[N] b) {
            a = Neg(x)
            y = Relu(a)
            b = If (c) <
                then_branch = t () => (float[N] p) { p = Exp(a) },
                else_branch = e () => (float[N] q) { q = Abs(x) }
            >
        }""",
    ],
    ids=["returned", "read", "read in a body"],
)
def test_what_is_inside_a_match_must_not_be_used_elsewhere_unless_shared(text: str) -> None:
    def pattern(op: Any, x: Value) -> Any:
        return op.Relu(op.Neg(x))

    assert find(pattern, text) is None
    assert find(pattern, text, shared=True) is not None


def test_another_output_of_a_node_inside_must_not_be_used_either() -> None:
    def pattern(op: Any, x: Value, k: Const) -> Any:
        values, _ = op.TopK(x, k, outputs=2)
        return op.Relu(values)

    text = (
        "g (float[9] x) => (float[1] y{}) <int64[1] k = {{1}}> {{ v, i = TopK(x, k) y = Relu(v) }}"
    )
    assert find(pattern, text.format("")) is not None
    assert find(pattern, text.format(", int64[1] i")) is None


def test_an_output_the_pattern_does_not_name_must_not_be_used() -> None:
    text = "g (float[N] x) => (float[N] y{}) {{ a, m = Dropout(x)  y = Relu(a) }}"
    assert find(lambda op, x: op.Relu(op.Dropout(x)), text.format("")) is not None
    assert find(lambda op, x: op.Relu(op.Dropout(x)), text.format(", bool[N] m")) is None


def test_a_match_lies_in_one_graph() -> None:
    proto = model(
        """
        g (float[N] x, bool c) => (float[N] y) {
            a = Neg(x)
            y = If (c) <
                then_branch = t () => (float[N] p) { p = Relu(a) },
                else_branch = e () => (float[N] q) { q = Abs(x) }
            >
        }
        """
    )
    body, *_ = Model(proto).graphs()
    (node,) = body
    assert node.op_type == "Relu"
    assert Pattern(lambda op, x: op.Relu(op.Neg(x))).match(node, shared=True) is None


# Alternatives


def test_any_takes_the_first_spelling_that_fits_and_lists_only_its_nodes() -> None:
    def pattern(op: Any, x: Value, z: Value | None) -> Any:
        a = op.Neg(x)
        return op.Relu(op.any(a, op.Add(a, z)))

    plain = find(pattern, f"{X} {{ a = Neg(x)  y = Relu(a) }}")
    added = find(pattern, f"{X} {{ a = Neg(x)  s = Add(z, a)  y = Relu(s) }}")
    assert names(plain) == {"x": "x", "z": None}
    assert names(added) == {"x": "x", "z": "z"}
    assert added is not None
    assert [node.op_type for node in added.nodes] == ["Neg", "Add", "Relu"]


def test_an_alternative_may_be_a_variable_or_a_number() -> None:
    def pattern(op: Any, x: Value) -> Any:
        return op.Mul(x, op.any(2.0, op.Exp(x), x))

    two = model(f"{X} <float w = {{2.0}}> {{ y = Mul(x, w) }}")
    assert find(pattern, two) is not None
    assert find(pattern, f"{X} {{ e = Exp(x)  y = Mul(x, e) }}") is not None
    assert find(pattern, f"{X} {{ y = Mul(x, x) }}") is not None
    assert find(pattern, f"{X} {{ y = Mul(x, z) }}") is None


# Several outputs


def test_two_outputs_of_one_node() -> None:
    def pattern(op: Any, x: Value, k: Const) -> Any:
        values, indices = op.TopK(x, k, outputs=2)
        return values, indices

    text = "g (float[9] x) => (float[1] v, int64[1] i) <int64[1] k = {1}> { v, i = TopK(x, k) }"
    match = find(pattern, text)
    assert match is not None
    assert [value.name for value in match.outputs] == ["v", "i"]
    assert len(match.nodes) == 1


def test_siblings_that_share_an_input() -> None:
    def pattern(op: Any, x: Value, v: Const, w: Const) -> Any:
        return op.MatMul(x, v), op.MatMul(x, w)

    match = find(
        pattern,
        "g (float[2,3] x) => (float[2,3] y, float[2,3] z) <float[3,3] v, float[3,3] w>"
        "{ z = MatMul(x, v)  y = MatMul(x, w) }",
    )
    assert names(match) == {"x": "x", "v": "v", "w": "w"}
    assert match is not None
    assert [value.name for value in match.outputs] == ["z", "y"]


def test_siblings_may_be_deep_and_spelt_in_several_ways() -> None:
    def pattern(op: Any, x: Value) -> Any:
        return op.Exp(op.any(op.Neg(x), op.Abs(op.Neg(x)))), op.Relu(x)

    for deep in ("n = Neg(x)  z = Exp(n)", "n = Neg(x)  a = Abs(n)  z = Exp(a)"):
        text = f"g (float[N] x) => (float[N] y, float[N] z) {{ {deep}  y = Relu(x) }}"
        assert find(pattern, text) is not None


def test_a_sibling_computed_from_the_other_outside_the_match_would_make_a_cycle() -> None:
    def pattern(op: Any, x: Value, v: Value, w: Value) -> Any:
        return op.MatMul(x, v), op.MatMul(x, w)

    apart = "g (float[3,3] x, float[3,3] b) => (float[3,3] y, float[3,3] a)"
    assert find(pattern, f"{apart} {{ a = MatMul(x, b)  c = Neg(b)  y = MatMul(x, c) }}")
    assert not find(pattern, f"{apart} {{ a = MatMul(x, b)  c = Neg(a)  y = MatMul(x, c) }}")


def test_an_output_may_lie_inside_the_match() -> None:
    def pattern(op: Any, x: Value) -> Any:
        a = op.Neg(x)
        return a, op.Relu(a)

    text = "g (float[N] x) => (float[N] y, float[N] a, float[N] b) {a=Neg(x) y=Relu(a) b=Exp(a)}"
    assert find(pattern, text) is not None


# Tracing


def test_a_pattern_must_return_what_its_operators_return() -> None:
    with pytest.raises(TypeError, match="must return what the operators it calls return"):
        Pattern(lambda op, x: x)  # noqa: ARG005


def test_a_pattern_prints_as_onnx_text_that_means_the_same() -> None:
    def swish(op: Any, x: Value) -> Any:
        return op.Mul(op.Add(x, 1.5), op.Softmax(x, axis=1))

    function = Pattern(swish).to_function("my", "Swish", {"": 17})
    onnx.checker.check_function(function)
    assert [node.op_type for node in function.node] == [
        "Constant", "CastLike", "Add", "Softmax", "Mul",
    ]  # fmt: skip
    text = onnx.printer.to_text(function)
    assert "Softmax <axis: int = 1> (x)" in text
    proto = model('<ir_version: 10, opset_import: ["" : 17, "my" : 1]> '
                  "g (double[2,3] x) => (double[2,3] y) { y = my.Swish(x) }")  # fmt: skip
    proto.functions.append(onnx.parser.parse_function(text))
    x = np.arange(6.0).reshape(2, 3)
    (y,) = onnx.reference.ReferenceEvaluator(proto).run(None, {"x": x})
    np.testing.assert_allclose(y, (x + 1.5) * np.exp(x) / np.exp(x).sum(1, keepdims=True))


def test_of_alternatives_the_first_is_printed() -> None:
    def pattern(op: Any, x: Value, z: Value | None) -> Any:
        a = op.Neg(x)
        return op.Relu(op.any(a, op.Add(a, z)))

    function = Pattern(pattern).to_function("my", "F", {"": 17})
    assert [node.op_type for node in function.node] == ["Neg", "Relu"]
    assert list(function.input) == ["x", "z"]
