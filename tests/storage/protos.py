"""Models to store, and the wire format to spoil them with."""

from __future__ import annotations

from onnx import ModelProto, SparseTensorProto, TensorProto, helper


def tensor(name: str, size: int, **fields: object) -> TensorProto:
    raw = bytes(index % 251 for index in range(size))
    return TensorProto(name=name, data_type=TensorProto.UINT8, dims=[size], raw_data=raw, **fields)


def model(*initializers: TensorProto, nodes: tuple[object, ...] = ()) -> ModelProto:
    return helper.make_model(helper.make_graph(nodes, "g", [], [], initializers))


def everywhere() -> ModelProto:
    """A model with a tensor wherever ONNX has room for one, and no two alike."""
    body = helper.make_graph([], "body", [], [], [tensor("deep", 40)])
    sparse = SparseTensorProto(values=tensor("values", 41), indices=tensor("indices", 42))
    node = helper.make_node("If", ["c"], ["y"], then_branch=body)
    for attribute in (
        helper.make_attribute("t", tensor("t", 43)),
        helper.make_attribute("tensors", [tensor("t1", 44), tensor("t2", 45)]),
        helper.make_attribute("graphs", [helper.make_graph([node], "outer", [], [])]),
        helper.make_attribute("sparse", sparse),
        helper.make_attribute("sparses", [sparse, sparse]),
    ):
        node.attribute.append(attribute)
    result = model(tensor("w", 46, doc_string="d"), nodes=(node,))
    result.graph.sparse_initializer.append(sparse)
    function = result.functions.add(name="f", domain="d")
    function.node.append(node)
    function.attribute_proto.append(helper.make_attribute("default", tensor("default", 47)))
    training = result.training_info.add()
    training.initialization.CopyFrom(helper.make_graph([], "i", [], [], [tensor("i", 48)]))
    training.algorithm.CopyFrom(helper.make_graph([], "a", [], [], [tensor("a", 49)]))
    return result


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field, its length written in more bytes than it needs."""
    tag = number << 3 | 2
    size = len(content)
    head = bytes([tag]) if tag < 128 else bytes([tag & 127 | 128, tag >> 7])
    return head + bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14]) + content
