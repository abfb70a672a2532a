from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.negation_fusion import NegationFusion


@pytest.mark.parametrize("dtype", ["float", "float16", "int64"])
@pytest.mark.parametrize(
    ("sum", "after"),
    [("Add(x, n)", "Sub(x, z)"), ("Add(n, x)", "Sub(x, z)"), ("Sub(x, n)", "Add(x, z)")],
)
def test_sums_with_opposites(sum: str, after: str, dtype: str) -> None:
    check(
        NegationFusion(),
        before=f"g ({dtype}[N,4] x, {dtype}[4] z) => ({dtype}[N,4] y) {{ n = Neg(z) y = {sum} }}",
        after=f"y = {after}",
    )


def test_choices_by_opposites() -> None:
    check(
        NegationFusion(),
        before="""
        g (bool[N,1] c, float[N,4] x, float[4] z) => (float[N,4] y) {
            n = Not(c)
            y = Where(n, x, z)
        }
        """,
        after="y = Where(c, z, x)",
    )


def test_in_a_branch() -> None:
    check(
        NegationFusion(),
        before="""
        g (bool c, float[N] x) => (float[N] y) {
            y = If (c) <
                then_branch = t () => (float[N] v) { n = Neg(x) v = Add(n, x) },
                else_branch = e () => (float[N] w) { m = Neg(x) w = Add(m, m) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            v = Sub(x, x)
          else_branch:
            m = Neg(x)
            w = Add(m, m)
        """,
    )


@pytest.mark.parametrize("body", ["y = Sub(n, x)", "a = Add(x, n) y = Mul(a, n)"])
def test_what_needs_the_opposite(body: str) -> None:
    check(
        NegationFusion(),
        before=f"g (float[4] x, float[4] z) => (float[4] y) {{ n = Neg(z) {body} }}",
    )


def test_the_broadcasting_of_old_opsets_stays() -> None:
    check(
        NegationFusion(),
        before="g (float[4] x, float[4] z) => (float[4] y) { n = Neg(z) y = Add(x, n) }",
        opset=6,
        declined="opset 7",
    )
