from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.layer_normalization_fusion import LayerNormalizationFusion

SQUARES = ["Mul(d, d)", "Pow(d, two)"]
QUOTIENTS = {
    "s = Sqrt(e) y = Div(d, s)",
    "s = Pow(e, half) y = Div(d, s)",
    "s = Sqrt(e) r = Reciprocal(s) y = Mul(d, r)",
    "s = Sqrt(e) r = Div(one, s) y = Mul(r, d)",
    "r = Pow(e, neg) y = Mul(d, r)",
}


def spelt(
    *,
    dtype: str = "float",
    shape: str = "N,S,8",
    axes: str = "<axes = [-1]> (",
    axes2: str | None = None,
    square: str = "Mul(d, d)",
    quotient: str = "s = Sqrt(e) y = Div(d, s)",
    epsilon: str = "eps = {1e-5}",
    constants: str = "",
) -> str:
    return f"""
    g ({dtype}[{shape}] x) => ({dtype}[{shape}] y)
    <{dtype} two = {{2}}, {dtype} one = {{1}}, float half = {{0.5}}, float neg = {{-0.5}},
     {dtype} {epsilon} {constants}> {{
        m = ReduceMean {axes}x{", ax)" if constants else ")"}
        d = Sub(x, m)
        q = {square}
        v = ReduceMean {axes2 or axes}q{", ax)" if constants else ")"}
        e = Add(v, eps)
        {quotient}
    }}
    """


@pytest.mark.parametrize("square", SQUARES)
@pytest.mark.parametrize("quotient", sorted(QUOTIENTS))
def test_every_spelling_is_one_operator(square: str, quotient: str) -> None:
    check(
        LayerNormalizationFusion(),
        before=spelt(square=square, quotient=quotient),
        after="y = LayerNormalization<axis=-1, epsilon=1e-05>(x, *)",
    )


def test_axes_may_be_an_input_and_several() -> None:
    check(
        LayerNormalizationFusion(),
        before=spelt(shape="N,4,8", axes="(", constants=", int64[2] ax = {2, 1}"),
        after="y = LayerNormalization<axis=-2, epsilon=1e-05>(x, *)",
        opset=18,
    )


def test_half_precision() -> None:
    check(
        LayerNormalizationFusion(),
        before=spelt(dtype="float16", epsilon="eps = {15360}"),  # the bits of 1
        after="y = LayerNormalization<axis=-1, epsilon=1>(x, *)",
    )


def test_in_a_body() -> None:
    check(
        LayerNormalizationFusion(),
        before="""
        g (float[N,8] x, bool c) => (float[N,8] y) <float eps = {0.5}> {
            y = If (c) <
                then_branch = t () => (float[N,8] p) {
                    m = ReduceMean <axes = [1]> (x)
                    d = Sub(x, m)
                    q = Mul(d, d)
                    v = ReduceMean <axes = [1]> (q)
                    e = Add(v, eps)
                    s = Sqrt(e)
                    p = Div(d, s)
                },
                else_branch = e () => (float[N,8] r) { r = Neg(x) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            p = LayerNormalization<axis=-1, epsilon=0.5>(x, *)
          else_branch:
            r = Neg(x)
        """,
    )


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        (spelt(dtype="double"), "only float32 and float16"),
        (spelt(shape="N,S,D"), "not a known number"),
        (spelt(shape="2,3,8", axes="<axes = [1]> ("), "not the last"),
        (spelt(shape="2,8,8", axes2="<axes = [1]> ("), "not over the same axes"),
        (spelt(shape="2,4", axes="("), "axes of a reduction are not known"),
        (spelt(shape="2,9999"), "weigh more"),
        (spelt(epsilon="eps = {-1e-5}"), "negative"),
        (
            spelt(shape="2,8", epsilon="[1,1,1] eps = {1e-5}").replace(
                "(float[2,8] y)", "(float[A,B,C] y)"
            ),
            "not one number",
        ),
        (spelt(shape="8,8", epsilon="[8] eps"), "not one number"),
    ],
)
def test_declines(before: str, reason: str) -> None:
    check(LayerNormalizationFusion(), before=before, declined=reason)


def test_before_opset_17_there_is_no_such_operator() -> None:
    check(LayerNormalizationFusion(), before=spelt(), opset=13, declined="opset 17")


def test_means_that_lose_their_axes_are_others() -> None:
    check(LayerNormalizationFusion(), before=spelt(shape="8,8", axes="<axes=[1], keepdims=0> ("))


def test_another_power_is_no_variance() -> None:
    check(LayerNormalizationFusion(), before=spelt(square="Pow(d, one)"))


def test_what_is_read_elsewhere_stays() -> None:
    before = spelt(shape="2,8").replace("[2,8] y)", "[2,8] y, float[2,8] d)")
    check(LayerNormalizationFusion(), before=before)


def multiplied_out(shape: str, scale: str) -> str:
    return f"""
    g (float[{shape}] x) => (float[{shape}] y)
    <float eps = {{1e-3}}, float[{scale}] w, float[{scale}] b> {{
        m = ReduceMean <axes = [-1]> (x)
        d = Sub(x, m)
        q = Mul(d, d)
        v = ReduceMean <axes = [-1]> (q)
        e = Add(v, eps)
        s = Sqrt(e)
        r = Reciprocal(s)
        k = Mul(r, w)
        p = Mul(x, k)
        n = Mul(m, k)
        c = Sub(b, n)
        y = Add(p, c)
    }}
    """


def test_scale_and_bias_multiplied_out_as_tensorflow_does() -> None:
    after = "y = LayerNormalization<axis=-1, epsilon=0.001>(x, *, *)"
    check(LayerNormalizationFusion(), before=multiplied_out("N,S,8", "8"), after=after)


@pytest.mark.parametrize("scale", ["1", "4,1", "4,8"])
def test_scale_and_bias_of_another_shape_stay(scale: str) -> None:
    before = multiplied_out("N,4,8", scale)
    check(LayerNormalizationFusion(), before=before, declined="not the normalized shape")


def test_the_spelling_of_flax() -> None:
    check(
        LayerNormalizationFusion(),
        before="""
        g (float[N,4] x) => (float[N,4] y) <float[4] s, float[4] b, float eps = {0.00001}> {
            m = ReduceMean <axes = [-1]> (x)
            d = Sub(x, m)
            q = Mul(d, d)
            v = ReduceMean <axes = [-1]> (q)
            e = Add(v, eps)
            o = Sqrt(e)
            r = Reciprocal(o)
            k = Mul(r, s)
            n = Mul(d, k)
            y = Add(n, b)
        }
        """,
        after="y = LayerNormalization<axis=-1, epsilon=1e-05>(x, *, *)",
    )
