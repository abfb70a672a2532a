from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

import onnxforge
from onnxforge import Model
from onnxforge.errors import InvalidModelError
from onnxforge.inspection import inspect
from onnxforge.testing import model
from pains.promises import assert_same, nodes, optimized, outputs


def test_an_output_that_could_be_folded_keeps_its_name_and_its_producer():
    """A27: const_graph_output."""
    optimized(
        """g (float[2] x) => (float[2] y, float[2] k) <float[2] a = {1,2}, float[2] b = {3,4}>
        { k = Add(a, b) y = Add(x, k) }"""
    )


def test_an_initializer_may_be_an_output():
    """A27: initializer_is_output."""
    optimized(
        """g (float[2] x) => (float[2] y, float[2] k) <float[2] k = {1,2}> { y = Add(x, k) }""",
    )


SIGNATURES = {
    "B42-cse_two_graph_outputs": """g (float[2] x) => (float[2] y, float[2] z)
        { y = Relu(x) z = Relu(x) }""",
    "B42-identity_two_outputs_same_value": """g (float[2] x) => (float[2] y, float[2] z)
        { t = Relu(x) y = Identity(t) z = Identity(t) }""",
    "B42-identity_of_an_output": """g (float[2] x) => (float[2] y, float[2] z)
        { y = Relu(x) z = Identity(y) }""",
    "B42-input_to_output_identity": "g (float[2] x) => (float[2] y) { y = Identity(x) }",
    "B42-input_to_output_identity_twice": """g (float[2] x) => (float[2] y, float[2] z)
        { y = Identity(x) z = Identity(x) }""",
    "B42-input_to_output_by_nodes_of_no_effect": """g (float[2] x) => (float[2] y)
        { a = Transpose(x) b = Transpose(a) c = Cast<to=1>(b) y = Identity(c) }""",
    "B42-input_is_output": "g (float[2] x) => (float[2] x, float[2] y) { y = Relu(x) }",
    "B42-output_of_a_constant_by_identity": """g (float[2] x) => (float[2] y, float[2] z)
        <float[2] k = {1,2}> { y = Identity(k) z = Add(x, k) }""",
    "B43-unused_graph_input": """g (float[2] x, float[N,3] unused, int64 n) => (float[2] y)
        { y = Relu(x) }""",
    "B43-input_becomes_unused_after_fold": """g (float[2] x, float[N,3] w) => (float[2] y)
        <int64 i = {1}, int64[1] z = {0}>
        { s = Shape(w) d = Gather(s, i) f = Cast<to=1>(d) y = Add(x, f) }""",
    "B43-input_only_read_by_dead_nodes": """g (float[2] x, float[N,3] w) => (float[2] y)
        { dead = Relu(w) y = Relu(x) }""",
}


@pytest.mark.parametrize(
    "graph", [pytest.param(each, id=name) for name, each in SIGNATURES.items()]
)
def test_inputs_and_outputs_stay_as_they_are(graph: str):
    optimized(graph)


def overridable(text: str, *names: str) -> ModelProto:
    """The model, with initializers among its inputs as files before IR version 4 have them."""
    proto = model(text)
    for tensor in proto.graph.initializer:
        if tensor.name in names:
            info = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            proto.graph.input.append(info)
    return proto


CONV = """g (float[N,3,4,4] x) => (float[N,3,2,2] y)
    <float[3,3,3,3] W, float[3] s, float[3] b, float[3] m, float[3] v>
    { c = Conv(x, W) y = BatchNormalization(c, s, b, m, v) }"""


def test_weights_that_callers_may_override_are_no_constants():
    """B44: conv_bn_overridable_init."""
    for names in (("W",), ("s", "v"), ("W", "s", "b", "m", "v")):
        results = optimized(overridable(CONV, *names))
        assert all(nodes(result, "BatchNormalization") for result in results.values())


def test_weights_that_callers_may_override_are_constants_once_frozen():
    """B44, G90: what exporters list among the inputs is noise, taken off on request."""
    proto = overridable(CONV, "W", "s", "b", "m", "v")
    result = onnxforge.optimize(proto, verify=False, freeze=True).to_proto()
    assert [info.name for info in result.graph.input] == ["x"]
    assert [node.op_type for node in result.graph.node] == ["Conv"]
    feeds = [{"x": np.random.default_rng(0).standard_normal((2, 3, 4, 4)).astype("f4")}]
    assert_same(outputs(proto, feeds)[0], outputs(result, feeds)[0], "frozen")


def test_initializers_among_the_inputs_are_pointed_out():
    """G90."""
    assert list(inspect(Model(overridable(CONV, "W"))).overridable) == ["W"]


