from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

import onnxforge
from hostile.ordeal import FLOAT, INT64, command_all, endure, make
from onnxforge import Model, OnnxForgeError
from onnxforge.errors import InvalidModelError

node = helper.make_node


def weight(name: str, *dims: int, dtype: int = FLOAT, raw: bytes | None = None) -> TensorProto:
    data = np.ones(dims, helper.tensor_dtype_to_np_dtype(dtype)).tobytes() if raw is None else raw
    return TensorProto(name=name, data_type=dtype, dims=dims, raw_data=data)


def branch(name: str, *nodes: NodeProto) -> GraphProto:
    return helper.make_graph(
        list(nodes), name, [], [helper.make_tensor_value_info(nodes[-1].output[0], FLOAT, None)]
    )


def field(number: int, content: bytes | int) -> bytes:
    """A field as protobuf writes it: of a message, a string, or a small number."""
    if isinstance(content, int):
        return bytes([number << 3, content])
    size, head = len(content), b""
    while size > 127:
        head += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + head + bytes([size]) + content


def nested(depth: int, size: int = 4) -> bytes:
    """Ifs within Ifs, deeper than protobuf's own libraries write: byte by byte.

    Each branch reads what is computed one level further out; *size* is that of a weight.
    """

    def graph(level: int, inner: bytes) -> bytes:
        relu = field(1, f"a{level}".encode()) + field(2, f"a{level + 1}".encode())
        name = field(1, f"r{level}".encode())
        return field(1, relu + field(4, b"Relu")) + inner + field(2, b"g") + field(12, name)

    body = graph(
        depth, field(1, field(1, b"a1") + field(2, f"r{depth}".encode()) + field(4, b"Neg"))
    )
    for level in reversed(range(depth)):
        other = field(1, field(1, b"a0") + field(2, f"e{level}".encode()) + field(4, b"Abs"))
        other += field(2, b"e") + field(12, field(1, f"e{level}".encode()))
        choice = field(1, b"c") + field(2, f"r{level}".encode()) + field(4, b"If")
        for name, branch in ((b"then_branch", body), (b"else_branch", other)):
            kind = bytes([20 << 3 & 127 | 128, 20 << 3 >> 7, AttributeProto.GRAPH])
            choice += field(5, field(1, name) + field(6, branch) + kind)
        body = graph(level, field(1, choice))
    proto = make([], inputs={"a0": [2]}, outputs=())
    proto.graph.initializer.append(weight("c", dtype=TensorProto.BOOL))
    proto.graph.initializer.append(weight("w", size // 4))
    whole = body + proto.graph.SerializeToString()
    proto.ClearField("graph")
    return proto.SerializeToString() + field(7, whole)


def chain(length: int) -> ModelProto:
    ops = ("Relu", "Identity", "Neg", "Abs")
    nodes = [node(ops[i % 4], [f"v{i}"], [f"v{i + 1}"]) for i in range(length)]
    return make(nodes, inputs={"v0": [2]}, outputs=(f"v{length}",))


def function(name: str, *nodes: NodeProto) -> onnx.FunctionProto:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("d", 1)]
    return helper.make_function("d", name, ["x"], ["y"], list(nodes), opsets)


def attribute(op_type: str, inputs: list[str], **attributes: object) -> NodeProto:
    """A node with attributes that ONNX would not let it have."""
    return node(op_type, inputs, ["y"], **attributes)


def wrong_type(op_type: str, inputs: list[str], name: str, value: AttributeProto) -> NodeProto:
    found = node(op_type, inputs, ["y"])
    value.name = name
    found.attribute.append(value)
    return found


INVALID: dict[str, Callable[[], ModelProto]] = {
    "a cycle": lambda: make([node("Add", ["x", "y"], ["t"]), node("Relu", ["t"], ["y"])]),
    "a node that reads itself": lambda: make([node("Add", ["x", "y"], ["y"])]),
    "a dangling input": lambda: make([node("Add", ["x", "gone"], ["y"])]),
    "a dangling output": lambda: make([node("Relu", ["x"], ["t"])]),
    "a value defined twice": lambda: make([node("Relu", ["x"], ["y"]), node("Neg", ["x"], ["y"])]),
    "an input defined again": lambda: make([node("Relu", ["x"], ["x"])], outputs=("x",)),
    "an initializer twice": lambda: make(
        [node("Add", ["x", "w"], ["y"])], weights=[weight("w", 2), weight("w", 2)]
    ),
    "a dangling name in a branch": lambda: make(
        [
            node("If", ["x"], ["y"], then_branch=branch("t", node("Neg", ["gone"], ["a"])),
                 else_branch=branch("e", node("Neg", ["x"], ["b"]))),
        ]
    ),
    "a cycle by way of a branch": lambda: make(
        [
            node("If", ["x"], ["y"], then_branch=branch("t", node("Neg", ["z"], ["a"])),
                 else_branch=branch("e", node("Neg", ["x"], ["b"]))),
            node("Relu", ["y"], ["z"]),
        ]
    ),
}  # fmt: skip

F, V = ["x", "w"], {"weights": [weight("w", 2)]}
BN = [weight(each, 2) for each in "sbmv"]

ODD: dict[str, Callable[[], ModelProto]] = {
    "no nodes and no output": lambda: make([], outputs=()),
    "an empty name": lambda: make([node("Relu", ["x"], ["y"]), node("Neg", ["x"], [""])]),
    "a node without an operator": lambda: make([node("", ["x"], ["y"])]),
    "a node without inputs": lambda: make([node("Identity", [], ["y"])]),
    "nodes without outputs": lambda: make([
        node(each, ["x"], []) for each in
        ("Identity", "Conv", "BatchNormalization", "If", "Loop", "Constant", "Dropout", "Cast",
         "Reshape", "Add", "Mul", "Sigmoid", "Clip", "Unsqueeze")
    ] + [node("Relu", ["x"], ["y"])]),
    "nodes without inputs": lambda: make([
        node(each, [], [f"v{i}"]) for i, each in enumerate(
            ("Identity", "Conv", "BatchNormalization", "If", "Loop", "Constant", "Dropout", "Cast",
             "Reshape", "Add", "Mul", "Sigmoid", "Clip", "Shape", "Gather", "Slice", "Concat", "Pad",
             "Transpose", "MatMul", "Gemm", "Where", "Range", "ConstantOfShape", "Split"))
    ] + [node("Relu", ["x"], ["y"])]),
    "nodes with inputs left out": lambda: make([
        node(each, ["", "", ""], [f"v{i}"]) for i, each in enumerate(
            ("Identity", "Conv", "BatchNormalization", "If", "Loop", "Dropout", "Cast", "Reshape",
             "Add", "Mul", "Clip", "Shape", "Gather", "Slice", "Concat", "Pad", "Where", "Sigmoid"))
    ] + [node("Relu", ["x"], ["y"])]),
    "nodes with too many outputs": lambda: make([
        node(each, ["x"] * 9, [f"v{i}{j}" for j in range(9)]) for i, each in enumerate(
            ("Identity", "Conv", "BatchNormalization", "If", "Loop", "Dropout", "Cast", "Reshape",
             "Add", "Mul", "Clip", "Shape", "Gather", "Slice", "Concat", "Pad", "Where", "Sigmoid",
             "Constant", "Split", "Transpose"))
    ] + [node("Relu", ["x"], ["y"])]),
    "constant nodes with too many outputs": lambda: make([
        node(each, ["k"] * 3, [f"v{i}{j}" for j in range(4)]) for i, each in enumerate(
            ("Identity", "Conv", "BatchNormalization", "Dropout", "Cast", "Reshape", "Add", "Mul",
             "Clip", "Shape", "Gather", "Slice", "Concat", "Pad", "Where", "Sigmoid", "Transpose",
             "Squeeze", "Unsqueeze", "ReduceSum", "Expand", "Tile", "Range", "Split", "MatMul"))
    ] + [node("Add", ["x", "v00"], ["y"])], weights=[weight("k", 2)]),
    "constant nodes of wrong types": lambda: make([
        node(each, ["k", "i", "k"], [f"v{i}"]) for i, each in enumerate(
            ("Reshape", "Add", "Mul", "Clip", "Gather", "Slice", "Concat", "Pad", "Where",
             "Squeeze", "Unsqueeze", "ReduceSum", "Expand", "Tile", "Range", "Split", "MatMul",
             "Conv", "Resize", "TopK", "Trilu", "OneHot", "Einsum", "Equal", "And", "Pow"))
    ] + [node("Add", ["x", "v1"], ["y"])],
        weights=[weight("k", 2), weight("i", 2, dtype=TensorProto.STRING, raw=b"")]),
    "Conv without attributes, of rank 1": lambda: make([node("Conv", F, ["y"])], **V),
    "Conv and BatchNormalization of rank 1": lambda: make(
        [node("Conv", F, ["c"]), node("BatchNormalization", ["c", *"sbmv"], ["y"])],
        weights=[weight("w", 2), *BN],
    ),
    "Conv and BatchNormalization of other channels": lambda: make(
        [node("Conv", F, ["c"]), node("BatchNormalization", ["c", *"sbmv"], ["y"])],
        weights=[weight("w", 3, 3, 1, 1), *BN], inputs={"x": [1, 3, 2, 2]},
    ),
    "Conv and BatchNormalization of scalars": lambda: make(
        [node("Conv", F, ["c"]), node("BatchNormalization", ["c", *"sbmv"], ["y"])],
        weights=[weight("w"), *(weight(each) for each in "sbmv")],
    ),
    "Conv and BatchNormalization of no groups": lambda: make(
        [node("ConvTranspose", F, ["c"], group=0),
         node("BatchNormalization", ["c", *"sbmv"], ["y"])],
        weights=[weight("w", 2, 2, 1, 1), *BN], inputs={"x": [1, 2, 2, 2]},
    ),
    "BatchNormalization with too few inputs": lambda: make(
        [node("Conv", F, ["c"]), node("BatchNormalization", ["c", "s"], ["y"])],
        weights=[weight("w", 2, 2, 1, 1), *BN],
    ),
    "BatchNormalization of integers": lambda: make(
        [node("Conv", F, ["c"]), node("BatchNormalization", ["c", *"sbmv"], ["y"])],
        weights=[weight("w", 2, 2, 1, 1, dtype=INT64),
                 *(weight(each, 2, dtype=INT64) for each in "sbmv")],
    ),
    "BatchNormalization of strings": lambda: make(
        [node("Conv", F, ["c"]), node("BatchNormalization", ["c", *"sbmv"], ["y"])],
        weights=[
            TensorProto(name=each, data_type=TensorProto.STRING, dims=[2], string_data=[b"a", b"b"])
            for each in ("w", *"sbmv")
        ],
    ),
    "attributes of another kind": lambda: make([
        attribute("Conv", ["x", "k"], kernel_shape="three", group="two", pads=1.5, auto_pad=7),
        node("Transpose", ["k"], ["v1"], perm="ab"),
        node("Transpose", ["k"], ["v2"], perm=[7, 8]),
        node("Cast", ["k"], ["v3"], to="float"),
        node("Cast", ["k"], ["v4"], to=99),
        node("Cast", ["k"], ["v5"]),
        node("Concat", ["k", "k"], ["v6"], axis="last"),
        node("Concat", ["k", "k"], ["v7"], axis=99),
        node("Concat", ["k", "k"], ["v8"]),
        node("Constant", [], ["v9"], value=3),
        node("Constant", [], ["v10"], value_int="x"),
        node("Constant", [], ["v11"], value_float=1.0, value_int=2),
        node("Constant", [], ["v12"]),
        node("BatchNormalization", ["k"] * 5, ["v13"], epsilon="small", training_mode=[1]),
        node("Gather", ["k", "k"], ["v14"], axis=2**62),
        node("Softmax", ["k"], ["v15"], axis=-(2**62)),
        node("ReduceSum", ["k"], ["v16"], keepdims="yes"),
        node("If", ["k"], ["v17"], then_branch=3, else_branch="none"),
        node("If", ["k"], ["v18"]),
        node("Loop", ["k", "k"], ["v19"], body=[1, 2]),
        node("Shape", ["x"], ["v20"], start="a", end=2.5),
        node("Flatten", ["k"], ["v21"], axis=12),
        node("Split", ["k"], ["v22"], num_outputs=0),
        node("LeakyRelu", ["k"], ["v23"], alpha=[1, 2]),
        node("Clip", ["k"], ["v24"], min="a"),
        node("EyeLike", ["k"], ["v25"], dtype=1000),
        node("Pad", ["k"], ["v26"], mode="nonsense", pads=[1]),
    ], weights=[weight("k", 2)]),
    "an attribute that says one type and holds another": lambda: make(
        [wrong_type("Transpose", ["x"], "perm", AttributeProto(type=AttributeProto.INTS, s=b"ab"))]
    ),
    "an attribute of no type": lambda: make(
        [wrong_type("Transpose", ["x"], "perm", AttributeProto(ints=[0]))]
    ),
    "an attribute that refers to nothing": lambda: make(
        [wrong_type("Conv", ["x", "x"], "pads",
                    AttributeProto(type=AttributeProto.INTS, ref_attr_name="gone"))]
    ),
    "an attribute twice": lambda: make(
        [wrong_type("Transpose", ["x"], "perm", AttributeProto(type=AttributeProto.INTS, ints=[0])),
         wrong_type("Neg", ["y"], "perm", AttributeProto(type=AttributeProto.INTS, ints=[0]))][:1]
    ),
    "a tensor that is too short": lambda: make(
        [node("Relu", ["w"], ["y"])], weights=[weight("w", 100, raw=b"abc")]
    ),
    "a tensor that is too long": lambda: make(
        [node("Relu", ["w"], ["y"])], weights=[weight("w", 2, raw=bytes(100))]
    ),
    "a tensor of no type": lambda: make(
        [node("Relu", ["w"], ["y"])], weights=[TensorProto(name="w", dims=[2], raw_data=bytes(8))]
    ),
    "a tensor of a type to come": lambda: make(
        [node("Relu", ["w"], ["y"])],
        weights=[TensorProto(name="w", data_type=99, dims=[2], raw_data=bytes(8))],
    ),
    "a tensor with data in two fields": lambda: make(
        [node("Relu", ["w"], ["y"])],
        weights=[TensorProto(name="w", data_type=1, dims=[2], raw_data=bytes(8), float_data=[1])],
    ),
    "a tensor with data in the wrong field": lambda: make(
        [node("Relu", ["w"], ["y"])],
        weights=[TensorProto(name="w", data_type=1, dims=[2], int64_data=[1, 2])],
    ),
    "a tensor of negative size": lambda: make(
        [node("Relu", ["w"], ["y"])],
        weights=[TensorProto(name="w", data_type=1, dims=[-2], raw_data=bytes(8))],
    ),
    "a condition that is no condition": lambda: make([
        node("If", ["k"], ["y"], then_branch=branch("t", node("Neg", ["x"], ["a"])),
             else_branch=branch("e", node("Abs", ["x"], ["b"])))
    ], weights=[weight("k", 2)]),
    "a condition of strings": lambda: make([
        node("If", ["k"], ["y"], then_branch=branch("t", node("Neg", ["x"], ["a"])),
             else_branch=branch("e", node("Abs", ["x"], ["b"])))
    ], weights=[TensorProto(name="k", data_type=8, dims=[1], string_data=[b"yes"])]),
    "a condition and branches of fewer outputs": lambda: make([
        node("If", ["k"], ["y", "z"], then_branch=branch("t", node("Neg", ["x"], ["a"])),
             else_branch=branch("e", node("Abs", ["x"], ["b"])))
    ], weights=[weight("k", dtype=TensorProto.BOOL)], outputs=("y", "z")),
    "a condition and branches of more outputs": lambda: make([
        node("If", ["k"], ["y"], then_branch=helper.make_graph(
            [node("Neg", ["x"], ["a"]), node("Abs", ["x"], ["b"])], "t", [],
            [helper.make_tensor_value_info(each, FLOAT, None) for each in "ab"]),
             else_branch=branch("e", node("Abs", ["x"], ["b"])))
    ], weights=[weight("k", dtype=TensorProto.BOOL)]),
    "a condition and a branch with inputs": lambda: make([
        node("If", ["k"], ["y"], then_branch=helper.make_graph(
            [node("Neg", ["i"], ["a"])], "t", [helper.make_tensor_value_info("i", FLOAT, None)],
            [helper.make_tensor_value_info("a", FLOAT, None)]),
             else_branch=branch("e", node("Abs", ["x"], ["b"])))
    ], weights=[weight("k", dtype=TensorProto.BOOL)]),
    "a function that calls itself": lambda: make(
        [node("f", ["x"], ["t"], domain="d"), node("Identity", ["t"], ["y"])],
        functions=[function("f", node("f", ["x"], ["y"], domain="d"))],
    ),
    "functions that call each other": lambda: make(
        [node("f", ["x"], ["t"], domain="d"), node("Identity", ["t"], ["y"])],
        functions=[
            function("f", node("Neg", ["x"], ["t"]), node("g", ["t"], ["y"], domain="d")),
            function("g", node("Abs", ["x"], ["t"]), node("f", ["t"], ["y"], domain="d")),
        ],
    ),
    "functions that double with each call": lambda: make(
        [node("f30", ["x"], ["y"], domain="d")],
        functions=[
            function("f0", node("Neg", ["x"], ["y"])),
            *(function(f"f{i}", node(f"f{i - 1}", ["x"], ["t"], domain="d"),
                       node(f"f{i - 1}", ["t"], ["y"], domain="d")) for i in range(1, 31)),
        ],
    ),
    "a function twice": lambda: make(
        [node("f", ["x"], ["y"], domain="d")],
        functions=[function("f", node("Neg", ["x"], ["y"])),
                   function("f", node("Abs", ["x"], ["y"]))],
    ),
    "a call with too many inputs": lambda: make(
        [node("f", ["x", "x", "x"], ["y", "z"], domain="d")],
        functions=[function("f", node("Neg", ["x"], ["y"]))],
    ),
    "no opset": lambda: make([node("Relu", ["x"], ["y"])], opset=0),
    "an opset to come": lambda: make([node("Relu", ["x"], ["y"])], opset=2**31),
    "a negative opset": lambda: make([node("Relu", ["x"], ["y"])], opset=-1),
    "names of any kind": lambda: make(
        [node("Identity", ["x"], ["a\nb\x1b[31m"]), node("Relu", ["a\nb\x1b[31m"], ["y"]),
         node("Identity", ["x"], ["é" * 5000])]
    ),
    "an initializer without a name": lambda: make(
        [node("Relu", ["x"], ["y"])], weights=[weight("", 2), weight("", 2)]
    ),
    "quantization annotations of nothing": lambda: _annotated(),
    "sparse tensors that hold nothing": lambda: _sparse(),
    "training information of nothing": lambda: _training(),
}  # fmt: skip


def _annotated() -> ModelProto:
    proto = make([node("Identity", ["x"], ["t"]), node("Relu", ["t"], ["y"])])
    annotation = proto.graph.quantization_annotation.add(tensor_name="gone")
    annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="gone too")
    return proto


