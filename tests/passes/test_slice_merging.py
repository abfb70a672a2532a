from __future__ import annotations

import itertools

import numpy as np
import pytest

from onnxforge.testing import check
from onnxforge_passes.slice_merging import END, Cut, SliceMerging, _composed

TWO = """
g (float[{shape}] x) => (float[A,B] y)
<int64[1] s = {{{s}}}, int64[1] e = {{{e}}}, int64[1] a = {{{a}}},
 int64[1] t = {{{t}}}, int64[1] f = {{{f}}}, int64[1] b = {{{b}}}> {{
    h = Slice(x, s, e, a)
    y = Slice(h, t, f, b)
}}
"""


def test_along_different_axes() -> None:
    check(
        SliceMerging(),
        before=TWO.format(shape="N,9", s=1, e=3, a=0, t=2, f=7, b=-1),
        after="y = Slice(x, *, *, *)",
    )


def test_along_the_same_axis() -> None:
    check(
        SliceMerging(),
        before=TWO.format(shape="N,M", s=0, e=7, a=0, t=0, f=2, b=-2),
        after="y = Slice(x, *, *, *)",
    )


def test_of_known_size_from_the_end_too() -> None:
    check(
        SliceMerging(),
        before=TWO.format(shape="N,9", s=-7, e=-1, a=1, t=1, f=-2, b=1),
        after="y = Slice(x, *, *, *)",
    )


def test_from_the_end_of_what_may_be_shorter_than_the_first() -> None:
    check(
        SliceMerging(),
        before=TWO.format(shape="N,M", s=0, e=4, a=1, t=0, f=-1, b=1),
        declined="depends on its size",
    )


def test_slices_of_no_axes_stay() -> None:
    check(
        SliceMerging(),
        before="""
        g (float[N,9] x) => (float[N,9] y) <int64[0] none = {}> {
            h = Slice(x, none, none)
            y = Slice(h, none, none, none, none)
        }
        """,
    )


def test_one_that_is_read_otherwise_stays() -> None:
    check(
        SliceMerging(),
        before="""
        g (float16[N,9] x) => (float16[A,B] h, float16[C,D] y)
        <int64[1] zero = {0}, int64[1] one = {1}> {
            h = Slice(x, zero, one, zero)
            y = Slice(h, zero, one, one)
        }
        """,
    )


def test_backwards_ones_stay() -> None:
    check(
        SliceMerging(),
        before="""
        g (float[N,9] x) => (float[A,B] y)
        <int64[1] zero = {0}, int64[1] one = {1}, int64[1] minus = {-1}, int64[1] low = {-100}> {
            h = Slice(x, minus, low, one, minus)
            y = Slice(h, zero, one, zero)
        }
        """,
    )


NUMBERS = [-9, -4, -1, 0, 1, 3, 8, END]


@pytest.mark.parametrize("size", range(7))
def test_the_sum_of_two_cuts_is_right_for_every_size(size: int) -> None:
    cuts = [Cut(*pair) for pair in itertools.product(NUMBERS[:-1], NUMBERS)]
    whole = np.arange(size)
    for first, second in itertools.product(cuts, cuts):
        expected = whole[slice(*first)][slice(*second)]
        for known in (size, None):
            if (both := _composed(known, first, second)) is not None:
                np.testing.assert_array_equal(whole[slice(*both)], expected)
