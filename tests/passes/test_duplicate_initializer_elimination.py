from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from onnxforge import Model, PassManager
from onnxforge.testing import check, model
from onnxforge_passes.duplicate_initializer_elimination import DuplicateInitializerElimination


def left(graph: str, **weights: Any) -> list[str]:
    """The names of the initializers the pass leaves."""
    proto = model(graph)
    for name, array in weights.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    subject = Model(proto).copy()
    report = PassManager([DuplicateInitializerElimination()]).run(subject)
    names = [value.name for value in subject.graph.initializers]
    assert report.changes == len(proto.graph.initializer) - len(names)
    return names


TWO = "g (float[2] x) => (float[2] y) { c = CastLike(a, x) d = CastLike(b, x) t = Add(x, c) y = Div(t, d) }"


def test_equal_initializers_are_one() -> None:
    check(
        DuplicateInitializerElimination(),
        before="""
        g (float[N] x) => (float[N] y) <float a = {2}, float b = {2}, float c = {3}>
        { p = Mul(x, a)  q = Add(p, b)  y = Div(q, c) }
        """,
        after="""
        p = Mul(x, *)
        q = Add(p, *)
        y = Div(q, *)
        """,
    )
    assert left(TWO, a=np.full(2, 3.0, "f4"), b=np.full(2, 3.0, "f4")) == ["a"]


def test_large_ones_that_differ_in_one_place_stay() -> None:
    a = np.ones(1 << 12, "f4")
    b = a.copy()
    b[1000] = 2
    graph = TWO.replace("[2]", f"[{len(a)}]")
    assert left(graph, a=a, b=b) == ["a", "b"]
    assert left(graph, a=a, b=a.copy()) == ["a"]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.zeros(2, "f4"), -np.zeros(2, "f4")),
        (np.array([1, 2], "f4"), np.array([1, 2], "f4").view("i4")),
        (np.ones(2, "f2"), np.ones(2, "i2")),
        (np.ones(1, "f4"), np.ones((), "f4")),
    ],
)
def test_what_is_equal_but_not_the_same_stays(a: Any, b: Any) -> None:
    assert left(TWO, a=a, b=b) == ["a", "b"]


def test_no_number_is_like_itself_by_its_bytes() -> None:
    assert left(TWO, a=np.full(2, np.nan, "f4"), b=np.full(2, np.nan, "f4")) == ["a"]


def test_one_that_a_caller_may_override_stays() -> None:
    graph = TWO.replace("float[2] x", "float[2] x, float[2] a")
    assert left(graph, a=np.ones(2, "f4"), b=np.ones(2, "f4")) == ["a", "b"]


def test_strings_merge_too() -> None:
    texts = np.array(["a", "b"], object)
    graph = "g (string[2] x) => (bool[2] y) { p = Equal(x, a) q = Equal(x, b) y = And(p, q) }"
    assert left(graph, a=texts, b=texts.copy()) == ["a"]


def test_a_body_uses_the_initializers_around_it() -> None:
    proto = model("""
        g (float[N] x, bool c) => (float[N] y) <float a = {2}> {
            t = Mul(x, a)
            y = If (c) <
                then_branch = t () => (float[N] p) <float a2 = {2}> { p = Add(t, a2) },
                else_branch = e () => (float[N] q) <float a3 = {2}> { q = Sub(t, a3) }
            >
        }
    """)
    subject = check(
        DuplicateInitializerElimination(),
        proto,
        after="""
        t = Mul(x, *)
        y = If(c)
          then_branch:
            p = Add(t, *)
          else_branch:
            q = Sub(t, *)
        """,
    )
    assert [len(graph.initializers) for graph in subject.graphs()] == [0, 0, 1]