def _sparse() -> ModelProto:
    proto = make([node("Add", ["x", "s"], ["t"]), node("Identity", ["t"], ["y"])])
    proto.graph.sparse_initializer.add().values.name = "s"
    proto.graph.sparse_initializer.add()
    return proto


def _training() -> ModelProto:
    proto = make([node("Identity", ["x"], ["t"]), node("Relu", ["t"], ["y"])])
    training = proto.training_info.add()
    training.update_binding.add(key="gone", value="gone")
    training.algorithm.node.append(node("Neg", ["gone"], []))
    return proto


@pytest.mark.parametrize("case", INVALID)
def test_a_graph_that_is_none_is_refused(
    case: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    data = INVALID[case]().SerializeToString()
    with pytest.raises(InvalidModelError):
        onnxforge.optimize(data, verify=False)
    endure(data)
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    command_all(capsys, path)


@pytest.mark.parametrize("case", ODD)
def test_what_is_wrong_within_a_node_breaks_nothing(
    case: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    data = ODD[case]().SerializeToString()
    endure(data)
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    command_all(capsys, path)


@pytest.mark.parametrize("size", [4, 1 << 17])
@pytest.mark.parametrize("depth", [30, 50, 150, 5_000])
def test_deep_nesting_is_gone_through_or_refused(
    depth: int, size: int, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    path = tmp_path / "m.onnx"
    path.write_bytes(nested(depth, size))
    assert bool(endure(path)) == (depth <= 30)  # protobuf itself reads 100 levels, 3 for each If
    command_all(capsys, path)


def test_deep_nesting_in_memory_is_gone_through_or_refused():
    proto = ModelProto.FromString(nested(30))
    body = proto.graph
    for _ in range(4):
        while body.node[-1].op_type == "If":
            body = body.node[-1].attribute[0].g
        body.node[-1].CopyFrom(ModelProto.FromString(nested(30)).graph.node[-1])
    with suppress(OnnxForgeError):
        onnxforge.optimize(proto, verify=False, in_place=True)


def test_deep_nesting_is_no_matter_of_how_deep_the_caller_is():
    data = nested(30)

    def deeper(levels: int) -> int:
        return deeper(levels - 1) if levels else endure(data)

    assert deeper(sys.getrecursionlimit() // 2)


def test_a_hundred_thousand_nodes_in_a_chain_are_no_recursion():
    length = 100_000
    model = Model.from_bytes(chain(length).SerializeToString())
    result = onnxforge.optimize(model, verify=False, in_place=True)
    assert not any(each.op_type == "Identity" for each in result.graph)
    assert result.graph.outputs[0].shape == (2,)


def test_twenty_thousand_nodes_in_reverse_are_sorted():
    proto = chain(20_000)
    proto.graph.node.reverse()
    result = onnxforge.optimize(proto, verify=False, in_place=True)
    assert len(result.graph) <= 15_000
    done: set[onnxforge.Node] = set()
    for each in result.graph:
        done.add(each)
        assert all(v.producer in done or v.producer is None for v in each.inputs if v is not None)


def test_twenty_thousand_initializers_are_no_matter():
    count = 20_000
    proto = make([node("Relu", ["w7"], ["y"])], weights=[weight(f"w{i}", 1) for i in range(count)])
    result = onnxforge.optimize(proto, verify=False)
    assert len(result.proto.graph.initializer) <= 1


def test_a_node_with_twenty_thousand_inputs_is_a_node():
    proto = make([node("Sum", ["x"] * 20_000, ["t"]), node("Identity", ["t"], ["y"])])
    result = onnxforge.optimize(proto, verify=False)
    assert len(result.graph) == 1


def test_a_value_with_twenty_thousand_readers_is_replaced_for_all():
    readers = [node("Relu", ["i"], [f"r{i}"]) for i in range(20_000)]
    total = node("Sum", [f"r{i}" for i in range(20_000)], ["y"])
    proto = make([node("Identity", ["x"], ["i"]), *readers, total])
    result = onnxforge.optimize(proto, "identity-elimination", verify=False).to_proto()
    assert all(each.input[0] == "x" for each in result.graph.node[:20_000])


def test_errors_name_what_is_at_fault():
    with pytest.raises(OnnxForgeError, match="'gone'"):
        onnxforge.optimize(INVALID["a dangling input"](), verify=False)
    with pytest.raises(OnnxForgeError, match="'y' twice"):
        onnxforge.optimize(INVALID["a value defined twice"](), verify=False)
    with pytest.raises(OnnxForgeError, match="cyclic"):
        onnxforge.optimize(INVALID["a cycle"](), verify=False)
