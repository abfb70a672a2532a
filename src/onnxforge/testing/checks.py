"""Assertions about a pass: does it do this to that, and is it right?"""

from __future__ import annotations

import difflib

import onnx
from onnx import ModelProto

from onnxforge.ir import Graph, Model
from onnxforge.manager import PassManager
from onnxforge.passes import Pass
from onnxforge.testing.texts import calls, lines, model, names_of
from onnxforge.verify import Baseline, EditChecker


def check(
    each: Pass,
    before: str | ModelProto,
    after: str | None = None,
    *,
    opset: int = 17,
    declined: str | None = None,
    unchecked: str | None = None,
) -> Model:
    """Assert that the pass turns *before* into *after*, is sound, and is done the first time.

    *before* is ONNX text, a graph or a whole model, or a protobuf; see `model`.  *after* is what
    `calls` prints of the result, line by line; None says that nothing changes.  Then *declined*
    can be a part of the reason the pass must give.  The model that came out is returned.

    Also asserted: every edit was checked on its own and found right, save for a reason that
    contains *unchecked*; the whole model gives the same numbers in ONNX Runtime with its own
    optimizer off; ONNX's checker accepts it; the graph's index agrees with its protobuf; and a
    second run changes nothing.
    """
    proto = model(before, opset=opset) if isinstance(before, str) else before
    expected = calls(proto) if after is None else "\n".join(lines(after))
    subject = Model(proto).copy()
    baseline = Baseline(subject)
    checker = EditChecker(every=1)
    report = PassManager([each], checker=checker).run(subject)
    assert not report.refused, report.refused
    reasons = [reason for step in report.steps for reason in step.tally.unchecked]
    assert all(unchecked is not None and unchecked in reason for reason in reasons), reasons
    result = subject.to_proto()
    found = calls(result, names_of(proto))
    assert found == expected, _difference(expected, found)
    if after is None:
        assert report.changes == 0, "nothing should change, and the pass claims otherwise"
        reasons = [reason for step in report.steps for reason in step.declined]
        assert declined is None or any(declined in reason for reason in reasons), reasons
    onnx.checker.check_model(result, full_check=not is_foreign(result))
    for graph in subject.graphs():
        assert_consistent(graph)
    comparison = baseline.compare(subject)
    assert not comparison.unchecked, comparison.unchecked
    assert comparison.is_equivalent, str(comparison)
    again = PassManager([each]).run(subject)
    assert again.changes == 0, "a second run found more to do"
    assert subject.to_proto() == result, "a second run that reports no changes made some"
    return subject


def _difference(expected: str, found: str) -> str:
    """The lines of both, those marked that only one of them has."""
    marked = difflib.ndiff(expected.splitlines(), found.splitlines())
    return "\n".join(["what is expected (-) and what came out (+):", *marked])


def is_foreign(proto: ModelProto) -> bool:
    """Whether a model calls operators whose types ONNX's checker cannot infer."""
    defined = {function.domain for function in proto.functions}
    return any(
        entry.domain not in ("", "ai.onnx", "ai.onnx.ml", *defined) for entry in proto.opset_import
    )


def assert_consistent(graph: Graph) -> None:
    """Assert that the index of a committed graph says what its protobuf says."""
    assert [node.proto for node in graph] == list(graph.proto.node)
    for node in graph:
        assert [v.name if v is not None else "" for v in node.inputs] == list(node.proto.input)
        assert [v.name for v in node.outputs] == list(node.proto.output)
        assert all(v.producer is node for v in node.outputs)
        assert all(graph.values[v.name] is v for v in node.outputs if v.name)
        assert all(node in v.consumers for v in node.inputs if v is not None)
        assert all(graph.sees(v) for v in node.inputs if v is not None)
    for name, value in graph.values.items():
        assert value.name == name
        for node in value.consumers:
            assert node.graph is not None
            assert value in node.inputs
        assert (name in graph.output_names) <= value.is_output
