from __future__ import annotations

import numpy as np
import pytest

from pains.promises import all_keep, optimized


def test_two_draws_are_not_one():
    """A14: random_normal_cse, the recipe."""
    results = optimized(
        """g (float[64] x) => (float[64] y)
        { a = RandomNormal<shape=[64]>() b = RandomNormal<shape=[64]>()
          d = Sub(a, b) y = Add(x, d) }""",
        compare="shapes",
    )
    all_keep(results, RandomNormal=2, Sub=1)


@pytest.mark.parametrize(
    ("operator", "graph"),
    [
        pytest.param(operator, text, id=f"A14-{name}")
        for name, operator, text in (
            (
                "random_uniform_cse",
                "RandomUniform",
                """g (float[8] x) => (float[8] y)
                { a = RandomUniform<shape=[8]>() b = RandomUniform<shape=[8]>()
                  d = Sub(a, b) y = Add(x, d) }""",
            ),
            (
                "random_like_cse",
                "RandomNormalLike",
                """g (float[N] x) => (float[N] y)
                { a = RandomNormalLike(x) b = RandomNormalLike(x) y = Sub(a, b) }""",
            ),
            (
                "random_like_of_a_constant",
                "RandomUniformLike",
                """g (float[4] x) => (float[4] y) <float[4] k>
                { a = RandomUniformLike(k) b = RandomUniformLike(k) d = Sub(a, b) y = Add(x, d) }""",
            ),
            (
                "random_bernoulli_fold",
                "Bernoulli",
                """g (float[4] x) => (float[4] y) <float[4] k = {0.5, 0.5, 0.5, 0.5}>
                { a = Bernoulli(k) b = Bernoulli(k) d = Sub(a, b) y = Add(x, d) }""",
            ),
            (
                "random_multinomial_fold",
                "Multinomial",
                """g (int32[1,5] x) => (int32[1,5] y) <float[1,3] k = {0, 0, 0}>
                { a = Multinomial<sample_size=5>(k) b = Multinomial<sample_size=5>(k)
                  d = Sub(a, b) y = Add(x, d) }""",
            ),
        )
    ],
)
def test_random_operators_are_neither_folded_nor_merged(operator: str, graph: str):
    all_keep(optimized(graph, compare="shapes"), **{operator: 2})


def test_a_loop_draws_anew_in_each_round():
    """A14: loop_random_in_body."""
    results = optimized(
        """g (float[4] x) => (float[M,4] y) <int64 n = {3}, bool c = {1}>
        { y = Loop(n, c) <body = b (int64 i, bool go) => (bool again, float[4] r) {
            again = Identity(go) s = RandomNormal<shape=[4]>() r = Add(s, x) }> }""",
        {"x": np.zeros(4, "f4")},
        compare="shapes",
    )
    all_keep(results, RandomNormal=1, Loop=1)


def test_a_branch_that_draws_is_not_folded():
    """A14."""
    results = optimized(
        """g (bool c) => (float[4] y)
        { y = If(c) <then_branch = t () => (float[4] a) { a = RandomNormal<shape=[4]>() },
                     else_branch = e () => (float[4] b) { b = RandomNormal<shape=[4]>() }> }""",
        {"c": np.array(True)},
        {"c": np.array(False)},
        compare="shapes",
    )
    all_keep(results, RandomNormal=2)


def test_a_function_that_draws_is_random_at_each_call():
    """A14: purity is that of what a function calls."""
    results = optimized(
        """<ir_version: 10, opset_import: ["" : 17, "d" : 1]>
        g (float[4] x) => (float[4] y)
        { a = d.noise(x) b = d.noise(x) y = Sub(a, b) }
        <domain: "d", opset_import: ["" : 17]>
        noise (x) => (y) { r = RandomNormalLike(x) y = Add(x, r) }""",
        {"x": np.zeros(4, "f4")},
        compare="shapes",
    )
    for name, result in results.items():
        calls = sum(node.op_type == "noise" for node in result.graph.node)
        draws = sum(node.op_type == "RandomNormalLike" for node in result.graph.node)
        assert calls + draws == 2, name


def test_a_dropout_that_trains_is_random():
    """A13: random_dropout_training."""
    results = optimized(
        """g (float[64] x) => (float[64] y, bool[64] m) <float r = {0.5}, bool t = {1}>
        { y, m = Dropout(x, r, t) }""",
        compare="shapes",
    )
    all_keep(results, Dropout=1)


def test_whether_a_dropout_trains_may_be_for_the_caller_to_say():
    """A13."""
    results = optimized(
        """g (float[64] x, bool t) => (float[64] y) <float r = {0.5}> { y = Dropout(x, r, t) }""",
        {"x": np.ones(64, "f4"), "t": np.array(False)},
        compare="shapes",
    )
    all_keep(results, Dropout=1)


def test_a_dropout_of_ratio_zero_that_trains_keeps_its_numbers():
    """A13."""
    optimized(
        """g (float[64] x) => (float[64] y) <float r = {0}, bool t = {1}>
        { y = Dropout(x, r, t) }"""
    )
