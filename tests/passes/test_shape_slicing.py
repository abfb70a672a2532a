from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.shape_slicing import ShapeSlicing

SIZES = """
g (float16[N,3,M,L] x) => (int64[A] y, int64{rank} z)
<int64[1] two = {{2}}, int64 last = {{-1}}, int64[1] four = {{4}}, int64[1] three = {{3}}, int64[2] both = {{2, 3}}> {{
    s = Shape(x)
    y = {first}
    z = {second}
}}
"""


@pytest.mark.parametrize(
    ("first", "second", "after"),
    [
        (
            "Gather(s, two)",
            "Slice(s, three, four)",
            """
            y = Shape<end=3, start=2>(x)
            z = Shape<end=4, start=3>(x)
            """,
        ),
        (
            "Gather(s, both)",
            "Gather(s, two)",
            """
            y = Shape<end=4, start=2>(x)
            z = Shape<end=3, start=2>(x)
            """,
        ),
    ],
)
def test_sizes_that_are_picked_are_asked_for(first: str, second: str, after: str) -> None:
    text = SIZES.format(rank="[B]", first=first, second=second)
    check(ShapeSlicing(), before=text, after=after)


def test_a_size_that_is_wanted_as_a_number_as_well() -> None:
    check(
        ShapeSlicing(),
        before=SIZES.format(rank="", first="Gather(s, three)", second="Gather(s, last)"),
        after="""
        y = Shape<end=4, start=3>(x)
        z = Squeeze(y, *)
        """,
    )


def test_a_shape_that_starts_late_is_counted_from_there() -> None:
    check(
        ShapeSlicing(),
        before="""
        g (float[N,3,M,L] x) => (int64[1] y) <int64[1] one = {1}>
        { s = Shape <start = -3> (x) y = Gather(s, one) }
        """,
        after="y = Shape<end=3, start=2>(x)",
    )


@pytest.mark.parametrize(
    ("rank", "first", "second"),
    [
        ("", "Gather(s, two)", "Gather(s, last)"),  # as many as before
        ("[B]", "Abs(s)", "Gather(s, two)"),
        ("[B]", "Gather(s, order)", "Gather(s, two)"),
        ("[B]", "Slice(s, zero, four, zero, two)", "Gather(s, two)"),
        ("[B]", "Slice(s, two, two)", "Gather(s, two)"),
    ],
)
def test_what_is_not_sliced_or_gains_nothing_stays(rank: str, first: str, second: str) -> None:
    text = SIZES.format(rank=rank, first=first, second=second)
    constants = "int64[1] zero = {0}, int64[2] order = {3, 2}, int64 last"
    check(ShapeSlicing(), before=text.replace("int64 last", constants))


def test_before_opset_15_all_sizes_are_told() -> None:
    text = SIZES.format(rank="[B]", first="Gather(s, two)", second="Gather(s, both)")
    check(ShapeSlicing(), before=text, opset=14)


def test_a_body_that_reads_the_shape_keeps_it() -> None:
    check(
        ShapeSlicing(),
        before="""
        g (bool c, float[N,M] x) => (int64[A] y) <int64[1] zero = {0}> {
            s = Shape(x)
            y = If (c) <
                then_branch = a () => (int64[A] p) { p = Gather(s, zero) },
                else_branch = b () => (int64[A] q) { q = Abs(s) }
            >
        }
        """,
    )
