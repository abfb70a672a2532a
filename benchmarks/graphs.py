"""Graphs of any size, to see what grows with it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper


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
        made = [
            helper.make_node(op_type, [last], [f"{op_type}{index}"])
            for op_type in ("Relu", "Sigmoid")
        ]
        body.append(_choice(f"v{index}", made[:1], made[1:]))
        last = f"v{index}"
    return _model(body, last, ["N", 4], [], conditions=["c"])


def nests(nodes: int, depth: int = 20) -> ModelProto:
    """Deep nests: a row of Ifs, each with another within, and so on, *depth* deep."""

    def choice(name: str, x: str, level: int) -> NodeProto:
        first = helper.make_node("Sigmoid", [x], [f"{name}s"])
        rest = choice(f"{name}i", f"{name}s", level - 1) if level else None
        other = helper.make_node("Tanh", [x], [f"{name}t"])
        return _choice(name, [first, rest] if rest else [first], [other])

    body, last = [], "x"
    for index in range(nodes // (3 * depth)):
        body.append(choice(f"v{index}", last, depth - 1))
        last = f"v{index}"
    return _model(body, last, ["N", 4], [], conditions=["c"])


def _choice(name: str, then: list[NodeProto], other: list[NodeProto]) -> NodeProto:
    branches = {
        branch: helper.make_graph(
            nodes,
            nodes[-1].output[0],
            [],
            [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)],
        )
        for branch, nodes in (("then_branch", then), ("else_branch", other))
    }
    return helper.make_node("If", ["c"], [name], **branches)


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


def convolutions(nodes: int, width: int = 2) -> ModelProto:
    """Conv, BatchNormalization and Relu, as torch's exporter names and annotates them."""
    body, weights, infos, last = [], [], [], "x"
    random = np.random.default_rng(0)
    for index in range(nodes // 3):
        block = f"/encoder/layers.{index}"
        names = [
            f"encoder.layers.{index}.{part}" for part in ["weight", "scale", "bias", "mean", "var"]
        ]
        weights.append(_weight(names[0], random, (width, width, 1, 1)))
        weights += [_weight(name, random, (width,)) for name in names[1:]]
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
            infos.append(
                helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", width, 4, 4])
            )
            last = output
    return _model(body, last, ["N", width, 4, 4], weights, infos[:-1])


def encoder(layers: int, width: int = 768) -> ModelProto:
    """A transformer as torch's exporter spells it: shapes computed, LayerNormalization and Gelu in
    pieces, 48 * width * width bytes of weights in a layer.  None has to change: as in T5, no scale
    could be folded into them."""
    body: list[NodeProto] = []
    weights = [
        numpy_helper.from_array(np.array(value, dtype), name)
        for name, value, dtype in (
            ("two", 2, np.float32),
            ("eps", 1e-5, np.float32),
            ("root", 2**0.5, np.float32),
            ("one", 1, np.float32),
            ("half", 0.5, np.float32),
            ("i0", 0, np.int64),
            ("i1", 1, np.int64),
            ("front", [0], np.int64),
            ("heads", [12, width // 12], np.int64),
            ("width", [width], np.int64),
        )
    ]
    # Random numbers take longer to make than to optimize.
    noise = (
        np.random.default_rng(0).standard_normal(4 * width * width + 32 * layers, np.float32) / 32
    )

    def add(op_type: str, *inputs: str, **attributes: Any) -> str:
        return several(1, op_type, *inputs, **attributes)[0]

    def several(count: int, op_type: str, *inputs: str, **attributes: Any) -> list[str]:
        name = f"/{op_type}_{len(body)}"
        outputs = [f"{name}_output_{index}" for index in range(count)]
        body.append(helper.make_node(op_type, inputs, outputs, name, **attributes))
        return outputs

    def weight(*shape: int) -> str:
        data = noise[len(weights) :][: math.prod(shape)].reshape(shape)
        weights.append(numpy_helper.from_array(data, f"layers.{len(weights)}.weight"))
        return weights[-1].name

    def linear(x: str, out: int, size: int) -> str:
        return add("Add", weight(out), add("MatMul", x, weight(size, out)))

    def norm(x: str) -> str:
        centred = add("Sub", x, add("ReduceMean", x, axes=[-1]))
        variance = add("ReduceMean", add("Pow", centred, "two"), axes=[-1])
        scaled = add("Div", centred, add("Sqrt", add("Add", variance, "eps")))
        return add("Add", add("Mul", scaled, weight(width)), weight(width))

    def sizes(x: str, *rest: str) -> str:
        shape = add("Shape", x)
        found = [add("Unsqueeze", add("Gather", shape, i), "front") for i in ("i0", "i1")]
        return add("Concat", *found, *rest, axis=0)

    def heads(x: str, *order: int) -> str:
        return add("Transpose", add("Reshape", x, sizes(x, "heads")), perm=order)

    x = "x"
    for _ in range(layers):
        q, k, v = several(3, "Split", linear(norm(x), 3 * width, width), axis=-1)
        scores = add("MatMul", heads(q, 0, 2, 1, 3), heads(k, 0, 2, 3, 1))
        mixed = add("MatMul", add("Softmax", scores, axis=-1), heads(v, 0, 2, 1, 3))
        mixed = add("Transpose", mixed, perm=[0, 2, 1, 3])
        x = add("Add", x, linear(add("Reshape", mixed, sizes(x, "width")), width, width))
        y = linear(norm(x), 4 * width, width)
        erf = add("Add", add("Erf", add("Div", y, "root")), "one")
        x = add("Add", x, linear(add("Mul", add("Mul", y, erf), "half"), width, 4 * width))
    return _model(body, x, ["N", "S", width], weights)


def constants(nodes: int) -> ModelProto:
    """Two nodes in three compute with weights alone, and need a kernel for it."""
    body, weights, last = [], [], "x"
    random = np.random.default_rng(0)
    for index in range(nodes // 3):
        weights.append(_weight(f"w{index}", random, (16, 16)))
        body.append(helper.make_node("Exp", [f"w{index}"], [f"e{index}"]))
        body.append(helper.make_node("Erf", [f"e{index}"], [f"f{index}"]))
        body.append(helper.make_node("MatMul", [last, f"f{index}"], [f"v{index}"]))
        last = f"v{index}"
    return _model(body, last, ["N", 16], weights)


def _weight(name: str, random: np.random.Generator, shape: tuple[int, ...]) -> TensorProto:
    return numpy_helper.from_array(random.uniform(0.5, 1.5, shape).astype(np.float32), name)


def _model(nodes, last, shape, weights, infos=(), conditions=()) -> ModelProto:  # type: ignore[no-untyped-def]
    graph = helper.make_graph(
        nodes,
        "benchmark",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, shape),
            *[helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in conditions],
        ],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, shape)],
        weights,
        value_info=infos,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
