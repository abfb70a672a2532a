from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.expand_elimination import ExpandElimination


@pytest.mark.parametrize("dtype", ["float", "float16"])
def test_the_operator_broadcasts_itself(dtype: str) -> None:
    check(
        ExpandElimination(),
        before=f"""
        g ({dtype}[1,3] x, {dtype}[N,3] z) => ({dtype}[N,3] y) {{
            s = Shape(z)
            e = Expand(x, s)
            y = Add(e, z)
        }}
        """,
        after="y = Add(x, z)",
    )


def test_of_lower_rank() -> None:
    check(
        ExpandElimination(),
        before="""
        g (float[3] x, float[4,3] z, bool[4,1] c) => (float[4,3] y) <int64[2] s = {4, 3}> {
            e = Expand(x, s)
            y = Where(c, e, z)
        }
        """,
        after="y = Where(c, x, z)",
    )


def test_a_size_that_only_the_expand_makes() -> None:
    check(
        ExpandElimination(),
        before="""
        g (float[1,3] x, float[1,3] z) => (float[4,3] y) <int64[2] s = {4, 3}> {
            e = Expand(x, s)
            y = Add(e, z)
        }
        """,
    )


def test_both_expanded_alike() -> None:
    check(
        ExpandElimination(),
        before="""
        g (float[1,3] x, float[1,3] z) => (float[4,3] y) <int64[2] s = {4, 3}> {
            a = Expand(x, s)
            b = Expand(z, s)
            y = Add(a, b)
        }
        """,
        after="""
        b = Expand(z, *)
        y = Add(x, b)
        """,
    )


def test_a_rank_that_only_the_expand_makes() -> None:
    check(
        ExpandElimination(),
        before="""
        g (float[3] x, float[3] z) => (float[1,3] y) <int64[2] s = {1, 3}> {
            e = Expand(x, s)
            y = Add(e, z)
        }
        """,
    )


def test_one_that_is_read_otherwise_stays() -> None:
    check(
        ExpandElimination(),
        before="""
        g (float[1,3] x, float[4,3] z) => (float[4,3] y, float[4,3] e) <int64[2] s = {4, 3}> {
            e = Expand(x, s)
            y = Add(e, z)
        }
        """,
    )


def test_a_size_that_may_be_another_stays() -> None:
    check(
        ExpandElimination(),
        before="""
        g (float[1,3] x, float[N,3] r, float[M,3] z) => (float[K,3] y) {
            s = Shape(r)
            e = Expand(x, s)
            y = Add(e, z)
        }
        """,
    )
