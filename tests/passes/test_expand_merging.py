from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.expand_merging import ExpandMerging

TWICE = """
g ({dtype}[{shape}] x, int64[2] v) => ({dtype}[{out}] y) <int64[2] k = {{{k}}}, int64[{n}] j = {{{j}}}> {{
    p = {first}(x, k)
    y = {second}(p, {sizes})
}}
"""


def twice(
    first: str,
    second: str,
    shape: str,
    out: str,
    k: str,
    j: str,
    dtype: str = "float",
    sizes: str = "j",
) -> str:
    n = len(j.split(","))
    return TWICE.format(
        first=first, second=second, shape=shape, out=out, k=k, j=j, n=n, dtype=dtype, sizes=sizes
    )


@pytest.mark.parametrize("dtype", ["float", "float16"])
def test_expanded_twice(dtype: str) -> None:
    check(
        ExpandMerging(),
        before=twice("Expand", "Expand", "1,8", "3,4,8", "4,1", "3,1,8", dtype),
        after="y = Expand(x, *)",
    )
    check(
        ExpandMerging(),
        before=twice("Expand", "Expand", "1", "4,8", "1,8", "4,1", dtype),
        after="y = Expand(x, *)",
    )


def test_tiled_twice() -> None:
    check(
        ExpandMerging(),
        before=twice("Tile", "Tile", "N,3", "?,12", "1,2", "3,2"),
        after="y = Tile(x, *)",
    )


@pytest.mark.parametrize(
    ("first", "second", "sizes"),
    [("Expand", "Tile", "j"), ("Tile", "Expand", "j"), ("Expand", "Expand", "v")],
)
def test_what_is_of_two_kinds_or_unknown_stays(first: str, second: str, sizes: str) -> None:
    text = twice(first, second, "1,8", "?,?", "1,1", "4,1", sizes=sizes)
    if sizes == "v":
        text = text.replace("y = ", "o = Abs(v) z = Max(o, k) y = ").replace("(p, v)", "(p, z)")
    check(ExpandMerging(), before=text)


def test_what_others_read_too_stays() -> None:
    text = twice("Expand", "Expand", "1,8", "4,8", "1,8", "4,1").replace("y = ", "u = Neg(p) w = ")
    check(ExpandMerging(), before=text.replace("\n}", " y = Add(u, w)\n}"))
