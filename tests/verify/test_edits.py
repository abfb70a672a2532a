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
            for node in list(graph):
                if node.op_type == op_type:
                    new = rewrite(graph, node)
                    if new is not None and graph.replace(node.output, new):
                        changes += 1
                    elif new is not None:
                        graph.sweep([new])
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
    assert report.steps[0].tally.refused
    assert report.steps[1].tally.checked == 1
    assert [failure.pass_name for failure in checker.failures] == ["rewriting"]


def test_inserting_a_chain_of_nodes_after_a_value_is_checked():
    subject = model("g (float[2,3] x) => (float[2,3] y) { a = Neg(x) y = Relu(a) }")

    def insert(graph: Graph, node: Any) -> Value:
        there = graph.add_node("Transpose", [node.output], perm=[1, 0])
        return graph.add_node("Transpose", [there.output], perm=[1, 0]).output

    _, report = run(subject, rewriting("Neg", insert))
    assert ops(subject) == ["Neg", "Transpose", "Transpose", "Relu"]
    assert report.steps[0].tally.checked == 1
    assert not report.steps[0].tally.unchecked


def conv_norm() -> Model:
    random = np.random.default_rng(1)
    return model(
        "g (float[N,3,8,8] x) => (float[N,4,6,6] y) "
        "{ c = Conv(x, W) n = BatchNormalization(c, s, b, m, v) y = Relu(n) }",
        W=random.standard_normal((4, 3, 3, 3)).astype(np.float32),
        **{name: random.uniform(0.5, 1.5, 4).astype(np.float32) for name in ("s", "b", "m", "v")},
    )


def fold_norm(epsilon: float) -> Pass:
    def rewrite(graph: Graph, node: Any) -> Value:
        x, scale, bias, mean, var = node.inputs
        conv = x.producer
        k = scale.numpy(np.float64) / np.sqrt(var.numpy(np.float64) + epsilon)
        W = (conv.inputs[1].numpy() * k.reshape(-1, 1, 1, 1)).astype(np.float32)
        B = (bias.numpy() - mean.numpy() * k).astype(np.float32)
        inputs = [conv.inputs[0], graph.constant(W), graph.constant(B)]
        return graph.add_node("Conv", inputs, before=node).output

    return rewriting("BatchNormalization", rewrite)


def test_folding_a_norm_into_a_conv_is_found_right():
    subject = conv_norm()
    _, report = run(subject, fold_norm(1e-5))
    assert ops(subject) == ["Conv", "Relu"]
    assert report.steps[0].tally.checked == 1
    assert 0 < report.steps[0].tally.error < 1e-5


def test_folding_a_norm_with_the_wrong_epsilon_is_refused():
    subject = conv_norm()
    _, report = run(subject, fold_norm(1e-2))
    assert ops(subject) == ["Conv", "BatchNormalization", "Relu"]
    assert "n = BatchNormalization(c, s, b, m, v)" in report.refused[0]


