from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.division_fusion import DivisionFusion


@pytest.mark.parametrize("reciprocal", ["Reciprocal(y)", "Div(one, y)"])
@pytest.mark.parametrize("order", ["x, r", "r, x"])
@pytest.mark.parametrize("dtype", ["float", "double"])
def test_a_product_with_a_reciprocal(dtype: str, order: str, reciprocal: str) -> None:
    check(
        DivisionFusion(),
        before=f"""
        g ({dtype}[N,4] x, {dtype}[N,1] y) => ({dtype}[N,4] z) <{dtype} one = {{1}}> {{
            r = {reciprocal}
            z = Mul({order})
        }}
        """,
        after="z = Div(x, y)",
    )


def test_in_a_branch() -> None:
    check(
        DivisionFusion(),
        before="""
        g (bool c, float[N] x) => (float[N] y) {
            y = If (c) <
                then_branch = t () => (float[N] v) { r = Reciprocal(x) v = Mul(r, r) },
                else_branch = e () => (float[N] w) { s = Reciprocal(x) w = Mul(x, s) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            r = Reciprocal(x)
            v = Mul(r, r)
          else_branch:
            w = Div(x, x)
        """,
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("r = Reciprocal(y) z = Mul(k, r)", "constant"),
        ("r = Reciprocal(y) s = Mul(x, r) z = Add(s, r)", None),
        ("r = Div(k, y) z = Mul(x, r)", None),
    ],
    ids=["a constant", "read elsewhere", "no reciprocal"],
)
def test_other_products(body: str, reason: str | None) -> None:
    check(
        DivisionFusion(),
        before=f"g (float[4] x, float[4] y) => (float[4] z) <float[4] k> {{ {body} }}",
        declined=reason,
    )


def test_half_precision_stays() -> None:
    check(
        DivisionFusion(),
        before="""
        g (float16[4] x, float16[4] y) => (float16[4] z) { r = Reciprocal(y) z = Mul(x, r) }
        """,
        declined="Cast",
    )


def test_the_broadcasting_of_old_opsets_stays() -> None:
    check(
        DivisionFusion(),
        before="g (float[4] x, float[4] y) => (float[4] z) { r = Reciprocal(y) z = Mul(x, r) }",
        opset=6,
        declined="opset 7",
    )
