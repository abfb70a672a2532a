from __future__ import annotations

from onnxforge.testing import check
from onnxforge_passes.transpose_merging import TransposeMerging


def test_two_are_one() -> None:
    check(
        TransposeMerging(),
        before="""
        g (float[2,3,4] x) => (float[3,2,4] y) {
            h = Transpose <perm = [2, 0, 1]> (x)
            y = Transpose <perm = [2, 1, 0]> (h)
        }
        """,
        after="y = Transpose<perm=[1,0,2]>(x)",
    )


def test_two_are_none_even_if_the_first_is_read_otherwise() -> None:
    check(
        TransposeMerging(),
        before="""
        g (float16[N,M] x) => (float16[M,N] h, float16[N,M] z) {
            h = Transpose(x)
            y = Transpose(h)
            z = Relu(y)
        }
        """,
        after="""
        h = Transpose<perm=[1,0]>(x)
        z = Relu(x)
        """.replace("<perm=[1,0]>", ""),
    )


def test_one_that_is_read_otherwise_stays() -> None:
    check(
        TransposeMerging(),
        before="""
        g (float[2,3,4] x) => (float[4,2,3] h, float[3,2,4] y) {
            h = Transpose <perm = [2, 0, 1]> (x)
            y = Transpose <perm = [2, 1, 0]> (h)
        }
        """,
    )


def test_all_readers_of_one_read_past_it() -> None:
    check(
        TransposeMerging(),
        before="""
        g (float[2,3,4] x) => (float[3,2,4] y, float[2,4,3] z) {
            h = Transpose <perm = [2, 0, 1]> (x)
            y = Transpose <perm = [2, 1, 0]> (h)
            z = Transpose <perm = [1, 0, 2]> (h)
        }
        """,
        after="""
        y = Transpose<perm=[1,0,2]>(x)
        z = Transpose<perm=[0,2,1]>(x)
        """,
    )


def test_a_default_order_of_unknown_rank_stays() -> None:
    check(
        TransposeMerging(),
        before="""
        g (float[2,3] x, int64[R] s) => (float[A,B] y) {
            h = Reshape(x, s)
            i = Transpose(h)
            y = Transpose <perm = [1, 0]> (i)
        }
        """,
    )