@pytest.mark.parametrize(
    ("text", "op_type", "rewrite"),
    [
        (
            "g (float[N] x, float[N] z) => (float[N] y) { a = Add(x, z) y = Neg(a) }",
            "Add",
            lambda _, node: node.inputs[0],
        ),
        (
            "g (float[2,2,2] x) => (float[2,2,2] y) { a = Transpose<perm=[0,2,1]>(x) y = Neg(a) }",
            "Transpose",
            lambda graph, node: graph.add_node("Transpose", node.inputs, perm=[1, 0, 2]).output,
        ),
        (
            "g (int64[N] x) => (int64[N] y) <int64 one = {1}> { a = Add(x, one) y = Neg(a) }",
            "Add",
            lambda graph, node: (
                graph.add_node("Add", [node.inputs[0], graph.constant(np.int64(2))]).output
            ),
        ),
        (
            "g () => (float[2] y) <float[2] w = {1, 2}> { a = Neg(w) y = Exp(a) }",
            "Neg",
            lambda graph, _: graph.constant(np.array([-1, -2.01], np.float32)),
        ),
        (
            # Wrong for NaN and infinities alone.
            "g (float[N] x) => (float[N] y) { a = Sub(x, x) y = Neg(a) }",
            "Sub",
            lambda graph, node: (
                graph.add_node(
                    "Expand",
                    [
                        graph.constant(np.float32(0)),
                        graph.add_node("Shape", [node.inputs[0]]).output,
                    ],
                ).output
            ),
        ),
        (
            "g (float[N] x) => (int64[1] y) { a = Shape(x) y = Neg(a) }",
            "Shape",
            lambda graph, _: graph.constant(np.array([3], np.int64)),
        ),
        (
            "g (bool[N] x, bool[N] z) => (bool[N] y) { a = And(x, z) y = Not(a) }",
            "And",
            lambda graph, node: graph.add_node("Or", node.inputs).output,
        ),
        (
            "g (float[N] x) => (float[N] y) <float tiny = {0.000001}> { a = Mul(x, tiny) y = Neg(a) }",
            "Mul",
            lambda graph, node: (
                graph.add_node("Mul", [node.inputs[0], graph.constant(np.float32(2e-6))]).output
            ),
        ),
    ],
)
def test_a_wrong_edit_is_refused(text, op_type, rewrite):
    subject = model(text)
    before = ops(subject)
    _, report = run(subject, rewriting(op_type, rewrite))
    assert len(report.refused) == 1, report
    assert ops(subject) == before


def test_taking_a_narrowing_cast_for_nothing_is_refused():
    subject = model(
        "g (float[N] x) => (float[N] y) { a = Cast<to=10>(x) b = Cast<to=1>(a) y = Neg(b) }"
    )
    wrong = rewriting(
        "Cast", lambda _, node: node.inputs[0].producer and node.inputs[0].producer.inputs[0]
    )
    _, report = run(subject, wrong)
    assert len(report.refused) == 1


def test_what_only_holds_because_of_how_a_value_is_computed_is_found_right():
    subject = model(
        "g (float[N,4] x) => (float[N,4] y) { a = Sigmoid(x) b = Neg(a) c = Neg(b) d = Relu(c) y = Neg(d) }"
    )
    _, report = run(subject, rewriting("Relu", lambda _, node: node.inputs[0]))
    assert ops(subject) == ["Sigmoid", "Neg", "Neg", "Neg"]
    assert report.steps[0].tally.checked == 1


def test_a_reshape_to_the_shape_a_value_has_is_nothing():
    subject = model(
        "g (float[N,4] x) => (float[N,4] y) { s = Shape(x) a = Reshape(x, s) y = Neg(a) }"
    )
    _, report = run(subject, rewriting("Reshape", lambda _, node: node.inputs[0]))
    assert ops(subject) == ["Neg"]
    assert report.steps[0].tally.checked == 1


def chain(count: int, node: str = "Identity({})") -> Model:
    nodes = (f"a{i} = " + node.format(f"a{i - 1}" if i else "x") for i in range(count))
    return model(
        f"g (float[N,4] x) => (float[N,4] y) {{ {' '.join(nodes)} y = Neg(a{count - 1}) }}"
    )


def test_of_edits_that_are_alike_the_first_is_checked_and_some_of_the_rest():
    subject = chain(40)
    identity = rewriting("Identity", lambda _, node: node.inputs[0])
    _, report = run(subject, identity, every=10)
    tally = report.steps[0].tally
    assert ops(subject) == ["Neg"]
    assert (tally.checked, tally.sampled, tally.edits) == (4, 36, 40)
    assert not tally.unchecked
    assert "4/40" in str(report)
    assert "36 taken for right" in str(report)


def test_what_cannot_be_checked_stands_for_its_like():
    subject = chain(8, "com.example.Custom({})")
    _, report = run(subject, rewriting("Custom", lambda _, node: node.inputs[0]), every=100)
    reason = "com.example::Custom is not known to be deterministic"
    assert report.steps[0].tally.unchecked == {reason: 8}


