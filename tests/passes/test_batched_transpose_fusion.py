from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.batched_transpose_fusion import BatchedTransposeFusion


def graph(before: str, flat: str, after: str, shape: str = "B,2,3,4") -> str:
    return f"""
    g (float[{before}] x) => (float[{shape}] y)
    <int64[3] flat = {{{flat}}}, int64[{after.count(",") + 1}] apart = {{{after}}}>
    {{
        f = Reshape(x, flat)
        t = Transpose <perm = [0, 2, 1]> (f)
        y = Reshape(t, apart)
    }}
    """


@pytest.mark.parametrize(
    ("before", "flat", "after", "shape", "perm"),
    [
        ("B,2,4,3", "-1, 4, 3", "-1, 2, 3, 4", "B,2,3,4", "0,1,3,2"),
        ("5,2,4,3", "10, 4, 3", "5, 2, 3, 4", "5,2,3,4", "0,1,3,2"),
        ("2,5,2,4,3", "20, 4, 3", "2, 5, 2, 3, 4", "2,5,2,3,4", "0,1,2,4,3"),
    ],
)
def test_the_last_two_axes_are_swapped_at_once(
    before: str, flat: str, after: str, shape: str, perm: str
) -> None:
    check(
        BatchedTransposeFusion(),
        before=graph(before, flat, after, shape),
        after=f"y = Transpose<perm=[{perm}]>(x)",
    )


@pytest.mark.parametrize(
    ("before", "flat", "after", "shape", "reason"),
    [
        ("6,2,4,3", "12, 4, 3", "4, 3, 3, 4", "4,3,3,4", "taken apart as they were"),
        ("5,2,4,3", "10, 4, 3", "10, 3, 4", "10,3,4", "taken apart as they were"),
        ("5,2,4,6", "10, 6, 4", "5, 2, 6, 4", "5,2,6,4", "stay as they were"),
    ],
)
def test_axes_that_are_made_others_stay(
    before: str, flat: str, after: str, shape: str, reason: str
) -> None:
    check(BatchedTransposeFusion(), before=graph(before, flat, after, shape), declined=reason)
