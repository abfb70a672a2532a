from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.pad_merging import PadMerging

TWICE = """
g ({dtype}[N,3] x) => ({dtype}[N,?] y) <int64[4] p = {{{p}}}, int64[4] q = {{{q}}}, {dtype} a, {dtype} b> {{
    h = Pad<mode = "{mode}">(x, p{first})
    y = Pad<mode = "{mode}">(h, q{second})
}}
"""


def twice(
    p: str = "0,1,0,0",
    q: str = "0,0,0,2",
    mode: str = "constant",
    first: str = "",
    second: str = "",
    dtype: str = "float",
) -> str:
    return TWICE.format(p=p, q=q, mode=mode, first=first, second=second, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float", "float16"])
def test_padded_twice(dtype: str) -> None:
    check(PadMerging(), before=twice(dtype=dtype), after="y = Pad<mode=constant>(x, *)")
    same = twice(first=", a", second=", a", dtype=dtype)
    check(PadMerging(), before=same, after="y = Pad<mode=constant>(x, *, *)")


def test_padded_twice_with_the_edge() -> None:
    check(PadMerging(), before=twice(mode="edge"), after="y = Pad<mode=edge>(x, *)")


def test_cropped_twice() -> None:
    text = twice(p="0,-1,0,0", q="0,0,0,-1")
    check(PadMerging(), before=text, after="y = Pad<mode=constant>(x, *)")


@pytest.mark.parametrize(
    "text",
    [
        twice(first=", a", second=", b"),
        twice(first=", a"),
        twice(q="0,-1,0,0"),  # takes away what is not added
        twice(mode="reflect"),
    ],
)
def test_padded_otherwise(text: str) -> None:
    check(PadMerging(), before=text)


def test_pads_as_an_attribute() -> None:
    check(
        PadMerging(),
        opset=10,
        before="""
        g (float[N,3] x) => (float[N,6] y) {
            h = Pad<pads = [0,1,0,0], value = 2.0>(x)
            y = Pad<pads = [0,0,0,2], value = 2.0>(h)
        }
        """,
        after="y = Pad<pads=[0,1,0,2], value=2>(x)",
    )


CUT = """
g (float[N,{size}] x) => (float[N,?] y) <int64[4] p = {{0,1,0,2}}, int64[1] s = {{{start}}},
 int64[1] e = {{{end}}}, int64[1] a = {{1}}> {{
    h = Pad(x, p)
    c = Slice(h, s, e, a)
    y = Relu(c)
}}
"""


@pytest.mark.parametrize(("size", "start", "end"), [("M", 1, -2), ("5", 1, 6), ("5", -7, -2)])
def test_what_is_added_and_cut_off(size: str, start: int, end: int) -> None:
    check(PadMerging(), before=CUT.format(size=size, start=start, end=end), after="y = Relu(x)")


@pytest.mark.parametrize(("size", "start", "end"), [("M", 1, -1), ("M", 0, -2), ("M", 1, 6)])
def test_what_is_not_all_cut_off(size: str, start: int, end: int) -> None:
    check(PadMerging(), before=CUT.format(size=size, start=start, end=end))