def test_edits_of_many_kinds_are_sampled_beyond_the_budget_and_counted_as_unchecked():
    nodes = " ".join(f"a{i} = Relu(x{i}) b{i} = Identity(a{i}) y{i} = Neg(b{i})" for i in range(40))
    ins = ", ".join(f"float[N,{i + 1}] x{i}" for i in range(40))
    outs = ", ".join(f"float[N,{i + 1}] y{i}" for i in range(40))
    subject = model(f"g ({ins}) => ({outs}) {{ {nodes} }}")
    identity = rewriting("Identity", lambda _, node: node.inputs[0])
    _, report = run(subject, identity, budget=5, every=10)
    tally = report.steps[0].tally
    assert tally.checked == 5 + 4
    assert tally.unchecked == {"only one kind in 10 is, after the first 5": 31}


def test_once_the_time_is_up_only_edits_like_wrong_ones_are_checked():
    subject = model(
        "g (float[N,4] x, float[N,6] z) => (float[N,4] y, float[N,6] w) "
        "{ a = Relu(x) y = Neg(a) b = Identity(z) c = Relu(b) w = Neg(c) }"
    )
    _, report = run(subject, rewriting("Relu", lambda _, node: node.inputs[0]), seconds=0)
    assert report.steps[0].tally.unchecked == {"checking the edits before took 0 seconds": 2}
    assert "Relu" not in ops(subject)
    subject = model(
        "g (float[N,4] x, float[N,4] z) => (float[N,4] y, float[N,4] w, float[N,4] v) "
        "{ a = Relu(x) y = Neg(a) c = Relu(z) w = Neg(c) v = Identity(y) }"
    )
    wrong = rewriting("Relu", lambda _, node: node.inputs[0])
    right = rewriting("Identity", lambda _, node: node.inputs[0])
    _, report = run(subject, wrong, right, seconds=1e-9)
    assert len(report.refused) == 2
    assert ops(subject).count("Relu") == 2


@pytest.mark.parametrize(
    "second",
    [
        "b = Mul(x, three)",  # another number
        "b = Mul(z, two)",  # another shape
        "b = Mul(two, x)",  # another order
        "c = Relu(x) b = Mul(c, two)",  # checked further back
    ],
)
def test_edits_that_differ_in_more_than_names_are_each_checked(second):
    subject = model(
        "g (float[N,4] x, float[4,N] z) => (float[N,4] y, float[N,4] w) "
        f"<float two = {{2}}, float three = {{3}}> {{ a = Mul(x, two) {second} y = Neg(a) w = Neg(b) }}"
    )
    calls = []

    def reverse(graph: Graph, node: Any) -> Value:
        calls.append(node)
        return graph.add_node("Mul", [node.inputs[1], node.inputs[0]]).output

    _, report = run(subject, rewriting("Mul", reverse), every=100)
    assert len(calls) == 2
    tally = report.steps[0].tally
    assert tally.checked + tally.sampled == 2
    assert tally.checked == (1 if "Relu" in second else 2)


def test_right_for_what_lies_further_back_is_not_right_for_all_of_its_like():
    subject = model(
        "g (float[N,4] x) => (float[N,4] y, float[N,4] z) "
        "{ a = Sigmoid(x) b = Relu(a) y = Neg(b) c = Tanh(x) d = Relu(c) z = Neg(d) }"
    )
    _, report = run(subject, rewriting("Relu", lambda _, node: node.inputs[0]), every=100)
    assert ops(subject) == ["Sigmoid", "Neg", "Tanh", "Relu", "Neg"]
    assert report.steps[0].tally.checked == 1
    assert len(report.refused) == 1


def test_what_was_refused_is_neither_tried_nor_told_of_again():
    subject = model("g (float[N,4] x) => (float[N,4] y) { a = Relu(x) b = Identity(a) y = Neg(b) }")
    wrong = rewriting("Relu", lambda graph, node: graph.add_node("Abs", node.inputs).output)
    right = rewriting("Identity", lambda _, node: node.inputs[0])
    checker = EditChecker()
    report = PassManager([wrong, right], checker=checker).run(subject)
    assert max(step.round for step in report.steps) == 2
    assert len(report.refused) == 1
    assert len(checker.failures) == 1
    assert ops(subject) == ["Relu", "Neg"]


