from __future__ import annotations

from onnxforge.testing import check
from onnxforge_passes.concat_merging import ConcatMerging


def test_a_concat_takes_in_the_inputs_of_another() -> None:
    check(
        ConcatMerging(),
        before="""
        g (float[N,2] a, float[N,3] b, float[N,4] c) => (float[N,9] y) {
            h = Concat <axis = 1> (a, b)
            y = Concat <axis = -1> (h, c)
        }
        """,
        after="y = Concat<axis=-1>(a, b, c)",
    )


def test_along_another_axis_it_stays() -> None:
    check(
        ConcatMerging(),
        before="""
        g (float[1,2] a, float[1,2] b, float[1,4] c) => (float[2,4] y) {
            h = Concat <axis = 1> (a, b)
            y = Concat <axis = 0> (h, c)
        }
        """,
    )


def test_one_that_is_read_otherwise_stays() -> None:
    check(
        ConcatMerging(),
        before="""
        g (float16[N] a, float16[M] b) => (float16[P] y, float16[Q] h) {
            h = Concat <axis = 0> (a, b)
            y = Concat <axis = 0> (h, a)
        }
        """,
    )


def test_what_was_split_is_whole_again() -> None:
    check(
        ConcatMerging(),
        before="""
        g (float[N,6] x) => (float[N,6] z) <int64[2] s = {2, 4}> {
            a, b = Split <axis = 1> (x, s)
            y = Concat <axis = 1> (a, b)
            z = Relu(y)
        }
        """,
        after="z = Relu(x)",
    )


def test_among_others_too() -> None:
    check(
        ConcatMerging(),
        before="""
        g (float[N,6] x, float[N,1] c) => (float[N,8] y) <int64[2] s = {2, 4}> {
            a, b = Split <axis = 1> (x, s)
            y = Concat <axis = 1> (c, a, b, c)
        }
        """,
        after="y = Concat<axis=1>(c, x, c)",
    )


def test_in_another_order_it_is_not_whole() -> None:
    check(
        ConcatMerging(),
        before="""
        g (float[N,4] x) => (float[N,4] y) <int64[2] s = {2, 2}> {
            a, b = Split <axis = 1> (x, s)
            y = Concat <axis = 1> (b, a)
        }
        """,
    )


def test_what_was_concatenated_is_not_split_again() -> None:
    check(
        ConcatMerging(),
        before="""
        g (float[N,2] a, float[N,4] b) => (float[N,2] y, float[N,4] z) <int64[2] s = {2, 4}> {
            h = Concat <axis = 1> (a, b)
            p, q = Split <axis = 1> (h, s)
            y = Relu(p)
            z = Relu(q)
        }
        """,
        after="""
        y = Relu(a)
        z = Relu(b)
        """,
    )


def test_other_parts_are() -> None:
    check(
        ConcatMerging(),
        before="""
        g (float[N,2] a, float[N,4] b) => (float[N,3] y, float[N,3] z) <int64[2] s = {3, 3}> {
            h = Concat <axis = 1> (a, b)
            p, q = Split <axis = 1> (h, s)
            y = Relu(p)
            z = Relu(q)
        }
        """,
    )


def test_constants_are_inputs_like_others() -> None:
    check(
        ConcatMerging(),
        before="""
        g (float[2] a) => (float[P] y) {
            c = Constant <value_floats = [1.0, 2.0]> ()
            y = Concat <axis = 0> (a, c)
        }
        """,
    )


def test_a_concat_read_twice_by_one_node_stays() -> None:
    check(
        ConcatMerging(),
        """g (float[2] x) => (float[8] y)
        { a = Concat<axis=0>(x, x) y = Concat<axis=0>(a, a) }""",
    )
