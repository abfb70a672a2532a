from __future__ import annotations

import pytest

from onnxforge import Model, Pass, PassManager, registry
from onnxforge.errors import NotConstantError
from onnxforge.report import Tally
from onnxforge.testing import model


def test_what_an_edit_tells_of_values_after_it_is_seen_in_the_next_round():
    seen = []

    class Seen(Pass):
        """Note the rank of the output, then let what is known be reshaped in place of the rest."""

        def run(self, graph):
            seen.append(graph.outputs[0].shape)
            node = next(iter(graph))
            if node.op_type == "Identity":
                return 0
            return graph.replace(node.output, graph.add_node("Identity", [graph.inputs[0]]).output)

    subject = Model(
        model("""
        g (float[2,3] x, int64[2] s) => (float[A,B] y) { h = Reshape(x, s)  y = Relu(h) }
        """)
    )
    PassManager([Seen()]).run(subject)
    assert not any(isinstance(size, int) for size in seen[0])
    assert seen[1] == (2, 3)


def test_an_error_of_the_library_names_the_pass_and_keeps_its_type():
    class Reader(Pass):
        """Read what the model does not hold."""

        def run(self, graph):
            return graph.inputs[0].numpy().size

    subject = Model(model("g (float[2] x) => (float[2] y) { y = Relu(x) }"))
    with pytest.raises(NotConstantError, match=r"pass 'reader' failed: .*'x'"):
        PassManager([Reader()]).run(subject)


class Runs(Pass):
    """Count the runs."""

    def __init__(self):
        self.runs = 0

    def run(self, graph):
        self.runs += 1
        graph.decline("nothing to do")
        return 0


def test_a_pass_that_found_nothing_to_do_is_not_run_again_before_an_edit():
    subject = Model(model("g (float[N] x) => (float[N] y) { h = Relu(x)  y = Relu(h) }"))
    runs = Runs()
    first = PassManager([runs]).run(subject)
    again = PassManager([runs]).run(subject)
    assert runs.runs == 1
    assert first.steps[0].declined == again.steps[0].declined == {"nothing to do": 1}
    node = next(iter(subject.graph))
    subject.graph.replace(node.output, subject.graph.inputs[0])
    PassManager([runs]).run(subject)
    assert runs.runs == 2


def test_what_a_checker_refused_is_tried_again_without_it():
    class Refusal:
        def __call__(self, old, new):
            return False

        def take(self):
            return Tally()

    subject = Model(model("g (float[N] x) => (float[N] y) { h = Identity(x)  y = Relu(h) }"))
    passes = registry.resolve("identity-elimination")
    assert PassManager(passes, checker=Refusal()).run(subject).changes == 0
    assert PassManager(passes).run(subject).changes == 1


def test_a_pass_is_run_as_soon_as_an_edit_brings_in_an_operator_it_looks_for():
    ran = []

    class Absolute(Pass):
        """Let an Abs stand for each Relu."""

        operators = ("Relu",)

        def run(self, graph):
            return sum(
                graph.replace(node.output, graph.add_node("Abs", node.inputs).output)
                for node in graph.calls("Relu")
            )

    class Looks(Pass):
        """Note that there is an Abs."""

        operators = ("Abs",)

        def run(self, graph):
            ran.append(sorted(graph.op_types))
            return 0

    subject = Model(model("g (float[N] x) => (float[N] y) { h = Neg(x)  y = Relu(h) }"))
    report = PassManager([Looks(), Absolute(), Looks()]).run(subject)
    assert [step.changes for step in report.steps] == [0, 1, 0, 0, 0, 0]
    assert ran == [["Abs", "Neg"]] * 3  # after the edit, and twice in the second round
