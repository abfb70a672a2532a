from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.slices_to_split import SlicesToSplit

HALVES = """
g ({dtype}[{shape}] x) => ({dtype}[A,B] y, {dtype}[C,D] z)
<int64[1] s = {{{s}}}, int64[1] e = {{{e}}}, int64[1] t = {{{t}}}, int64[1] f = {{{f}}},
 int64[1] a = {{{a}}}> {{
    y = Slice(x, s, e, a)
    z = Slice(x, t, f, a)
}}
"""
END = 2**63 - 1


@pytest.mark.parametrize("dtype", ["float", "float16", "bool"])
def test_halves(dtype: str) -> None:
    check(
        SlicesToSplit(),
        before=HALVES.format(dtype=dtype, shape="N,6", s=0, e=3, t=3, f=END, a=-1),
        after="y, z = Split<axis=1>(x, *)",
    )


def test_in_any_order_and_of_any_size() -> None:
    check(
        SlicesToSplit(),
        before=HALVES.format(dtype="float", shape="N,6", s=-2, e=END, t=0, f=4, a=1),
        after="z, y = Split<axis=1>(x, *)",
    )


def test_sizes_as_an_attribute() -> None:
    check(
        SlicesToSplit(),
        before=HALVES.format(dtype="float", shape="6,N", s=0, e=3, t=3, f=6, a=0),
        after="y, z = Split<axis=0, split=[3,3]>(x)",
        opset=11,
    )


@pytest.mark.parametrize(
    ("shape", "cut"),
    [("N,6", (0, 3, 2, 6)), ("N,6", (0, 2, 3, 6)), ("N,6", (0, 3, 3, 5)), ("N,M", (0, 3, 3, 6))],
    ids=["overlap", "gap", "rest", "unknown size"],
)
def test_what_is_not_cut_into_pieces(shape: str, cut: tuple[int, int, int, int]) -> None:
    s, e, t, f = cut
    check(
        SlicesToSplit(),
        before=HALVES.format(dtype="float", shape=shape, s=s, e=e, t=t, f=f, a=1),
        unchecked="",
    )


def test_halves_of_a_half() -> None:
    check(
        SlicesToSplit(),
        before="""
        g (float[N,8] x) => (float[N,2] w, float[N,2] y, float[N,4] z)
        <int64[1] zero = {0}, int64[1] two = {2}, int64[1] four = {4}, int64[1] eight = {8},
         int64[1] a = {1}> {
            half = Slice(x, zero, four, a)
            z = Slice(x, four, eight, a)
            w = Slice(half, zero, two, a)
            y = Slice(half, two, four, a)
        }
        """,
        after="half, z = Split<axis=1>(x, *)\nw, y = Split<axis=1>(half, *)",
    )
