from __future__ import annotations

from onnxforge.testing import check
from onnxforge_passes.cast_like_lowering import CastLikeLowering


def test_a_cast_like_is_a_cast() -> None:
    check(
        CastLikeLowering(),
        before="g (float[N] x, float16[M] l) => (float16[N] y) { a = CastLike(x, l)  y = Neg(a) }",
        after="""
        a = Cast<to=10>(x)
        y = Neg(a)
        """,
    )


def test_a_cast_like_to_the_type_there_is_goes() -> None:
    check(
        CastLikeLowering(),
        before="g (float16[N] x, float16[M] l) => (float16[N] y) { a = CastLike(x, l)  y = Neg(a) }",
        after="y = Neg(x)",
    )


def test_saturation_stays_what_it_was() -> None:
    check(
        CastLikeLowering(),
        before="g (float[N] x) => (float[N] y) <float l = {1}> "
        "{ e = Cast<to = 17>(l)  a = CastLike<saturate = 0>(x, e)  y = Cast<to = 1>(a) }",
        after="""
        a = Cast<saturate=0, to=17>(x)
        y = Cast<to=1>(a)
        """,
        opset=19,
    )


def test_an_unknown_type_declines() -> None:
    check(
        CastLikeLowering(),
        before="""
        <ir_version: 10, opset_import: ["" : 17, "my" : 1]>
        g (float[N] x, int64[M] l, double[M] d) => (int64[N] y, double[N] z) {
            y = my.Like(x, l)
            z = my.Like(x, d)
        }
        <domain: "my", opset_import: ["" : 17]>
        Like (x, l) => (y) { y = CastLike(x, l) }
        """,
        declined="unknown",
    )


def test_it_works_in_a_body() -> None:
    check(
        CastLikeLowering(),
        before="""
        g (float[N] x, int64[M] l, bool c) => (int64[N] y) {
            y = If (c) <
                then_branch = t () => (int64[N] p) { p = CastLike(x, l) },
                else_branch = e () => (int64[N] q) { r = CastLike(x, l)  q = Neg(r) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            p = Cast<to=7>(x)
          else_branch:
            r = Cast<to=7>(x)
            q = Neg(r)
        """,
    )
