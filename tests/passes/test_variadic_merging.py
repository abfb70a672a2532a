from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.variadic_merging import VariadicMerging


def graph(body: str, out: str = "", dtype: str = "float") -> str:
    return f"""
    g ({dtype}[N,4] x, {dtype}[N,4] u, {dtype}[4] v) => ({dtype}[N,4] y{out})
    <{dtype} a, {dtype} b, {dtype}[4] c, {dtype}[4] d> {{ {body} }}
    """


@pytest.mark.parametrize("dtype", ["float", "float16", "int32"])
@pytest.mark.parametrize("kind", ["Max", "Min"])
def test_in_steps(kind: str, dtype: str) -> None:
    body = f"p = {kind}(x, v) y = {kind}(u, p)"
    check(VariadicMerging(), before=graph(body, dtype=dtype), after=f"y = {kind}(u, x, v)")


@pytest.mark.parametrize("kind", ["Max", "Min"])
def test_constants_of_one_shape_are_one(kind: str) -> None:
    body = f"p = {kind}(x, a) q = {kind}(p, c) r = {kind}(b, q) y = {kind}(r, d)"
    check(VariadicMerging(), before=graph(body), after=f"y = {kind}(x, *, *)")
    body = f"p = {kind}(x, c) y = {kind}(d, p)"
    check(VariadicMerging(), before=graph(body), after=f"y = {kind}(x, *)")


def test_twice_is_once() -> None:
    check(VariadicMerging(), before=graph("y = Max(x, u, x)"), after="y = Max(x, u)")


def test_sums_in_their_order() -> None:
    check(VariadicMerging(), before=graph("p = Sum(x, u) y = Sum(p, v)"), after="y = Sum(x, u, v)")
    check(VariadicMerging(), before=graph("p = Sum(x, u) y = Sum(v, p)"))
    check(
        VariadicMerging(),
        before=graph("p = Sum(x, u, x) y = Sum(p, a, b)"),
        after="y = Sum(x, u, x, *, *)",
    )


@pytest.mark.parametrize(
    ("body", "out"),
    [
        ("p = Max(x, u) y = Min(p, v)", ""),
        ("p = Max(x, u) q = Neg(p) r = Max(p, v) y = Add(q, r)", ""),
        ("p = Max(x, u) y = Max(p, v)", ", float[N,4] p"),
    ],
)
def test_what_is_another_or_read_elsewhere_stays(body: str, out: str) -> None:
    check(VariadicMerging(), before=graph(body, out))


def test_in_a_body() -> None:
    check(
        VariadicMerging(),
        before="""
        g (float[N] x, bool c) => (float[N] y) {
            y = If (c) <
                then_branch = t () => (float[N] p) { a = Neg(x) b = Max(x, a) d = Exp(x) p = Max(b, d) },
                else_branch = e () => (float[N] q) { q = Neg(x) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            a = Neg(x)
            d = Exp(x)
            p = Max(x, a, d)
          else_branch:
            q = Neg(x)
        """,
    )


@pytest.mark.parametrize(("others", "left"), [("Mul(c, d)", "x, c, d"), ("Neg(c)", "x, *")])
def test_constants_are_one_unless_all_are_read_elsewhere(others: str, left: str) -> None:
    check(
        VariadicMerging(),
        before=f"""
        g (float[N,99] x) => (float[N,99] y, float[99] z) <float[99] c, float[99] d> {{
            p = Max(x, c)
            y = Max(p, d)
            z = {others}
        }}
        """,
        after=f"""
        y = Max({", ".join("*" if name in "cd" else name for name in left.split(", "))})
        z = {others.replace("c", "*").replace("d", "*")}
        """,
    )
