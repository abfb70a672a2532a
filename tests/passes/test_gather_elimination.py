from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.gather_elimination import GatherElimination

MASK = """
g (float16[N,L] mask) => (float16[N,1,1,L{rest}] y)
<int64 zero = {{0}}, int64 first = {{{first}}}, int64 one = {{1}}, int64[3] behind = {{1, 2, 3}},
 int64[3] ahead = {{0, 1, 2}}> {{
    s = Shape(mask)
    n = Gather(s, zero)
    l = Gather(s, one)
    batch = Range(zero, n, one)
    position = Range(first, l, {step})
    b = Unsqueeze(batch, behind)
    p = Unsqueeze(position, ahead)
    row = Mul(b, {stride})
    index = Add(p, row)
    flat = Flatten <axis = {axis}> (mask)
    y = Gather <axis = {gathered}> (flat, index)
}}
"""
WHOLE = {"first": 0, "step": "one", "stride": "l", "axis": 2, "gathered": 0, "rest": ",1"}


def test_a_mask_that_is_indexed_by_all_positions() -> None:
    check(
        GatherElimination(),
        before=MASK.format(**WHOLE),
        after="y = Unsqueeze(mask, *)",
    )


def test_all_columns_of_one_row() -> None:
    check(
        GatherElimination(),
        before=MASK.format(**WHOLE | {"axis": 0, "gathered": 1}).replace("y)", "z)", 1).replace(
            "float16[N,1,1,L,1]", "float16[1,N,1,1,L]"
        ).replace("y = Gather", "z = Gather"),
        after="z = Unsqueeze(mask, *)",
    )  # fmt: skip


@pytest.mark.parametrize(
    "other",
    [
        {"first": 1},
        {"step": "first", "first": 2},
        {"stride": "n"},
        {"stride": "one"},
    ],
    ids=str,
)
def test_not_all_or_not_in_order(other: dict[str, object]) -> None:
    check(GatherElimination(), before=MASK.format(**WHOLE | other))


def test_a_range_is_its_own_tensor() -> None:
    check(
        GatherElimination(),
        before="""
        g (float[N,L,3] x) => (float[N,L,3] y) <int64 zero = {0}, int64 one = {1}> {
            s = Shape(x)
            l = Gather(s, one)
            position = Range(zero, l, one)
            y = Gather <axis = 1> (x, position)
            z = Relu(y)
        }
        """.replace("y)", "z)", 1).replace("float[N,L,3] y", "float[N,L,3] z"),
        after="z = Relu(x)",
    )


def test_a_part_of_the_positions_stays() -> None:
    check(
        GatherElimination(),
        before="""
        g (float[N,L,3] x, float[M] w) => (float[N,M,3] y) <int64 zero = {0}, int64 one = {1}> {
            s = Shape(w)
            l = Squeeze(s)
            position = Range(zero, l, one)
            y = Gather <axis = 1> (x, position)
        }
        """,
    )


def test_a_range_that_is_repeated_does_not_count_on() -> None:
    check(
        GatherElimination(),
        before="""
        g (float[N,L] x) => (float[N,A,B] y) <int64 zero = {0}, int64 one = {1}, int64[2] two = {2, 1}> {
            s = Shape(x)
            l = Gather(s, one)
            position = Range(zero, l, one)
            twice = Expand(position, two)
            y = Gather <axis = 1> (x, twice)
        }
        """,
    )


def test_a_shape_that_no_constant_says_stays() -> None:
    check(
        GatherElimination(),
        before="""
        g (float[N,L,M] x) => (float[M,L,N] y) <int64 zero = {0}, int64 one = {1}, int64 two = {2}, int64[2] behind = {1, 2}, int64[2] around = {0, 2}, int64[2] ahead = {0, 1}, int64[1] all = {-1}> {
            s = Shape(x)
            n = Gather(s, zero)
            l = Gather(s, one)
            m = Gather(s, two)
            i = Range(zero, m, one)
            j = Range(zero, l, one)
            k = Range(zero, n, one)
            a = Unsqueeze(i, behind)
            b = Unsqueeze(j, around)
            c = Unsqueeze(k, ahead)
            ln = Mul(l, n)
            an = Mul(a, ln)
            bn = Mul(b, n)
            ab = Add(an, bn)
            index = Add(ab, c)
            flat = Reshape(x, all)
            y = Gather(flat, index)
        }
        """,
        declined="cannot be written as that of one Reshape",
    )


def test_in_a_body() -> None:
    check(
        GatherElimination(),
        before="""
        g (bool c, float[N,L] x) => (float[N,L] y) {
            y = If (c) <
                then_branch = a () => (float[N,L] p) <int64 zero = {0}, int64 one = {1}> {
                    s = Shape(x)
                    l = Gather(s, one)
                    position = Range(zero, l, one)
                    t = Gather <axis = 1> (x, position)
                    p = Relu(t)
                },
                else_branch = b () => (float[N,L] q) { q = Identity(x) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            p = Relu(x)
          else_branch:
            q = Identity(x)
        """,
    )