def test_taking_the_tally_starts_a_new_one():
    checker = EditChecker(every=1)
    subject = model("g (float[N] x) => (float[N] y) { a = Identity(x) y = Neg(a) }")
    values = subject.graph.values
    assert checker(values["a"], values["x"])
    assert (checker.take().checked, checker.take().checked) == (1, 0)
    assert checker(values["a"], values["x"])
    assert checker.take().checked == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "g (float[4] x) => (float[4] y) { a = RandomNormalLike(x) y = Neg(a) }",
            "RandomNormalLike is not known to be deterministic",
        ),
        (
            "g (float[4] x) => (float[4] y) { a = com.example.Custom(x) y = Neg(a) }",
            "com.example::Custom is not known to be deterministic",
        ),
        (
            "g (float x) => (float y) { a = Identity(x) y = Neg(a) }",
            "the rank of 'x' is not known",
        ),
    ],
)
def test_what_cannot_be_checked_is_let_through_and_counted_with_its_reason(text, reason):
    subject = model(text)
    if "rank" in reason:
        subject.proto.graph.input[0].type.tensor_type.ClearField("shape")
    first = next(iter(subject.graph)).op_type
    _, report = run(subject, rewriting(first, lambda _, node: node.inputs[0]))
    assert ops(subject) == ["Neg"]
    assert report.steps[0].tally.checked == 0
    assert report.steps[0].tally.unchecked == {reason: 1}


FUNCTION = (
    '<domain: "com.example", opset_import: ["" : 20]> '
    "F <alpha> (a, k) => (c) { b = LeakyRelu<alpha: float = @alpha>(a) d = Mul(b, k) c = Neg(d) }"
)
OUTER = (
    '<domain: "com.example", opset_import: ["" : 20, "com.example" : 1]> '
    "G (a, k) => (c) { b = com.example.F<alpha = 0.5>(a, k) c = Neg(b) }"
)


@pytest.mark.parametrize(
    ("calls", "refused", "unchecked"),
    [
        ("y = com.example.F<alpha = 1.0>(x, two)", 0, ""),
        ("y = com.example.F<alpha = 0.5>(x, two)", 1, ""),
        ("y1 = com.example.F<alpha = 1.0>(x, two) y = com.example.F<alpha = 0.5>(y1, x)", 1, ""),
        ("y = com.example.G(x, two)", 1, ""),
        ("y = Neg(x)", 0, "the function is never called"),
    ],
)
def test_an_edit_to_the_body_of_a_function_is_checked_as_it_is_called(calls, refused, unchecked):
    subject = model(
        f"g (float[N,4] x) => (float[N,4] y) <float two = {{2}}> {{ {calls} }} {FUNCTION} {OUTER}"
    )
    _, report = run(subject, rewriting("LeakyRelu", lambda _, node: node.inputs[0]))
    tally = report.steps[0].tally
    assert len(tally.refused) == refused
    assert list(tally.unchecked) == [unchecked] * bool(unchecked)
    assert tally.checked == (not refused and not unchecked)
    assert len(subject.functions[0]) == 2 + bool(refused)


def test_an_edit_within_a_branch_within_a_function_is_checked():
    subject = model(
        "g (float[4] x, bool p) => (float[4] y) { y = com.example.F(x, p) } "
        '<domain: "com.example", opset_import: ["" : 20]> F (a, p) => (c) { c = If (p) '
        "<then_branch = then () => (float[4] t) { r = Relu(a) s = Relu(r) t = Neg(s) }, "
        "else_branch = other () => (float[4] u) { u = Neg(a) }> }"
    )
    wrong = rewriting("Relu", lambda _, node: node.inputs[0])
    _, report = run(subject, wrong)
    assert (report.steps[0].tally.checked, len(report.refused)) == (1, 1)


