from __future__ import annotations

import itertools

import numpy as np
import pytest

from onnxforge import PassManager
from onnxforge.ir import Model, Value
from onnxforge.report import Tally
from onnxforge.runtime import evaluate
from onnxforge.testing import check, model
from onnxforge_passes.clip_merging import ClipMerging

BOUNDS = "<float m = {-1}, float z = {0}, float o = {1}, float t = {2}, float h = {3}>"


@pytest.mark.parametrize(
    ("nodes", "after"),
    [
        ("a = Clip(x, m, h)  b = Clip(a, z, t)", "b = Clip(x, *, *)"),
        ("a = Relu(x)  b = Clip(a, z, t)", "b = Clip(x, *, *)"),
        ("a = Clip(x, m, h)  b = Relu(a)", "b = Clip(x, *, *)"),
        ("a = Clip(x, m)  b = Relu(a)", "b = Relu(x)"),
        ("a = Clip(x, , o)  b = Clip(a, m)", "b = Clip(x, *, *)"),
        ("a = Relu(x)  b = Clip(a, m)", "a = Relu(x)"),
        ("a = Sigmoid(x)  b = Relu(a)", "a = Sigmoid(x)"),
        ("a = Abs(x)  b = Clip(a, m)", "a = Abs(x)"),
        ("b = Clip(x)", ""),
    ],
)
def test_one_clip_is_enough(nodes: str, after: str) -> None:
    last = after.partition(" ")[0] or "x"
    check(
        ClipMerging(),
        before=f"g (float[N] x) => (float[N] y) {BOUNDS} {{ {nodes}  y = Neg(b) }}",
        after=f"{after}\ny = Neg({last})".strip(),
    )


@pytest.mark.parametrize(
    "nodes",
    [
        "a = Sigmoid(x)  b = Clip(a, z, o)",
        "a = Tanh(x)  b = Relu(a)",
        "a = Clip(x, x0, o)  b = Relu(a)",
        "a = Relu(x)  c = Neg(a)  d = Clip(a, z, o)  b = Add(c, d)",
    ],
)
def test_these_clips_stay(nodes: str) -> None:
    check(
        ClipMerging(),
        before=f"g (float[N] x, float x0) => (float[N] y) {BOUNDS} {{ {nodes}  y = Neg(b) }}",
    )


def test_the_absolute_value_of_the_lowest_integer_is_negative() -> None:
    check(
        ClipMerging(),
        before="g (int32[N] x) => (int32[N] y) { a = Abs(x)  b = Relu(a)  y = Neg(b) }",
    )


def test_any_two_pairs_of_bounds_merge_into_one() -> None:
    x = np.array([-np.inf, -9, -2, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 9, np.inf], np.float32)
    ends = ["", "m", "z", "o", "t"]
    for a, b, c, d in itertools.product(ends, repeat=4):
        text = f"g (float[N] x) => (float[N] y) {BOUNDS} {{ t1 = Clip(x, {a}, {b})  y = Clip(t1, {c}, {d}) }}"
        proto = model(text)
        subject = Model(proto).copy()
        PassManager([ClipMerging()]).run(subject)
        assert len(subject.graph) == 1
        (expected,), (actual,) = (evaluate(p, {"x": x}) for p in (proto, subject.to_proto()))
        np.testing.assert_array_equal(actual, expected, text)


def test_integers_keep_their_type() -> None:
    check(
        ClipMerging(),
        before="g (int64[N] x) => (int64[N] y) <int64 a = {-3}, int64 b = {5}> "
        "{ t = Clip(x, a)  y = Clip(t, , b) }",
        after="y = Clip(x, *, *)",
    )


def test_bounds_were_attributes_before_opset_11() -> None:
    check(
        ClipMerging(),
        before="g (float16[N] x) => (float16[N] y) { t = Relu(x)  y = Clip<max = 6.0>(t) }",
        after="y = Clip<max=6, min=0>(x)",
        opset=9,
    )


def test_clips_that_a_checker_keeps_stay() -> None:
    subject = Model(
        model("g (float[N] x) => (float[N] y) { a = Clip(x)  b = Clip(a)  y = Neg(b) }")
    )

    class Refusal:
        def __call__(self, old: Value, new: Value) -> bool:
            return False

        def take(self) -> Tally:
            return Tally()

    assert not PassManager([ClipMerging()], checker=Refusal()).run(subject).changes
