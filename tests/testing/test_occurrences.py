"""Random models have what a pattern looks for."""

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto as T

from onnxforge import Const, Model, PassManager, RewritePass, Value
from onnxforge.testing import NeverFired, assert_pass_is_sound, models
from onnxforge.testing.operators import RULES
from onnxforge.testing.sketch import Sketch


class NegationFolding(RewritePass):
    """Negate the constants of what is scaled and shifted, not the sum; and take away a residual."""

    def pattern(self, op, x, scale: Const, bias: Const, rest: Value):
        scaled = op.Mul(op.any(op.Relu(x), op.Max(x, 0.0)), scale)
        return op.Add(op.Neg(op.Add(scaled, bias)), rest)

    def rewrite(self, op, x, scale, bias, rest, match):
        relu = match.nodes[0].output
        return op.Sub(rest, op.Add(op.Mul(relu, scale), bias))


class Projection(RewritePass):
    """Negate the weights of a product, not the product, and know the axis of its Softmax."""

    def pattern(self, op, x, w: Const, bias: Const | None):
        return op.Neg(op.Softmax(op.Neg(op.Gemm(x, w, bias, transB=1)), axis=1))

    def rewrite(self, op, x, w, bias):
        negated = None if bias is None else -bias.numpy()
        gemm = op.Gemm(x, -w.numpy(), negated, transB=1)
        return op.Neg(op.Softmax(gemm, axis=1))


class SiluAsGelu(RewritePass):
    """Take x * sigmoid(1.6 * x) for Gelu, which it nearly is."""

    def pattern(self, op, x):
        return op.Mul(x, op.Sigmoid(op.Mul(x, 1.6)))

    def rewrite(self, op, x):
        return op.Gelu(x)


class DivisionOfSizes(RewritePass):
    """Look for sizes that are divided by anything, or added to it."""

    def pattern(self, op, x, y):
        return op.Div(op.Shape(x), y)

    def pattern_of_remainders(self, op, x, y):
        return op.Mod(op.Shape(x), y)

    def pattern_of_sums(self, op, x, y):
        return op.Add(op.Shape(x), y)

    def rewrite(self, op, x, y):
        raise NotImplementedError


@pytest.mark.parametrize("each", [NegationFolding(), Projection()], ids=lambda each: each.name)
def test_a_pattern_of_many_nodes_occurs(each):
    found = 0

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(models(patterns=each.patterns()))
    def count(proto):
        nonlocal found
        found += PassManager([each]).run(Model(proto)).changes > 0

    count()
    assert found >= 25


@settings(max_examples=100, deadline=None)
@given(models(patterns=DivisionOfSizes().patterns(), functions=False, control_flow=False))
def test_whole_numbers_are_divided_by_what_no_runtime_dies_of(proto):
    for node in Model(proto).graph.calls("Div", "Mod"):
        if node.inputs[0].dtype in (T.INT32, T.INT64):
            assert node.inputs[1].is_constant
            assert (node.inputs[1].numpy() > 0).all()


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_no_einsum_sums_up_nothing(data):
    sketch = Sketch(data.draw, 17)
    sketch.declare(T.FLOAT, ["N", 0])
    assert RULES["Einsum"](sketch) is None
    sketch.declare(T.FLOAT, ["N", 4])
    assert RULES["Einsum"](sketch) is not None


def test_a_pass_whose_pattern_occurs_has_fired(recwarn):
    assert_pass_is_sound(NegationFolding(), examples=30)
    assert not [each for each in recwarn if each.category is NeverFired]


def test_a_long_pattern_rewritten_wrongly_is_found_out():
    with pytest.raises(AssertionError, match="NOT EQUIVALENT") as caught:
        assert_pass_is_sound(SiluAsGelu(), examples=200)
    before = str(caught.value).partition("before:")[2].partition("after:")[0]
    assert len(before.strip().splitlines()) <= 5


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_models_with_an_occurrence_are_valid(data):
    each = data.draw(st.sampled_from([NegationFolding, Projection, SiluAsGelu]))
    proto = data.draw(models(patterns=each.patterns()))
    onnx.checker.check_model(proto, full_check=True)