def test_a_call_of_a_function_is_checked_against_its_body():
    subject = model(
        "g (float[4] x) => (float[4] y) { a = com.example.F(x) y = Neg(a) } "
        '<domain: "com.example", opset_import: ["" : 20]> '
        "F (a) => (c) { b = Relu(a) c = Neg(b) }"
    )

    def inline(graph: Graph, node: Any) -> Value:
        relu = graph.add_node("Relu", node.inputs)
        return graph.add_node("Neg", [relu.output]).output

    _, report = run(subject, rewriting("F", inline))
    assert report.steps[0].tally.checked == 1
    wrong = model(
        "g (float[4] x) => (float[4] y) { a = com.example.F(x) y = Neg(a) } "
        '<domain: "com.example", opset_import: ["" : 20]> '
        "F (a) => (c) { b = Relu(a) c = Neg(b) }"
    )
    _, report = run(
        wrong, rewriting("F", lambda graph, node: graph.add_node("Neg", node.inputs).output)
    )
    assert len(report.refused) == 1


@pytest.mark.parametrize(("kept", "refusals"), [("x", 0), ("o", 1)])
def test_edits_inside_a_branch_may_read_what_is_outside(kept, refusals):
    subject = model(
        "g (float[N] x, bool c) => (float[N] y) { o = Neg(x) y = If (c) "
        "<then_branch = t () => (float[M] p) { i = Identity(x) p = Neg(i) }, "
        "else_branch = e () => (float[M] q) { q = Neg(o) }> }"
    )
    there = subject.graph.values[kept]
    _, report = run(subject, rewriting("Identity", lambda *_: there))
    assert len(report.refused) == refusals
    assert report.steps[0].tally.checked == 1 - refusals


def test_a_whole_loop_is_run():
    subject = model(
        "g (float[2] x) => (float[2] y) <int64 n = {3}, bool go = {1}> { s = Loop (n, go, x) "
        "<body = b (int64 i, bool c, float[2] v) => (bool d, float[2] w) "
        "{ d = Identity(c) w = Add(v, x) }> y = Neg(s) }"
    )

    def times(count: float) -> Pass:
        return rewriting(
            "Loop",
            lambda graph, node: (
                graph.add_node("Mul", [node.inputs[2], graph.constant(np.float32(count))]).output
            ),
        )

    _, report = run(subject, times(3), times(4))
    assert ops(subject) == ["Mul", "Neg"]
    assert [len(step.tally.refused) for step in report.steps] == [1, 0]


def test_regions_are_bounded_in_nodes():
    text = "g (float[N] x) => (float[N] y) { a0 = Relu(x) " + " ".join(
        f"a{i} = Exp(a{i - 1})" for i in range(1, 300)
    )
    subject = model(text + " b = Abs(a299) y = Neg(b) }")
    _, report = run(subject, rewriting("Abs", lambda _, node: node.inputs[0]), limit=4)
    assert report.steps[0].tally.checked == 1


def test_regions_are_bounded_in_bytes():
    subject = model(
        "g (float[N,64] x) => (float[N,64] y) { a = MatMul(x, w) b = Neg(a) y = Neg(b) }",
        w=np.ones((64, 64), np.float32),
    )
    wrong = rewriting("MatMul", lambda _, node: node.inputs[0])
    _, report = run(subject, wrong, max_bytes=1000)
    assert report.steps[0].tally.unchecked == {"the region reads more than 0 MiB": 1}


def test_what_only_the_reference_evaluator_runs_has_to_be_smaller():
    subject = model("g (double[600,600] x) => (double[600,600] y) { a = Erf(x) y = Neg(a) }")
    again = rewriting("Erf", lambda graph, node: graph.add_node("Erf", node.inputs).output)
    _, report = run(subject, again)
    assert report.steps[0].tally.unchecked == {"the region computes more than 262,144 elements": 1}


