from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto as T
from onnx import TypeProto, helper, numpy_helper, parser

from onnxforge.shapes import (
    contradicts,
    dim,
    dtype_of,
    infer_model,
    infer_node,
    register,
    shape_of,
    tensor_type,
)
from onnxforge.shapes import custom as custom_registry

N = dim("N")


def model(body, inputs="float[N,4] x", header='<ir_version: 8, opset_import: ["" : 18, "c": 1]>'):
    return parser.parse_model(f"{header} g ({inputs}) => (float[9,9,9] y) {{ {body} }}")


def parked(name, dtype, dims):
    """An initializer whose contents are far away, and larger than any file."""
    tensor = T(name=name, data_type=dtype, dims=dims, data_location=T.EXTERNAL)
    for key, value in (("location", "/nowhere/at/all"), ("offset", "0"), ("length", "1")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return tensor


def test_stale_value_info_and_output_shapes_are_not_believed():
    proto = model("t = Relu(x) y = Neg(t)")
    proto.graph.value_info.append(helper.make_tensor_value_info("t", T.INT64, [2, 6]))
    types = infer_model(proto).graph
    assert shape_of(types["t"]) == (N, 4)
    assert dtype_of(types["t"]) == T.FLOAT
    assert shape_of(types["y"]) == (N, 4)


def test_the_model_is_left_as_it_is():
    proto = model("t = Relu(x) y = Neg(t)")
    proto.graph.value_info.append(helper.make_tensor_value_info("t", T.INT64, ["K", 6]))
    type = helper.make_tensor_type_proto(T.FLOAT, ["K", 3])
    proto.graph.node.append(helper.make_node("Optional", [], ["o"], type=type))
    before = proto.SerializeToString(deterministic=True)
    infer_model(proto)
    assert proto.SerializeToString(deterministic=True) == before


def test_names_that_inference_invents_are_unknown():
    types = infer_model(model("t = Unique(x) y = Transpose(t)")).graph
    assert shape_of(types["t"]) == (None,)
    assert shape_of(types["y"]) == (None,)


def test_a_declared_name_that_looks_invented_is_kept():
    types = infer_model(model("t = Unique(x) y = Relu(x)", "float[unk__0,4] x")).graph
    assert shape_of(types["y"]) == (dim("unk__0"), 4)
    assert shape_of(types["t"]) == (None,)


def test_a_slice_of_opset_10_does_not_leave_a_size_with_a_name_as_it_is():
    header = '<ir_version: 8, opset_import: ["" : 10]>'
    proto = model("t = Slice(x, zero, one) y = Relu(t)", header=header)
    for name, numbers in (("zero", [0, 0]), ("one", [1, 4])):
        proto.graph.initializer.append(numpy_helper.from_array(np.array(numbers), name))
    types = infer_model(proto).graph
    assert shape_of(types["t"]) == shape_of(types["y"]) == (None, None)
    data = {tensor.name: tensor for tensor in proto.graph.initializer}
    (t,) = infer_node(proto.graph.node[0], types, data, {"": 10}, 8).values()
    assert (shape_of(t), dtype_of(t)) == ((None, None), T.FLOAT)


def test_an_attention_does_not_take_sizes_with_names_for_zeros():
    header = '<ir_version: 10, opset_import: ["" : 23]>'
    call = "t, k, v, s = Attention <q_num_heads = 4, kv_num_heads = 2> (x, x, x) y = Relu(t)"
    proto = model(call, "float[B,S,W] x", header)
    types = infer_model(proto).graph
    assert shape_of(types["t"]) is shape_of(types["y"]) is None
    assert "s" not in types
    assert "s" not in infer_node(proto.graph.node[0], types, {}, {"": 23}, 10)


def test_an_operator_of_a_domain_nobody_imported_costs_only_its_own_outputs():
    types = infer_model(model("t = strange.Thing(x) z = Relu(x) y = Add(t, t)")).graph
    assert "t" not in types
    assert shape_of(types["z"]) == (N, 4)


def test_a_registered_function_reaches_what_comes_after(monkeypatch):
    monkeypatch.setattr(custom_registry, "_functions", {})
    register("c", "Twice", lambda *_: [tensor_type(T.FLOAT, (2 * N, 4))])
    types = infer_model(model("t = c.Twice(x) u = Relu(t) y = Concat<axis = 0>(u, x)")).graph
    assert shape_of(types["u"]) == (2 * N, 4)


def test_weights_beyond_two_gigabytes_need_no_file():
    proto = model("y = MatMul(x, W)")
    proto.graph.initializer.append(parked("W", T.FLOAT, [4, 2**31]))
    assert shape_of(infer_model(proto).graph["y"]) == (N, 2**31)
    assert shape_of(infer_model(proto).graph["W"]) == (4, 2**31)


def test_the_target_of_a_reshape_is_read_from_its_file(tmp_path):
    (tmp_path / "data").write_bytes(np.array([0, 2, 2], np.int64).tobytes())
    proto = model("y = Reshape(x, s)")
    tensor = T(name="s", data_type=T.INT64, dims=[3], data_location=T.EXTERNAL)
    for key, value in (("location", "data"), ("offset", "0"), ("length", "24")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    proto.graph.initializer.append(tensor)
    assert shape_of(infer_model(proto, tmp_path).graph["y"]) == (N, 2, 2)


def test_a_file_that_is_missing_leaves_the_size_unknown():
    proto = model("y = Reshape(x, s)")
    proto.graph.initializer.append(parked("s", T.INT64, [3]))
    assert shape_of(infer_model(proto).graph["y"]) == (None, None, None)


def test_an_initializer_that_callers_may_override_is_no_constant():
    proto = model("y = Reshape(x, s)", "float[N,4] x, int64[2] s")
    proto.graph.initializer.append(numpy_helper.from_array(np.array([2, -1]), "s"))
    assert shape_of(infer_model(proto).graph["y"]) == (None, None)


def test_the_bodies_of_if_and_loop_are_told_apart():
    proto = model(
        """
        a = If(c) <
            then_branch = t () => (float[7,7] u) { u = Relu(x) },
            else_branch = e () => (float[7,7] u) { v = Neg(x) u = Abs(v) }
        >
        y = Loop(k, c, x) <
            body = b (int64 i, bool go, float[N,9] s) => (bool on, float[9,9] n)
            { on = Identity(go) n = Concat<axis = 0>(s, x) w = Neg(x) }
        >
        """,
        "float[N,4] x, bool c, int64 k",
    )
    inferred = infer_model(proto)
    assert shape_of(inferred.graph["a"]) == (N, 4)
    assert shape_of(inferred.graph.get("y")) is None
    assert dtype_of(inferred.graph["y"]) == T.FLOAT
    assert set(inferred.subgraphs) == {
        ((0, "then_branch", 0),), ((0, "else_branch", 0),), ((1, "body", 0),)
    }  # fmt: skip
    assert "v" not in inferred.subgraphs[((0, "then_branch", 0),)]
    assert shape_of(inferred.subgraphs[((0, "else_branch", 0),)]["v"]) == (N, 4)
    loop = inferred.subgraphs[((1, "body", 0),)]
    assert shape_of(loop["w"]) == (N, 4)
    # The state grows with every iteration, whatever the body declares.
    assert shape_of(loop["s"]) is None
    assert shape_of(loop["n"]) in (None, (None, 4))


def test_the_body_of_a_scan_sees_one_slice():
    proto = model(
        """
        y = Scan<num_scan_inputs = 1,
            body = b (float row) => (float out) { out = Relu(row) }>(x)
        """
    )
    inferred = infer_model(proto)
    assert shape_of(inferred.subgraphs[((0, "body", 0),)]["row"]) == (4,)
    assert shape_of(inferred.graph["y"]) == (N, 4)


def test_optional_and_sequence_types_survive():
    proto = model(
        "s = SequenceConstruct(x, x) o = Optional(x) y = SequenceAt(s, k)", "float[N,4] x, int64 k"
    )
    types = infer_model(proto).graph
    assert types["s"].WhichOneof("value") == "sequence_type"
    assert types["o"].WhichOneof("value") == "optional_type"
    assert shape_of(types["s"]) is None
    assert shape_of(types["y"]) == (N, 4)


@pytest.mark.parametrize("opset", [6, 7, 9, 11])
def test_old_opsets_are_inferred_too(opset):
    header = f'<ir_version: 3, opset_import: ["" : {opset}]>'
    proto = model("t = Relu(x) y = Flatten(t)", header=header)
    assert shape_of(infer_model(proto).graph["t"]) == (N, 4)


@pytest.mark.parametrize(
    "body",
    [
        "y = Add(x, nothing)",
        "y = Concat(x)",
        "y = MatMul(x)",
        "y = Relu(y)",
        "y = Reshape(x, x)",
        "y = Cast<to = 99>(x)",
        "y = Conv(x, x)",
        "y = If(x)",
        "y = Constant()",
        "y = Transpose<perm = [5, 9]>(x)",
        "y = Relu(x) y = Neg(x)",
    ],
)
def test_a_broken_node_raises_nothing_and_spoils_nothing(body):
    inferred = infer_model(model(f"z = Relu(x) {body}"))
    assert shape_of(inferred.graph["z"]) == (N, 4)


def test_an_empty_model_has_nothing_to_infer():
    assert infer_model(helper.make_model(helper.make_graph([], "", [], []))).graph == {}


def test_graphs_nested_without_end_are_cut_off():
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["t"])], "g", [], [])
    for _ in range(30):
        node = helper.make_node(
            "If", ["c"], ["t"], then_branch=graph, else_branch=graph.__class__()
        )
        graph = helper.make_graph([node], "g", [], [])
    proto = model("y = Relu(x)", "float[N,4] x, bool c")
    proto.graph.node.extend(graph.node)
    inferred = infer_model(proto)
    assert shape_of(inferred.graph["y"]) == (N, 4)