def test_an_initializer_may_have_the_name_a_pass_would_choose():
    """B49: initializer_name_like_generated."""
    text = CONV.replace("(x, W)", "(x, W_1)").replace("] W,", "] W_1,")
    for name in ("W_2", "W_1_1", "Conv_1", "constant_1", "y_1", "B_1"):
        optimized(
            text.replace("{ c", f"{{ {name} = Relu(x) c").replace(
                "y)", f"y, float[N,3,4,4] {name})", 1
            )
        )


def test_nodes_of_one_name_are_no_obstacle_and_pointed_out():
    """B49: duplicate_node_names; ONNX Runtime refuses them."""
    proto = model(
        "g (float[2] x) => (float[2] y) { a = Relu(x) i = Identity(a) b = Neg(i) y = Relu(b) }"
    )
    for node in proto.graph.node:
        node.name = "same"
    result = optimized(proto, compare=None)["standard"]
    assert [node.op_type for node in result.graph.node] == ["Relu", "Neg", "Relu"]
    assert any("'same'" in problem for problem in inspect(Model(proto)).problems)


def test_values_of_one_name_are_refused_and_named():
    """B49: which of the two a reader means nobody can tell."""
    proto = model("g (float[2] x) => (float[2] y) { a = Relu(x) y = Relu(a) }")
    proto.graph.node.append(helper.make_node("Neg", ["x"], ["a"]))
    with pytest.raises(InvalidModelError, match="'a' twice"):
        onnxforge.optimize(proto, verify=False)


def test_a_sparse_initializer_is_kept():
    """B45: sparse_initializer."""
    proto = model("g (float[2,3] x) => (float[2,3] y) { a = Identity(x) y = Add(a, S) }")
    values = numpy_helper.from_array(np.array([5, 7], "f4"), "S")
    indices = numpy_helper.from_array(np.array([1, 4], "i8"), "S_indices")
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [2, 3]))
    x = np.arange(6, dtype="f4").reshape(2, 3)
    dense = np.array([[0, 5, 0], [0, 7, 0]], "f4")
    results = optimized(proto, {"x": x}, expect=[x + dense])
    for name, result in results.items():
        dense_ones = [t for t in result.graph.initializer if t.data_type != TensorProto.FLOAT]
        assert not dense_ones, name


def test_a_type_without_a_shape_is_a_type():
    """B51: 'field shape of type is required'."""
    proto = model("g (float[2,3] x) => (float[] y) { a = Identity(x) y = Relu(a) }")
    info = helper.make_tensor_value_info("a", TensorProto.FLOAT, None)
    proto.graph.value_info.append(info)
    optimized(proto)


def test_value_types_other_than_tensors_survive():
    """B51: onnx/optimizer#271."""
    proto = model(
        """g (float[2,3] x) => (seq(float[2,3]) s) { a = Identity(x) s = SequenceConstruct(a, x) }"""
    )
    for name, result in optimized(proto).items():
        assert result.graph.output[0].type.HasField("sequence_type"), name


def test_only_portable_operators_come_out_of_standard():
    """B52, G79: operators of ONNX Runtime's own are for passes that say so."""
    result = optimized(CONV)["standard"]
    assert {node.domain for node in result.graph.node} <= {"", "ai.onnx"}
    assert {each.domain for each in result.opset_import} == {""}


def test_the_result_runs_in_a_runtime_with_and_without_optimizations():
    """A23, B39: what we write loads at every level."""
    result = optimized(CONV)["standard"]
    feeds = {"x": np.random.default_rng(0).standard_normal((2, 3, 4, 4)).astype("f4")}
    (expected,) = outputs(model(CONV), [feeds])
    for level in ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
        session = onnxruntime.InferenceSession(
            result.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        assert_same(expected, session.run(None, feeds), level)


def test_an_optional_input_stays_optional():
    """B46: optional_type_input."""
    proto = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 18]>
        g (optional(float[2]) x, float[2] w) => (float[2] y, bool b)
        { i = Identity(x) b = OptionalHasElement(i)
          y = If(b) <then_branch = t () => (float[2] p)
                       { e = OptionalGetElement(i) p = Add(e, w) },
                     else_branch = f () => (float[2] q) { q = Identity(w) }> }"""
    )
    one = np.ones(2, "f4")
    results = optimized(proto, {"x": one, "w": one}, {"x": None, "w": one}, compare="shapes")
    for name, result in results.items():
        assert result.graph.input[0].type.HasField("optional_type"), name


def test_a_loop_may_carry_a_sequence():
    """B46: sequence_empty_loop."""
    proto = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 17]>
        g (float[2] x) => (seq(float[2]) y) <int64 n = {3}, bool c = {1}>
        { e = SequenceEmpty() y = Loop(n, c, e)
          <body = b (int64 i, bool go, seq(float[2]) s) => (bool again, seq(float[2]) r)
            { again = Identity(go) t = Identity(x) r = SequenceInsert(s, t) }> }"""
    )
    optimized(proto)