def test_a_cancellation_that_rounds_otherwise_is_no_error():
    subject = model(
        "g (float[N,8] x) => (float[N,8] y) <float k = {8191}> "
        "{ a = Mul(x, k) b = Add(a, x) c = Sub(b, a) y = Neg(c) }"
    )

    def regroup(factor: float) -> Pass:
        def rewrite(graph: Graph, node: Any) -> Value:
            x = node.inputs[0].producer.inputs[1]
            scaled = graph.add_node("Mul", [x, graph.constant(np.float32(factor))])
            return graph.add_node("Sub", [scaled.output, node.inputs[1]]).output

        return rewriting("Sub", rewrite)

    _, report = run(subject, regroup(8195), regroup(8192))
    assert [len(step.tally.refused) for step in report.steps] == [1, 0]
    assert report.steps[1].tally.checked == 1


def test_what_only_the_edited_model_fails_at_is_refused():
    subject = model("g (float[N,4] x) => (float[N,4] y) { a = Relu(x) y = Neg(a) }")

    def reshape(graph: Graph, node: Any) -> Value:
        return graph.add_node("Reshape", [node.inputs[0], graph.constant(np.array([7, 5]))]).output

    _, report = run(subject, rewriting("Relu", reshape))
    assert "by what cannot be run" in report.refused[0]
    assert ops(subject) == ["Relu", "Neg"]


@pytest.mark.parametrize(
    ("kind", "element"), [("bfloat16", 16), ("float16", 10), ("float8e4m3fn", 17), ("double", 11)]
)
def test_narrow_and_wide_floats_are_checked(kind, element):
    text = (
        f"g ({kind}[N,4] x) => ({kind}[4,N] y) "
        "{ a = Transpose<perm=[1,0]>(x) b = Transpose<perm=[1,0]>(a) y = Transpose<perm=[1,0]>(b) }"
    )
    subject = model(text)
    assert subject.graph.values["x"].dtype == element
    _, report = run(
        subject,
        rewriting(
            "Transpose",
            lambda _, node: node.inputs[0].producer and node.inputs[0].producer.inputs[0],
        ),
    )
    assert report.steps[0].tally.checked == 1
    subject = model(text)
    _, report = run(
        subject, rewriting("Transpose", lambda _, node: node.inputs[0]), max_bytes=1 << 20
    )
    assert report.refused


def test_indices_stay_within_what_they_index():
    subject = model(
        "g (int64[N] i, float[3,4] x) => (float[N,4] y) "
        "{ a = Identity(x) b = Gather(a, i) c = Identity(b) y = Neg(c) }"
    )
    swapped = rewriting(
        "Gather",
        lambda graph, node: (
            graph.add_node(
                "GatherND",
                [
                    node.inputs[0],
                    graph.add_node(
                        "Unsqueeze", [node.inputs[1], graph.constant(np.array([1]))]
                    ).output,
                ],
            ).output
        ),
    )
    _, report = run(subject, swapped)
    assert report.steps[0].tally.checked == 1
    assert not report.steps[0].tally.unchecked


def test_the_verdict_is_the_same_in_every_process():
    def tally() -> Any:
        _, report = run(conv_norm(), fold_norm(1e-5))
        return report.steps[0].tally

    assert tally() == tally()


def test_a_fold_in_float16_may_round_as_float16_does_even_if_the_result_is_float32():
    text = (
        "g (float[N,64] x) => (float[N,64] y) "
        "{ h = Cast<to=10>(x) a = Mul(h, k) b = MatMul(a, w) c = Cast<to=1>(b) y = Neg(c) }"
    )
    w = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float16)
    k = np.array([0.3], np.float16)

    def fold(factor: Any) -> Pass:
        def rewrite(graph: Graph, node: Any) -> Value | None:
            if node.attribute("to") != 1:
                return None
            h = node.inputs[0].producer.inputs[0].producer.inputs[0]
            product = graph.add_node("MatMul", [h, graph.constant(w * factor)])
            return graph.add_node("Cast", [product.output], to=1).output

        return rewriting("Cast", rewrite)

    _, report = run(model(text, w=w, k=k), fold(k * np.float16(1.1)), fold(k))
    assert [len(step.tally.refused) for step in report.steps] == [1, 0]
    assert 1e-4 < report.steps[1].tally.error < 1e-2