def test_functions_are_inferred_through_but_not_listed():
    proto = parser.parse_model(
        """
        <ir_version: 8, opset_import: ["" : 18, "local" : 1]>
        g (float[N,4] x) => (y) { t = local.f(x)  y = Relu(t) }
        <domain: "local", opset_import: ["" : 18]>
        f (a) => (b) { inner = Neg(a)  b = Transpose(inner) }
        """
    )
    inferred = infer_model(proto)
    assert shape_of(inferred.graph["y"]) == (4, N)
    assert "inner" not in inferred.graph


def test_sparse_initializers_have_a_type():
    proto = model("y = Relu(x)")
    sparse = proto.graph.sparse_initializer.add(dims=[4, 5])
    sparse.values.CopyFrom(numpy_helper.from_array(np.ones(1, np.float32), "S"))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.zeros(1, np.int64), "I"))
    assert shape_of(infer_model(proto).graph["S"]) == (4, 5)


def test_large_constants_are_not_copied_and_keep_their_type():
    proto = model("y = MatMul(x, W)")
    proto.graph.node.insert(
        0, helper.make_node("Constant", [], ["W"], value=parked("W", T.FLOAT, [4, 100_000]))
    )
    assert shape_of(infer_model(proto).graph["y"]) == (N, 100_000)


