"""What a rewrite pass does with the occurrences of its patterns."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from onnx import helper

from onnxforge import Builder, Const, Decline, Match, Model, PassManager, RewritePass, Value
from onnxforge.errors import PassError
from onnxforge.testing import assert_consistent, calls, check, model


class NegNegElimination(RewritePass):
    """Negating twice is nothing."""

    def pattern(self, op: Any, x: Value) -> Any:
        return op.Neg(op.Neg(x))

    def rewrite(self, op: Any, match: Match, x: Value) -> Any:
        return x


def test_a_replacement_can_be_a_value_there_is() -> None:
    check(
        NegNegElimination(),
        before="g (float[N] x) => (float[N] y) { a = Neg(x)  b = Neg(a)  y = Relu(b) }",
        after="y = Relu(x)",
    )


def test_what_a_replacement_opens_up_is_found_in_the_same_run() -> None:
    chain = " ".join(f"a{i} = Neg(a{i - 1})" for i in range(1, 41))
    text = f"g (float[N] x) => (float[N] y) {{ a0 = Relu(x) {chain} y = Exp(a40) }}"
    subject = Model(model(text))
    report = PassManager([NegNegElimination()]).run(subject)
    assert calls(subject.to_proto()) == "a0 = Relu(x)\ny = Exp(a0)"
    assert [step.changes for step in report.steps] == [20, 0]


def test_an_output_that_cannot_be_replaced_is_left_alone() -> None:
    check(
        NegNegElimination(),
        before="g (float[N] x) => (float[N] y) { a = Neg(x)  y = Neg(a) }",
    )


class Offset(RewritePass):
    """Write x + c as x - (-c), if c is positive."""

    def pattern(self, op: Any, x: Value, c: Const) -> Any:
        return op.Add(x, c)

    def rewrite(self, op: Any, match: Match, x: Value, c: Const) -> Any:
        negative = op.constant(-c.numpy())
        result = op.Sub(op.Identity(x), negative, like=match.root)
        if (c.numpy() < 0).any():
            raise Decline("the offset is negative")
        if (c.numpy() == 0).any():
            raise ZeroDivisionError("zero")
        return result


def test_arrays_become_constants_and_like_lends_its_name() -> None:
    proto = model("g (float[N] x) => (float[N] y) <float[1] c = {2.0}> { y = Add(x, c) }")
    proto.graph.node[0].name = "offset"
    result = check(Offset(), before=proto, after="t1 = Identity(x)\ny = Sub(t1, *)")
    assert [node.name for node in result.proto.graph.node] == ["", "offset"]


def test_what_is_inferred_halfway_through_an_edit_does_not_change_its_outcome() -> None:
    subject = Model(model("g (float[N] x) => (float[N] y) { a = Relu(x)  y = Exp(a) }"))
    relu, exp = subject.graph
    op = Builder(subject.graph, before=exp)
    inserted = op.Neg(op.Neg(op.Neg(relu.output), like=relu), like=relu)
    assert inserted.shape == relu.output.shape
    assert subject.graph.replace(relu.output, inserted)
    assert calls(subject.to_proto(), frozenset("xy")) == (
        "t1 = Relu(x)\nt2 = Neg(t1)\nt3 = Neg(t2)\nt4 = Neg(t3)\ny = Exp(t4)"
    )


def test_a_decline_undoes_what_was_built_and_is_counted() -> None:
    text = """
    g (float[N] x) => (float[N] y) <float[1] c = {-2.0}, float[1] d = {2.0}>
    { a = Add(x, c)  b = Add(a, c)  y = Add(b, d) }
    """
    subject = Model(model(text))
    report = PassManager([Offset()]).run(subject)
    assert report.steps[0].declined == {"the offset is negative": 2}
    assert report.steps[0].changes == 1
    assert calls(subject.to_proto(), frozenset("xyab")) == (
        "a = Add(x, *)\nb = Add(a, *)\nt1 = Identity(b)\ny = Sub(t1, *)"
    )
    assert len(subject.proto.graph.initializer) == 2
    assert_consistent(subject.graph)


def test_if_every_occurrence_is_declined_the_model_stays_byte_for_byte() -> None:
    text = "g (float[N] x) => (float[N] y) <float[1] c = {-2.0}> { y = Add(x, c) }"
    check(Offset(), before=text, declined="the offset is negative")
    data = model(text).SerializeToString()
    subject = Model.from_bytes(data)
    PassManager([Offset()]).run(subject)
    assert subject.to_bytes() == data


def test_an_error_undoes_what_was_built_and_names_the_pass() -> None:
    text = "g (float[N] x) => (float[N] y) <float[1] c = {0.0}> { y = Add(x, c) }"
    subject = Model(model(text))
    with pytest.raises(PassError, match=r"'offset' failed: ZeroDivisionError: zero"):
        PassManager([Offset()]).run(subject)
    assert subject.to_proto() == model(text)


class Doubling(RewritePass):
    """Write x + x, and 2 * x, as a sum of x with itself."""

    def pattern_scaled(self, op: Any, x: Value) -> Any:
        return op.Mul(x, 2.0)

    def pattern(self, op: Any, x: Value, one: Const) -> Any:
        return op.BitShift(x, one, direction="LEFT")

    def rewrite(self, op: Any, match: Match, x: Value, one: Const | None) -> Any:
        if one is not None and one.numpy() != 1:
            raise Decline("shifts by more than one")
        return op.Sum(x, x)


def test_a_pass_may_have_several_patterns_whose_missing_variables_are_none() -> None:
    found = [each.name for each in Doubling.patterns()]
    assert found == ["Doubling.pattern", "Doubling.pattern_scaled"]
    check(
        Doubling(),
        before="g (float[N] x) => (float[N] y) <float two = {2.0}> { y = Mul(two, x) }",
        after="y = Sum(x, x)",
    )
    check(
        Doubling(),
        before="g (uint8[N] x) => (uint8[N] y) <uint8 s = {2}> "
        '{ y = BitShift <direction = "LEFT"> (x, s) }',
        declined="more than one",
    )


class SharedNegation(RewritePass):
    """Write -x + z as z - x, even where -x is needed all the same."""

    shared = True

    def pattern(self, op: Any, x: Value, z: Value) -> Any:
        return op.Add(op.Neg(x), z)

    def rewrite(self, op: Any, match: Match, x: Value, z: Value) -> Any:
        return op.Sub(z, x)


def test_interiors_that_are_read_elsewhere_stay_if_the_pass_shares_them() -> None:
    check(
        SharedNegation(),
        before="g (float[N] x, float[N] z) => (float[N] y, float[N] u) "
        "{ a = Neg(x)  y = Add(z, a)  u = Exp(a) }",
        after="""
        a = Neg(x)
        y = Sub(z, x)
        u = Exp(a)
        """,
    )


class ParallelMatMulMerge(RewritePass):
    """Compute two products with the same left side as one, and split it."""

    def pattern(self, op: Any, x: Value, v: Const, w: Const) -> Any:
        return op.MatMul(x, v), op.MatMul(x, w)

    def rewrite(self, op: Any, match: Match, x: Value, v: Const, w: Const) -> Any:
        left, right = v.numpy(), w.numpy()
        if left.ndim != 2 or right.ndim != 2:
            raise Decline("the weights are no matrices")
        product = op.MatMul(x, np.concatenate([left, right], 1))
        sizes = np.array([left.shape[1], right.shape[1]])
        return op.Split(product, sizes, axis=-1, outputs=2)


def test_a_pass_may_replace_several_outputs_at_once() -> None:
    check(
        ParallelMatMulMerge(),
        before="""
        g (float[N,3] x) => (float[N,2] y, float[N,5] z) <float[3,2] v, float[3,5] w> {
            a = MatMul(x, v)
            y = Relu(a)
            b = MatMul(x, w)
            z = Exp(b)
        }
        """,
        after="""
        t1 = MatMul(x, *)
        b, a = Split<axis=-1>(t1, *)
        y = Relu(a)
        z = Exp(b)
        """,
    )


def test_several_outputs_that_are_outputs_of_the_graph_keep_their_names_and_order() -> None:
    result = check(
        ParallelMatMulMerge(),
        before="""
        g (float[N,3] x) => (float[N,5] z, float[N,2] y) <float[3,2] v, float[3,5] w> {
            y = MatMul(x, v)
            z = MatMul(x, w)
        }
        """,
        after="""
        t1 = MatMul(x, *)
        z, y = Split<axis=-1>(t1, *)
        """,
    )
    assert [info.name for info in result.proto.graph.output] == ["z", "y"]


class Blend(RewritePass):
    """Call one custom operator for (x + 1.5) * z."""

    def pattern(self, op: Any, x: Value, z: Value) -> Any:
        return op.Mul(op.Add(x, 1.5), z)

    def rewrite(self, op: Any, match: Match, x: Value, z: Value) -> Any:
        return op.Blend(x, z, domain="my", gain=2.0, body=self.pattern)


@pytest.mark.parametrize("dtype", ["float", "float16", "double"])
def test_a_custom_operator_means_what_its_pattern_says(dtype: str) -> None:
    proto = model(
        f"""
        g ({dtype}[N] x, {dtype}[N] z) => ({dtype}[N] y) <{dtype} c>
        {{ a = Add(x, c)  y = Mul(z, a) }}
        """
    )
    (tensor,) = proto.graph.initializer
    tensor.CopyFrom(helper.make_tensor("c", tensor.data_type, [], [1.5]))
    result = check(Blend(), before=proto, after="y = my.Blend<gain=2>(x, z)")
    (function,) = result.proto.functions
    assert list(function.attribute) == ["gain"]
    assert {entry.domain: entry.version for entry in result.proto.opset_import} == {"": 17, "my": 1}


def test_a_body_with_numbers_needs_an_opset_that_can_give_them_a_type() -> None:
    check(
        Blend(),
        before="g (float[N] x, float[N] z) => (float[N] y) <float c = {1.5}> "
        "{ a = Add(x, c)  y = Mul(z, a) }",
        opset=13,
        declined="opset 15",
    )


def test_a_pass_is_found_twice_only_by_its_own_patterns() -> None:
    for one, other in itertools.permutations((NegNegElimination, SharedNegation), 2):
        assert one.patterns() is one.patterns()
        assert one.patterns() != other.patterns()


def test_a_pass_that_matches_what_it_makes_comes_to_an_end() -> None:
    class ReluDoubling(RewritePass):
        """Clip at zero once more, wherever it is done."""

        def pattern(self, op: Any, x: Value) -> Any:
            return op.Relu(x)

        def rewrite(self, op: Any, x: Value) -> Any:
            return op.Relu(op.Relu(x))

    subject = Model(model("g (float[N] x) => (float[N] y) { y = Relu(x) }"))
    with pytest.raises(PassError, match=r"'relu-doubling' failed: \d+ replacements .* and no end"):
        PassManager([ReluDoubling()]).run(subject)
