from __future__ import annotations

import pytest

from onnxforge import Model, PassManager
from onnxforge.testing import check, model
from onnxforge_passes.skip_layer_normalization_injection import SkipLayerNormalizationInjection
from onnxforge_passes.skip_simplified_layer_normalization_injection import (
    SkipSimplifiedLayerNormalizationInjection,
)

SPELLED = """
    m = ReduceMean <axes = [-1]> (t) d = Sub(t, m) s = Pow(d, two) v = ReduceMean <axes = [-1]> (s)
    e = Add(v, eps) r = Sqrt(e) n = Div(d, r) k = Mul(n, scale) y = Add(k, shift)
"""
RMS = """
    s = Mul(t, t) v = ReduceMean <axes = [-1]> (s)
    e = Add(v, eps) r = Sqrt(e) n = Div(t, r) y = Mul(n, scale)
"""


def graph(body: str, *, x: str = "B,S,8", skip: str = "B,S,8", dtype: str = "float") -> str:
    return f"""
    g ({dtype}[{x}] x, {dtype}[{skip}] z) => ({dtype}[{x}] y)
    <{dtype}[8] scale, {dtype}[8] shift, {dtype}[8] bias, {dtype} eps = {{0.00001}},
     {dtype} two = {{2}}>
    {{ {body} }}
    """


OPERATOR = "com.microsoft.SkipLayerNormalization<epsilon=1e-05>"


@pytest.mark.parametrize(
    ("body", "opset", "bias", "added"),
    [
        ("t = Add(x, z) y = LayerNormalization(t, scale, shift)", 17, "*", "x, z"),
        ("t = Add(z, x) y = LayerNormalization(t, scale)", 17, "", "z, x"),
        ("b = Add(x, bias) t = Add(b, z) y = LayerNormalization(t, scale, shift)", 17, "*, *", "x, z"),
        (f"t = Add(x, z) {SPELLED}", 14, "*", "x, z"),
    ],
)  # fmt: skip
def test_a_residual_is_added_on_the_way(body: str, opset: int, bias: str, added: str) -> None:
    parameters = ", ".join(filter(None, ("*", bias)))
    check(
        SkipLayerNormalizationInjection(),
        before=graph(body),
        after=f"y, t1, t2, t = {OPERATOR}({added}, {parameters})",
        opset=opset,
    )


def test_the_sum_may_be_read_elsewhere() -> None:
    body = "t = Add(x, z) y = LayerNormalization(t, scale, shift)"
    check(
        SkipLayerNormalizationInjection(),
        before=graph(body).replace("] y)", "] y, float[B,S,8] t)"),
        after=f"y, t1, t2, t = {OPERATOR}(x, z, *, *)",
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (graph("t = Add(x, z) y = LayerNormalization(t, scale)", skip="1,S,8"), "one shape"),
        (graph("t = Add(x, z) y = LayerNormalization(t, scale)", skip="S,8"), "one shape"),
        (graph("t = Add(x, z) y = LayerNormalization(t, scale)", dtype="double"), "float32"),
        (
            graph(
                "t = Add(x, z) y = LayerNormalization <axis = 1> (t, scale)",
                x="B,3,8",
                skip="B,3,8",
            ),
            "last axis",
        ),
        (
            graph(f"t = Add(x, z) {SPELLED}", x="B,0", skip="B,0").replace("float[8]", "float[0]"),
            "without elements",
        ),
    ],
)
def test_what_the_kernel_is_not_for_stays(text: str, reason: str) -> None:
    check(SkipLayerNormalizationInjection(), before=text, declined=reason)


@pytest.mark.parametrize(
    ("body", "opset"),
    [
        (f"t = Add(x, z) {RMS}", 17),
        ("t = Add(x, z) y = RMSNormalization(t, scale)", 23),
    ],
)
def test_so_is_one_before_a_root_mean_square(body: str, opset: int) -> None:
    check(
        SkipSimplifiedLayerNormalizationInjection(),
        before=graph(body),
        after=f"y, t1, t2, t = {OPERATOR.replace('Skip', 'SkipSimplified')}(x, z, *)",
        opset=opset,
    )


def test_a_scalar_that_is_normalized_is_left_to_fail() -> None:
    text = """
    g (float x, float z) => (float y) <float scale> {
        t = Add(x, z)
        y = LayerNormalization <axis = 0> (t, scale)
    }
    """
    passes = [SkipLayerNormalizationInjection()]
    assert not PassManager(passes).run(Model(model(text)).copy()).changes
