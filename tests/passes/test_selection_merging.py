from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.selection_merging import SelectionMerging

CONSTANTS = """<int64 one = {1}, int64 last = {-1}, int64[3] some = {3,1,5}, int64[2] two = {2,0},
 int64[1] s = {2}, int64[1] e = {8}, int64[1] rest = {9223372036854775807}, int64[1] a = {0},
 int64[1] step = {2}, int64[1] z = {0}, int64[1] neg = {-3}, int64[2,2] grid = {0,1,1,0}>"""


def graph(shape: str, out: str, body: str, dtype: str = "float") -> str:
    return f"g ({dtype}[{shape}] x) => ({dtype}[{out}] y) {CONSTANTS} {{ {body} }}"


@pytest.mark.parametrize("dtype", ["float", "float16"])
@pytest.mark.parametrize(
    ("shape", "out", "body"),
    [
        ("8,N", "2,N", "p = Gather(x, some) y = Gather(p, two)"),
        ("M,N", "N", "p = Gather(x, some) y = Gather(p, last)"),
        ("M,N", "2,2,N", "p = Gather(x, some) y = Gather(p, grid)"),
        ("M,N", "1,N", "p = Gather(x, some) y = Slice(p, s, e, a)"),
        ("8,N", "N", "p = Slice(x, s, e, a) y = Gather(p, one)"),
        ("8,N", "N", "p = Slice(x, neg, rest, a) y = Gather(p, last)"),
        ("M,N", "N", "p = Slice(x, s, rest, a) y = Gather(p, one)"),
        ("M,N", "N", "p = Slice(x, s, e, a, step) y = Gather(p, one)"),
    ],
)
def test_what_is_taken_of_what_was_taken(shape: str, out: str, body: str, dtype: str) -> None:
    check(
        SelectionMerging(),
        before=graph(shape, out, body, dtype),
        after="y = Gather<axis=0>(x, *)",
    )


@pytest.mark.parametrize(
    ("shape", "out", "body"),
    [
        ("M,N", "N", "p = Slice(x, s, rest, a) y = Gather(p, last)"),  # of an unknown size
        ("M,N", "N", "p = Slice(x, neg, rest, a) y = Gather(p, one)"),
        ("8,9", "3", "p = Gather(x, some) y = Gather<axis = 1>(p, one)"),  # another axis
        ("8,9", "2,9", "p = Gather(x, grid) y = Gather(p, one)"),
        ("8,9", "9", "p = Gather(x, some) q = Gather(p, one) r = Gather(p, last) y = Add(q, r)"),
    ],
)
def test_what_does_not_compose(shape: str, out: str, body: str) -> None:
    check(SelectionMerging(), before=graph(shape, out, body))


TWO = """
g (float[N,3] x, float[N,{second}] u, float[N,M] v) => (float[?,?] y)
<int64[1] a = {{1}}, int64[1] s = {{{start}}}, int64[1] e = {{{end}}}, int64[2] i = {{{i}}}> {{
    c = Concat<axis = {axis}>(x, u{third})
    y0 = {take}
    y = Neg(y0)
}}
"""


def two(
    take: str, start: int = 0, end: int = 3, i: str = "0,1", second: str = "4", third: str = ""
) -> str:
    return TWO.format(take=take, start=start, end=end, i=i, second=second, third=third, axis=-1)


def test_the_operand_of_a_concat() -> None:
    take = "Slice(c, s, e, a)"
    check(SelectionMerging(), before=two(take), after="y = Neg(x)")
    check(SelectionMerging(), before=two(take, 3, 7), after="y = Neg(u)")
    check(SelectionMerging(), before=two(take, -4, 2**63 - 1), after="y = Neg(u)")
    part = """
    y0 = Slice(u, *, *, *)
    y = Neg(y0)
    """
    check(SelectionMerging(), before=two(take, 4, 6), after=part)
    check(SelectionMerging(), before=two(take, 4, 6, third=", v"), after=part)
    taken = """
    y0 = Gather<axis=1>({0}, *)
    y = Neg(y0)
    """
    take = "Gather<axis = 1>(c, i)"
    check(SelectionMerging(), before=two(take), after=taken.format("x"))
    check(SelectionMerging(), before=two(take, i="-1,3"), after=taken.format("u"))


@pytest.mark.parametrize(
    "text",
    [
        two("Slice(c, s, e, a)", 1, 5),  # of both
        two("Slice(c, s, e, a)", -2, 2**63 - 1, third=", v"),  # from an end that is unknown
        two("Slice(c, s, e, a)", 4, 6, second="M"),
        two("Gather<axis = 1>(c, i)", i="0,3"),
        two("Gather<axis = 0>(c, i)", i="0,0"),
    ],
)
def test_what_is_in_several_operands_or_none_that_is_known(text: str) -> None:
    check(SelectionMerging(), before=text)


SIDES = """
g (float[N,M] x) => (float[?,?] y) <int64[1] a = {{1}}, int64[1] s = {{1}}, int64[1] m = {{2}},
 int64[1] n = {{{third}}}, int64[1] e = {{9223372036854775807}}> {{
    p = Slice(x, s, m, a)
    q = Slice(x, n, e, a)
    y0 = Concat<axis = 1>({operands})
    y = Neg(y0)
}}
"""


def test_slices_side_by_side() -> None:
    check(
        SelectionMerging(),
        before=SIDES.format(third=2, operands="p, q"),
        after="""
        y0 = Slice(x, *, *, *)
        y = Neg(y0)
        """,
    )
    check(
        SelectionMerging(),
        before=SIDES.format(third=2, operands="x, p, q"),
        after="""
        t1 = Slice(x, *, *, *)
        y0 = Concat<axis=1>(x, t1)
        y = Neg(y0)
        """,
    )


@pytest.mark.parametrize(("third", "operands"), [(2, "q, p"), (3, "p, q"), (2, "p, q, p")])
def test_slices_that_do_not_adjoin(third: int, operands: str) -> None:
    check(SelectionMerging(), before=SIDES.format(third=third, operands=operands))


MANY = "int64[20] many = {0,1,2,3,4,5,6,0,1,2,3,4,5,6,0,1,2,3,4,5}"


@pytest.mark.parametrize("other", ["Gather(x, many)", "Neg(x)"])
def test_many_indices_are_not_held_twice(other: str) -> None:
    check(
        SelectionMerging(),
        before=f"""
        g (float[12,4] x) => (float[20,4] y, float[?,4] z)
        <{MANY}, int64[1] s = {{2}}, int64[1] e = {{10}}> {{
            p = Slice(x, s, e)
            y = Gather(p, many)
            z = {other}
        }}
        """,
        after=None if "many" in other else f"y = Gather<axis=0>(x, *)\nz = {other}",
    )


def test_many_indices_of_the_first_operand_are_read_as_they_are() -> None:
    check(
        SelectionMerging(),
        before=f"""
        g (float[8,4] x, float[2,4] u) => (float[20,4] y, float[20,4] z) <{MANY}> {{
            c = Concat<axis = 0>(x, u)
            y = Gather(c, many)
            z = Gather(x, many)
        }}
        """,
        after="""
        y = Gather(x, *)
        z = Gather(x, *)
        """,
    )
