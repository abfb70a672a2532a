"""Whatever passes do to whatever graph, the index agrees with the protobuf and every edit is right.

The models are small, of few operators and full of what passes look for, so that passes meet again
and again in one place: nodes out of order, names that hide others, weights shared across bodies.
`test_soundness.py` has the wide models.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from onnxforge import Model, PassManager, evaluate
from onnxforge.testing import assert_consistent
from onnxforge.verify import EditChecker, relative_error
from onnxforge_passes import standard
from onnxforge_passes.fused_conv_injection import FusedConvInjection
from onnxforge_passes.swish_injection import SwishInjection

PASSES = [*standard.leaves(), FusedConvInjection(), SwishInjection()]
SHAPE = [1, 2, 3]
ARITY = {"Relu": 1, "Sigmoid": 1, "Identity": 1, "Neg": 1, "Add": 2, "Mul": 2}
NORM = ["scale", "bias", "mean", "var"]


@st.composite
def models(draw: Any) -> ModelProto:
    """Models of float32 [1, 2, 3] tensors, and a caller's bool."""
    nodes, names = draw(chains("", ["x", "w"], 2))
    outputs = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    random = np.random.default_rng(0)
    weights = {
        "w": random.normal(size=SHAPE),
        "W": random.normal(size=(2, 2, 1)),
        "V": random.normal(size=(2, 2, 1)),
        **{name: random.uniform(0.5, 1.5, 2) for name in NORM},
    }
    initializers = [
        numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()
    ]
    initializers += [numpy_helper.from_array(np.array(flag), str(flag)) for flag in (True, False)]
    graph = helper.make_graph(
        draw(st.permutations(nodes)),  # what comes in need not be sorted
        "random",
        [tensor("x"), helper.make_tensor_value_info("c", TensorProto.BOOL, [])],
        list(map(tensor, outputs)),
        initializers,
    )
    block, _ = draw(chains("f", ["a"], 0, weights=False))
    opsets = [helper.make_opsetid("", 17)]
    function = helper.make_function("my", "Block", ["a"], [block[-1].output[0]], block, opsets)
    return helper.make_model(
        graph,
        functions=[function],
        opset_imports=[*opsets, helper.make_opsetid("my", 1)],
        ir_version=10,
    )


@st.composite
def chains(
    draw: Any, prefix: str, known: list[str], depth: int, *, weights: bool = True
) -> tuple[list[NodeProto], list[str]]:
    """Nodes, and the names of what they compute; bodies nest to *depth*."""
    names, nodes = list(known), []
    kinds = sorted(ARITY) + (["Conv", "Norm", "Block"] if weights else []) + ["If"] * bool(depth)
    for index in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from(kinds))
        # The latest as often as not: chains are what patterns look for.
        x = draw(st.sampled_from([names[-1], *names]))
        y = f"{prefix}y{index}"
        if kind == "Conv":
            nodes.append(helper.make_node("Conv", [x, draw(st.sampled_from("WV"))], [y]))
        elif kind == "Norm":
            nodes.append(helper.make_node("BatchNormalization", [x, *NORM], [y]))
        elif kind == "Block":
            nodes.append(helper.make_node("Block", [x], [y], domain="my"))
        elif kind == "If":
            # Bodies of one depth have the same names, as exporters write them.
            branches = {
                name: body(*draw(chains(f"{name[0]}{depth}", names, depth - 1)))
                for name in ("then_branch", "else_branch")
            }
            condition = draw(st.sampled_from(["c", "True", "False"]))
            nodes.append(helper.make_node("If", [condition], [y], **branches))
        else:
            rest = [draw(st.sampled_from(names)) for _ in range(ARITY[kind] - 1)]
            nodes.append(helper.make_node(kind, [x, *rest], [y]))
        names.append(y)
    computed = names[len(known) :]
    return nodes, computed


def body(nodes: list[NodeProto], names: list[str]) -> GraphProto:
    return helper.make_graph(nodes, "body", [], [tensor(names[-1])])


def tensor(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE)


@settings(deadline=None, max_examples=150)
@given(models(), st.lists(st.sampled_from(PASSES), min_size=1, max_size=6), st.booleans())
def test_passes_keep_the_index_and_the_function(
    proto: ModelProto, passes: list[Any], condition: bool
) -> None:
    before, subject = Model(proto).copy(), Model(proto).copy()
    for model in (before, subject):
        for graph in model.graphs():
            graph.touch()  # the first edit sorts the nodes, which ONNX Runtime wants
    for each in passes:
        report = PassManager([each], checker=EditChecker()).run(subject)
        assert not report.refused
        for graph in subject.graphs():
            assert_consistent(graph)
    result = subject.to_proto()
    foreign = any(entry.domain == "com.microsoft" for entry in result.opset_import)
    onnx.checker.check_model(result, full_check=not foreign)
    feeds = {
        "x": np.array([-1.5, 0.25, 2, 0, 1, -0.5], np.float32).reshape(SHAPE),
        "c": np.array(condition),
    }
    expected, actual = (evaluate(model.to_proto(), feeds) for model in (before, subject))
    for a, b in zip(expected, actual, strict=True):
        assert relative_error(a, b) < 1e-5