def test_one_node_keeps_expressions():
    node = helper.make_node("Transpose", ["a"], ["b"])
    types = infer_node(node, {"a": tensor_type(T.FLOAT, (N // 2, 3))}, {}, {"": 18}, 8)
    assert shape_of(types["b"]) == (3, N // 2)


@pytest.mark.parametrize(
    ("node", "shapes", "expected"),
    [
        (("FusedConv", {"activation": "Relu"}), [(N, 3, 8, 8), (4, 3, 3, 3)], (N, 4, 6, 6)),
        (("FusedMatMul", {"transB": 1}), [(N, 4), (5, 4)], (N, 5)),
        (("DynamicQuantizeMatMul", {}), [(N, 3, 4), (4, 5)], (N, 3, 5)),
        (("DynamicQuantizeLSTM", {"hidden_size": 6}), [(7, N, 4), (1, 4, 24)], (7, 1, N, 6)),
        (("Gelu", {}), [(N, 4)], (N, 4)),
        (("SkipLayerNormalization", {}), [(N, 2, 4), (N, 2, 4), (4,)], (N, 2, 4)),
        (("MatMulNBits", {"N": 7, "K": 4, "bits": 4, "block_size": 16}), [(N, 4)], (N, 7)),
        (("MultiHeadAttention", {"num_heads": 2}), [(N, 3, 8)] * 2 + [(N, 3, 6)], (N, 3, 6)),
        (
            ("MultiHeadAttention", {"num_heads": 2}),
            [(N, 3, 8), (N, 2, 5, 4), (N, 2, 5, 7)],
            (N, 3, 14),
        ),
        (("Attention", {"num_heads": 2}), [(N, 3, 5), (5, 24), (24,)], (N, 3, 8)),
        (("QLinearAdd", {}), [(N, 4), (), (), (1, 4)], (N, 4)),
    ],
)
def test_operators_of_onnx_runtime_have_shapes(node, shapes, expected):
    op_type, attributes = node
    names = [f"i{k}" for k in range(len(shapes))]
    proto = helper.make_node(op_type, names, ["o"], domain="com.microsoft", **attributes)
    types = {n: tensor_type(T.FLOAT, s) for n, s in zip(names, shapes, strict=True)}
    answer = infer_node(proto, types, {}, {"": 18, "com.microsoft": 1}, 8)
    assert shape_of(answer["o"]) == expected


def test_unknown_operators_and_inputs_give_nothing():
    node = helper.make_node("Mystery", ["a"], ["b"], domain="c")
    assert infer_node(node, {}, {}, {"c": 1}, 8) == {}
    assert infer_node(helper.make_node("Mystery", ["a"], ["b"]), {}, {}, {"": 18}, 8) == {}
    assert infer_node(helper.make_node("Relu", ["a"], ["b"]), {}, {}, {}, 8).get("b") is None


@pytest.mark.parametrize(
    ("recorded", "inferred", "answer"),
    [
        (tensor_type(1, (2, 6)), tensor_type(1, (3, 4)), True),
        (tensor_type(1, (2, 6)), tensor_type(1, (N, 6)), False),
        (tensor_type(1, None), tensor_type(1, (N, 6)), False),
        (tensor_type(1, (2,)), tensor_type(1, (2, 1)), True),
        (tensor_type(1, (2,)), tensor_type(7, (2,)), True),
        (tensor_type(None, (2,)), tensor_type(7, (2,)), False),
        (TypeProto(), tensor_type(7, (2,)), False),
        (helper.make_sequence_type_proto(tensor_type(1, (2,))), tensor_type(1, (2,)), True),
        (
            helper.make_sequence_type_proto(tensor_type(1, (2,))),
            helper.make_sequence_type_proto(tensor_type(1, (3,))),
            True,
        ),
    ],
)
def test_types_contradict_where_no_value_has_both(recorded, inferred, answer):
    assert contradicts(recorded, inferred) is answer
    assert contradicts(inferred, recorded) is answer


def test_negative_and_nameless_sizes_are_unknown():
    type = tensor_type(T.FLOAT, (1, None))
    type.tensor_type.shape.dim[0].dim_value = -1
    type.tensor_type.shape.dim[1].dim_param = ""
    assert shape_of(type) == (None, None)
    assert shape_of(None) is None
    assert dtype_of(TypeProto()) is None


def test_a_readable_type_shows_expressions_as_names():
    type = tensor_type(T.FLOAT, (2 * N, 3), readable=True)
    assert type.tensor_type.shape.dim[0].dim_param == "2*N"


@pytest.mark.parametrize(
    ("op_type", "attributes"),
    [
        ("Attention", {"qkv_hidden_sizes": [1]}),
        ("DynamicQuantizeLSTM", {"hidden_size": 2}),
        ("FusedConv", {"group": "one"}),
        ("FusedMatMul", {}),
        ("MultiHeadAttention", {}),
        ("QLinearAdd", {}),
        ("SkipLayerNormalization", {}),
    ],
)
def test_nothing_is_known_of_a_node_of_onnx_runtime_that_is_wrong_in_itself(op_type, attributes):
    proto = helper.make_node(op_type, [], ["o"], domain="com.microsoft", **attributes)
    assert infer_node(proto, {}, {}, {"": 18, "com.microsoft": 1}, 8) == {}
