from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

from onnxforge.ir import Graph, Model, Value
from onnxforge.manager import PassManager
from onnxforge.passes import Pass
from onnxforge.verify import EditChecker

HEADER = '<ir_version: 10, opset_import: ["" : 20, "com.example" : 1]>\n'


def model(text: str, **weights: np.ndarray) -> Model:
    proto = onnx.parser.parse_model(HEADER + text)
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(array, name) for name, array in weights.items()
    )
    return Model(proto)


def rewriting(op_type: str, rewrite: Callable[[Graph, Any], Value | None]) -> Pass:
    """A pass that replaces the first output of nodes of one operator by what *rewrite* makes."""

    class Rewriting(Pass):
        def run(self, graph: Graph) -> int:
            changes = 0
            for node in graph:
                if node.op_type == op_type:
                    new = rewrite(graph, node)
                    changes += new is not None and graph.replace(node.output, new)
            return changes

    return Rewriting()


def ops(subject: Model) -> list[str]:
    return [node.op_type for node in subject.graph]


def run(subject: Model, *passes: Pass, **options: Any) -> tuple[EditChecker, Any]:
    checker = EditChecker(**options)
    report = PassManager(passes, checker=checker, max_rounds=1).run(subject)
    return checker, report


def test_dropping_a_relu_is_refused_named_and_undone_and_the_run_goes_on():
    subject = model("g (float[N,4] x) => (float[N,4] y) { a = Relu(x) b = Identity(a) y = Neg(b) }")
    wrong = rewriting("Relu", lambda _, node: node.inputs[0])
    right = rewriting("Identity", lambda _, node: node.inputs[0])
    checker, report = run(subject, wrong, right)
    assert ops(subject) == ["Relu", "Neg"]
    (refusal,) = report.refused
    assert "replacing 'a' (a = Relu(x)) changes its value by" in refusal
    assert report.steps[0].tally.refused and report.steps[1].tally.checked == 1
    assert len(checker.failures) == 1


def test_inserting_a_chain_of_nodes_after_a_value_is_checked():
    subject = model("g (float[2,3] x) => (float[2,3] y) { a = Neg(x) y = Relu(a) }")

    def insert(graph: Graph, node: Any) -> Value:
        there = graph.add_node("Transpose", [node.output], perm=[1, 0])
        return graph.add_node("Transpose", [there.output], perm=[1, 0]).output

    _, report = run(subject, rewriting("Neg", insert))
    assert ops(subject) == ["Neg", "Transpose", "Transpose", "Relu"]
    assert report.steps[0].tally.checked == 1
    assert not report.steps[0].tally.unchecked
