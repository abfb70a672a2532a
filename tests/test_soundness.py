"""Every pass, and pipelines of them, on random models.

ONNXFORGE_EXAMPLES sets how many models each gets: a few in CI, thousands in `make fuzz`.
"""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxforge import Pass, RewritePass
from onnxforge.passes import Pipeline
from onnxforge.registry import create, installed, load
from onnxforge.testing import NeverFired, assert_pass_is_sound, assert_sound_on, model, models

EXAMPLES = int(os.environ.get("ONNXFORGE_EXAMPLES", "50"))
NAMES = sorted(installed())
SINGLE = [name for name in NAMES if not isinstance(load(name), Pipeline)]


# What a pass finds something to do beside, besides the operators that it looks for.
BESIDE = {
    "elements-to-split": ["Squeeze"],
    "scale-folding": ["MatMul", "MatMul"],
    "shape-slicing": ["Gather", "Slice"],
    "split-deferral": ["Reshape", "Reshape"],
}


# What may make of numbers what is none, or infinite.
PARTIAL = {"Acos", "Acosh", "Asin", "Atanh", "BatchNormalization", "Cosh", "Div", "Exp"}
PARTIAL |= {"Log", "Pow", "Reciprocal", "ReduceLogSum", "Sinh", "Sqrt", "Tan"}


def numbers(proto):
    """Whether a model computes with numbers, as a pass may say that it takes for granted."""
    return not any(node.op_type in PARTIAL for node in proto.graph.node)


GIVEN = {"nan-guard-elimination": numbers}


@pytest.mark.parametrize("name", NAMES)
def test_a_pass_is_sound_on_random_models(name):
    strategy = None
    if name in GIVEN:
        strategy = models(patterns=load(name).patterns()).filter(GIVEN[name])
    prefer = BESIDE.get(name, ())
    assert_pass_is_sound(create(name), examples=EXAMPLES, prefer=prefer, strategy=strategy)


@settings(max_examples=4 * EXAMPLES, deadline=None)
@given(models(max_nodes=16), st.lists(st.sampled_from(SINGLE), min_size=2, max_size=5))
def test_passes_in_any_order_are_sound_on_random_models(proto, names):
    assert_sound_on(proto, [create(name) for name in names])


def test_a_wrong_pass_is_found_out():
    class ReluElimination(RewritePass):
        """Take Relu for the identity."""

        def pattern(self, op, x):
            return op.Relu(x)

        def rewrite(self, op, x):
            return op.Identity(x)

    with pytest.raises(AssertionError, match="NOT EQUIVALENT") as caught:
        assert_pass_is_sound(ReluElimination(), examples=100)
    assert "Relu" in str(caught.value)


def test_a_pass_is_not_blamed_for_a_coarse_kernel_of_the_runtime():
    class Sigmoid(RewritePass):
        """Call it so, which ONNX Runtime takes for 0 below -18."""

        def pattern(self, op, x):
            return op.Reciprocal(op.Add(op.Exp(op.Neg(x)), 1.0))

        def rewrite(self, op, x):
            return op.Sigmoid(x)

    text = """
        g (float[1] x) => (float[1] y) <float low = {20}, float one = {1}> {
           a = Abs(x) b = Sub(a, low) n = Neg(b) e = Exp(n) d = Add(e, one) y = Reciprocal(d)
        }
        """
    assert assert_sound_on(model(text), [Sigmoid()]) == 1


def test_a_wrong_pass_for_one_rare_operator_is_found_out():
    class LeakElimination(RewritePass):
        """Take LeakyRelu for Relu."""

        def pattern(self, op, x):
            return op.LeakyRelu(x)

        def rewrite(self, op, x):
            return op.Relu(x)

    with pytest.raises(AssertionError, match="NOT EQUIVALENT"):
        assert_pass_is_sound(LeakElimination(), examples=200)


def test_a_pass_that_found_nothing_to_do_is_pointed_out():
    class Idle(Pass):
        def run(self, graph):
            return 0

    with pytest.warns(NeverFired, match="idle: nothing to do in any of 5 models"):
        assert_pass_is_sound(Idle(), examples=5)


def test_a_pass_without_patterns_can_be_given_models_of_what_it_looks_for(recwarn):
    class SignElimination(Pass):
        """Take the Sign of a Sign for the latter."""

        def run(self, graph):
            twice = [n for n in graph if n.op_type == "Sign" and _is_sign(n.inputs[0].producer)]
            return sum(graph.replace(node.output, node.inputs[0]) for node in twice)

    # In float16 ONNX Runtime makes 0 or NaN of the Sign of a NaN, depending on what is around it.
    strategy = models(prefer=["Sign"]).filter(numbers)
    assert_pass_is_sound(SignElimination(), examples=100, strategy=strategy)
    assert not [each for each in recwarn if each.category is NeverFired]


def _is_sign(node):
    return node is not None and node.op_type == "Sign"


def test_a_pass_without_patterns_gets_models_of_the_operators_it_says_it_looks_for():
    drawn = []

    class Counting(Pass):
        """Note how often there is something to look at."""

        operators = ("Atanh",)

        def run(self, graph):
            drawn.append(graph)
            return 0

    with pytest.warns(NeverFired):
        assert_pass_is_sound(Counting(), examples=100)
    assert len(drawn) >= 50  # three runs on each model that has one; by chance it would be three


def test_a_pass_that_breaks_the_interface_is_found_out():
    class OutputRenaming(Pass):
        """Call the first output something else."""

        def run(self, graph):
            if graph.outer is not None or graph.operator is not None:
                return 0
            graph.proto.output[0].name = graph.outputs[0].name
            graph.proto.output[0].doc_string = "mine"
            return 0

    with pytest.raises(Exception, match="interface"):
        assert_pass_is_sound(OutputRenaming(), examples=10)
