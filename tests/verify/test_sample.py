from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import onnx
import pytest

from onnxforge.ir import Model, Value
from onnxforge.verify import CannotSample, Mood, Sampler

HEADER = '<ir_version: 10, opset_import: ["" : 20]>\n'


def values(text: str) -> dict[str, Value]:
    return Model(onnx.parser.parse_model(HEADER + text)).graph.values


def test_a_symbol_has_one_size_and_another_symbol_another():
    found = values(
        "g (float[N,M] x, float[M,N] z) => (float[N,K] y) "
        "{ c = Concat<axis=0>(x, x) y = MatMul(x, z) }"
    )
    sampler = Sampler()
    x, z, c = (sampler(found[name]) for name in ("x", "z", "c"))
    assert x.shape == z.shape[::-1]
    assert x.shape[0] != x.shape[1]
    assert c.shape == (2 * x.shape[0], x.shape[1])
    assert Sampler({"N": 9})(found["x"]).shape[0] == 9


def test_floats_have_both_zeros_and_both_signs():
    x = Sampler({"N": 64})(values("g (float[N] x) => (float[N] y) { y = Neg(x) }")["x"])
    assert x.min() < 0 < x.max()
    zeros = x[x == 0]
    assert set(np.signbit(zeros)) == {True, False}


@pytest.mark.parametrize(
    ("mood", "holds"),
    [
        (Mood.POSITIVE, lambda x: x.min() > 0),
        (Mood.EXTREME, lambda x: 10 < np.abs(x).max() <= 30 and np.abs(x[x != 0]).min() < 0.01),
        (Mood.NOT_FINITE, lambda x: np.isnan(x).any() and np.isinf(x).sum() >= 2),
    ],
)
def test_moods(mood, holds):
    x = values("g (float[N] x) => (float[N] y) { y = Neg(x) }")["x"]
    assert holds(Sampler({"N": 256}, mood)(x))


@pytest.mark.parametrize(
    ("text", "name", "low", "high"),
    [
        ("g (float[5,2] x, int64[N] i) => (float[N,2] y) { y = Gather(x, i) }", "i", -5, 4),
        (
            (
                "g (float[5,2] x, int32[N] i) => (float[N,2] y) "
                "{ j = Cast<to=7>(i) k = Identity(j) y = Gather(x, k) }"
            ),
            "i",
            -5,
            4,
        ),
        ("g (int64[N] x, int64[N] d) => (int64[N] y) { y = Div(x, d) }", "d", -3, -2),
        (
            (
                "g (int64[N] i) => (float[N,3] y) <int64 d = {3}, float[2] v = {0,1}> "
                "{ y = OneHot(i, d, v) }"
            ),
            "i",
            -3,
            2,
        ),
        (
            (
                "g (float[7,2] x, int64[N] i, bool c) => (float[K,2] y) { y = If (c) "
                "<then_branch = t () => (float[K,2] p) { p = Gather(x, i) }, "
                "else_branch = e () => (float[K,2] q) { q = Identity(x) }> }"
            ),
            "i",
            -7,
            6,
        ),
    ],
)
def test_integers_are_what_their_readers_can_take(text, name, low, high):
    numbers = Sampler({"N": 200}, Mood.EXTREME)(values(text)[name])
    assert (numbers.min(), numbers.max()) == (low, high)


def test_indices_that_are_compared_as_well_count_from_the_end_all_the_same():
    i = values(
        "g (float[5,2] x, int64[N] i) => (float[N,2] y, bool[N] z) <int64 three = {3}, int64 far = {9}>"
        "{ y = Gather(x, i) z = Equal(i, three) w = Equal(i, far) }"
    )["i"]
    found = {mood: Sampler({"N": 64}, mood)(i) for mood in (Mood.NATURAL, Mood.EXTREME)}
    assert set(found[Mood.NATURAL]) <= {3, 4}
    assert found[Mood.EXTREME].min() == -5
    assert found[Mood.EXTREME].max() == 4


def test_a_value_computed_from_shapes_agrees_with_them():
    found = values("g (float[N,4] x) => (float[N,4] y) { s = Shape(x) y = Expand(x, s) }")
    sampler = Sampler({"N": 6})
    np.testing.assert_array_equal(sampler(found["s"]), [6, 4])


def test_what_nothing_is_known_of_cannot_be_sampled():
    found = values("g (float[?,4] x) => (float[N,4] y) { y = Neg(x) }")
    with pytest.raises(CannotSample, match="a dimension of 'x' is not known"):
        Sampler()(found["x"])
    assert Sampler({"?": 3}, unknown="?")(found["x"]).shape == (3, 4)


def test_absurd_sizes_are_refused_before_memory_is_asked_for():
    found = values("g (float[1000000,1000000] x) => (float[N,M] y) { y = Neg(x) }")
    with pytest.raises(CannotSample, match="1,000,000,000,000 elements"):
        Sampler()(found["x"])


def test_samples_are_the_same_in_every_process():
    code = (
        "import onnx; from onnxforge.ir import Model; from onnxforge.verify import Sampler;"
        'm = onnx.parser.parse_model(\'<ir_version: 10, opset_import: ["" : 20]> '
        "g (float[N,M] x) => (float[N,M] y) { y = Neg(x) }');"
        "print(Sampler()(Model(m).graph.values['x']).tobytes().hex())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert outputs.pop().strip()
