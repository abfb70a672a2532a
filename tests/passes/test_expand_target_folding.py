from __future__ import annotations

from onnxforge.testing import check
from onnxforge_passes.expand_target_folding import ExpandTargetFolding


def test_sizes_the_input_has_are_written_as_one() -> None:
    check(
        ExpandTargetFolding(),
        before="""
        g (float[N,1,S] x) => (float[N,4,S] y)
        <int64[1] zero = {0}, int64[1] two = {2}, int64[1] heads = {4}> {
            s = Shape(x)
            n = Gather(s, zero)
            l = Gather(s, two)
            t = Concat <axis = 0> (n, heads, l)
            y = Expand(x, t)
        }
        """,
        after="y = Expand(x, *)",
    )


def test_a_size_that_cannot_be_expanded() -> None:
    check(
        ExpandTargetFolding(),
        before="""
        g (float[3] x, float[N,3] r) => (float[1,3] y) <int64[1] one = {1}, int64[1] last = {1}> {
            s = Shape(r)
            l = Gather(s, last)
            t = Concat <axis = 0> (one, l)
            y = Expand(x, t)
        }
        """,
        after="y = Expand(x, *)",
    )


def test_a_size_of_another_tensor_stays() -> None:
    check(
        ExpandTargetFolding(),
        before="""
        g (float16[1,3] x, float16[N,3] r) => (float16[N,3] y) {
            s = Shape(r)
            y = Expand(x, s)
        }
        """,
        declined="neither known nor the input's own",
    )


def test_a_new_dimension_of_unknown_size_stays() -> None:
    check(
        ExpandTargetFolding(),
        before="""
        g (float[M] x, float[N,M] r) => (float[N,M] y) { s = Shape(r)  y = Expand(x, s) }
        """,
        declined="neither known nor the input's own",
    )


def test_contents_nobody_knows_stay() -> None:
    check(
        ExpandTargetFolding(),
        before="g (float[M] x, int64[2] s) => (float[A,B] y) { y = Expand(x, s) }",
    )
