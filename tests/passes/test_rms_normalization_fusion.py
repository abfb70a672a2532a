from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.rms_normalization_fusion import RmsNormalizationFusion


def spelt(
    dtype: str = "float",
    shape: str = "N,S,8",
    axis: str = "-1",
    square: str = "Mul(x, x)",
    quotient: str = "y = Div(x, s)",
) -> str:
    return f"""
    g ({dtype}[{shape}] x) => ({dtype}[{shape}] y)
    <float eps = {{1}}, float two = {{2}}, int64[1] a = {{{axis}}}> {{
        q = {square}
        m = ReduceMean(q, a)
        e = Add(m, eps)
        s = Sqrt(e)
        {quotient}
    }}
    """.replace("float eps", f"{dtype} eps")


@pytest.mark.parametrize("square", ["Mul(x, x)", "Pow(x, two)"])
@pytest.mark.parametrize("quotient", ["y = Div(x, s)", "r = Reciprocal(s) y = Mul(r, x)"])
def test_every_spelling_is_one_operator(square: str, quotient: str) -> None:
    check(
        RmsNormalizationFusion(),
        before=spelt(square=square, quotient=quotient),
        after="y = RMSNormalization<axis=-1, epsilon=1>(x, *)",
        opset=23,
    )


@pytest.mark.parametrize(
    ("before", "opset", "reason"),
    [
        (spelt(), 22, "opset 23"),
        (spelt("double"), 23, "only float32 and float16"),
        (spelt(shape="N,S,D"), 23, "not a known number"),
        (spelt(shape="N,4,5", axis="1"), 23, "not the last"),
        (spelt(shape="N,9999"), 23, "would weigh more"),
    ],
)
def test_declines(before: str, opset: int, reason: str) -> None:
    check(RmsNormalizationFusion(), before=before, opset=opset, declined=reason)


def test_many_elements_are_normalized_where_a_scale_follows():
    before = spelt(shape="N,9999").replace("y = Div(x, s)", "n = Div(x, s) y = Mul(n, k)")
    check(
        RmsNormalizationFusion(),
        before=before.replace("<float eps", "<float[9999] k, float eps"),
        after="n = RMSNormalization<axis=-1, epsilon=1>(x, *)\ny = Mul(n, *)",
        opset=23,
    )
