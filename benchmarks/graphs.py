"""Graphs of any size, to see what grows with it."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper


def chain(nodes: int) -> ModelProto:
    """An elementwise chain: the least a node can cost."""
    body, last = [], "x"
    for index in range(nodes):
        op_type = ("Relu", "Add", "Sigmoid", "Mul")[index % 4]
        inputs = [last, "w"] if index % 2 else [last]
        body.append(helper.make_node(op_type, inputs, [f"v{index}"]))
        last = f"v{index}"
    weights = [numpy_helper.from_array(np.full(4, 0.5, np.float32), "w")]
    return _model(body, last, ["N", 4], weights)


def fan(nodes: int) -> ModelProto:
    """One value read by all nodes but those that add up what they make of it."""
    leaves = [helper.make_node("Sigmoid", ["x"], [f"v{index}"]) for index in range(nodes // 2)]
    sums, last = [], "v0"
    for index in range(1, nodes // 2):
        sums.append(helper.make_node("Add", [last, f"v{index}"], [f"s{index}"]))
        last = f"s{index}"
    return _model([*leaves, *sums], last, ["N", 4], [])


def branches(nodes: int) -> ModelProto:
    """Many small bodies: each If of a row chooses between two nodes."""
    body, last = [], "x"
    for index in range(nodes // 3):
        inner = [
            helper.make_graph(
                [helper.make_node(op_type, [last], [f"{op_type}{index}"])],
                f"{op_type}{index}",
                [],
                [helper.make_tensor_value_info(f"{op_type}{index}", TensorProto.FLOAT, None)],
            )
            for op_type in ("Relu", "Sigmoid")
        ]
        branches = {"then_branch": inner[0], "else_branch": inner[1]}
        body.append(helper.make_node("If", ["c"], [f"v{index}"], **branches))
        last = f"v{index}"
    model = _model(body, last, ["N", 4], [])
    model.graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    return model


def initializers(nodes: int) -> ModelProto:
    """As many weights as nodes, no two of them equal."""
    body, weights, last = [], [], "x"
    for index in range(nodes):
        weights.append(numpy_helper.from_array(np.full(4, index, np.float32), f"w{index}"))
        body.append(
            helper.make_node("Add" if index % 2 else "Mul", [last, f"w{index}"], [f"v{index}"])
        )
        body.append(helper.make_node("Sigmoid", [f"v{index}"], [f"s{index}"]))
        last = f"s{index}"
    return _model(body[:nodes], body[nodes - 1].output[0], ["N", 4], weights[: (nodes + 1) // 2])


def convolutions(nodes: int) -> ModelProto:
    """Conv, BatchNormalization and Relu, as torch's exporter names and annotates them."""
    body, weights, infos, last = [], [], [], "x"
    random = np.random.default_rng(0)
    for index in range(nodes // 3):
        block = f"/encoder/layers.{index}"
        names = [
            f"encoder.layers.{index}.{part}" for part in ["weight", "scale", "bias", "mean", "var"]
        ]
        weights.append(_weight(names[0], random, (2, 2, 1, 1)))
        weights += [_weight(name, random, (2,)) for name in names[1:]]
        steps = [
            (
                "Conv",
                "conv",
                names[:1],
                {"kernel_shape": [1, 1], "pads": [0] * 4, "strides": [1, 1]},
            ),
            ("BatchNormalization", "bn", names[1:], {"epsilon": 1e-5, "momentum": 0.9}),
            ("Relu", "act", [], {}),
        ]
        for op_type, part, parameters, attributes in steps:
            name, output = f"{block}/{part}/{op_type}", f"{block}/{part}/{op_type}_output_0"
            body.append(
                helper.make_node(op_type, [last, *parameters], [output], name, **attributes)
            )
            infos.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", 2, 4, 4]))
            last = output
    return _model(body, last, ["N", 2, 4, 4], weights, infos[:-1])


def _weight(name: str, random: np.random.Generator, shape: tuple[int, ...]) -> TensorProto:
    return numpy_helper.from_array(random.uniform(0.5, 1.5, shape).astype(np.float32), name)


def _model(nodes, last, shape, weights, infos=()) -> ModelProto:  # type: ignore[no-untyped-def]
    graph = helper.make_graph(
        nodes,
        "benchmark",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, shape)],
        weights,
        value_info=infos,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
