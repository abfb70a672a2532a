from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.index_merging import IndexMerging


def test_a_dimension_that_is_put_back() -> None:
    check(
        IndexMerging(),
        before="""
        g (float16[N,3,4] x) => (float16[N,1,4] y) <int64 i = {-1}, int64[1] a = {-2}> {
            h = Gather <axis = 1> (x, i)
            y = Unsqueeze(h, a)
        }
        """,
        after="y = Gather<axis=1>(x, *)",
    )


def test_elsewhere() -> None:
    check(
        IndexMerging(),
        before="""
        g (float[N,3,4] x) => (float[1,N,4] y) <int64 i = {1}, int64[1] a = {0}> {
            h = Gather <axis = 1> (x, i)
            y = Unsqueeze(h, a)
        }
        """,
        declined="another dimension",
    )


def test_one_index() -> None:
    check(
        IndexMerging(),
        before="""
        g (float[N,3,4] x) => (float[N,4] y) <int64[1] i = {1}, int64[1] a = {1}> {
            h = Gather <axis = 1> (x, i)
            y = Squeeze(h, a)
        }
        """,
        after="y = Gather<axis=1>(x, *)",
    )


SLICE = """
g (float[N,3,4] x) => (float[N,4] y) <int64[1] s = {{{s}}}, int64[1] e = {{{e}}}, int64[1] a = {{1}}> {{
    h = Slice(x, s, e, a)
    y = Squeeze(h, a)
}}
"""


@pytest.mark.parametrize(("start", "end"), [(1, 2), (-1, 2**63 - 1), (-3, -2), (0, 1)])
def test_a_slice_of_one(start: int, end: int) -> None:
    check(IndexMerging(), before=SLICE.format(s=start, e=end), after="y = Gather<axis=1>(x, *)")


def test_a_slice_up_to_the_end_may_be_longer() -> None:
    check(IndexMerging(), before=SLICE.format(s=2, e=2**63 - 1), declined="more than one element")


def test_sizes_are_no_exception() -> None:
    check(
        IndexMerging(),
        before="""
        g (float[N,3,4] x) => (int64[1] y) <int64 i = {0}, int64[1] a = {0}> {
            s = Shape(x)
            h = Gather(s, i)
            y = Unsqueeze(h, a)
        }
        """,
        after="""
        s = Shape(x)
        y = Gather<axis=0>(s, *)
        """,
    )
