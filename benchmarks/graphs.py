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
