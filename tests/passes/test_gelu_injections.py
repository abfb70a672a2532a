from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.bias_gelu_injection import BiasGeluInjection
from onnxforge_passes.gelu_injection import GeluInjection
from onnxforge_passes.quick_gelu_injection import QuickGeluInjection

ERF = "a = Div(x, root) b = Erf(a) c = Add(b, one) d = Mul(x, c) y = Mul(d, half)"
TANH = """
    a = Pow(x, three) b = Mul(a, small) c = Add(x, b) d = Mul(c, factor) e = Tanh(d)
    f = Add(e, one) i = Mul(x, f) y = Mul(i, half)
"""


def gelu(body: str, dtype: str = "float") -> str:
    return f"""
    g ({dtype}[B,8] x) => ({dtype}[B,8] y)
    <{dtype} root = {{1.41421356}}, {dtype} one = {{1}}, {dtype} half = {{0.5}},
     {dtype} three = {{3}}, {dtype} small = {{0.044715}}, {dtype} factor = {{0.79788456}}>
    {{ {body} }}
    """


@pytest.mark.parametrize(("body", "operator"), [(ERF, "Gelu"), (TANH, "FastGelu")])
def test_before_opset_20_it_is_onnx_runtimes_own(body: str, operator: str) -> None:
    check(GeluInjection(), before=gelu(body), after=f"y = com.microsoft.{operator}(x)", opset=17)


def test_from_opset_20_on_it_is_onnxs() -> None:
    check(GeluInjection(), before=gelu(ERF), declined="opset 20", opset=20)


def test_doubles_have_no_kernel() -> None:
    check(GeluInjection(), before=gelu(ERF, "double"), declined="float32")


def test_a_scalar_has_no_fast_kernel() -> None:
    before = gelu(TANH).replace("float[B,8]", "float")
    check(GeluInjection(), before=before, declined="scalar")


def with_bias(call: str, bias: str = "float[8] b", x: str = "float[B,8] x") -> str:
    return f"""
    <ir_version: 10, opset_import: ["": 20, "com.microsoft": 1]>
    g ({x}) => (float[B,8] y) <{bias}> {{ s = Add(b, x) y = {call} (s) }}
    """


@pytest.mark.parametrize(
    ("call", "operator"),
    [
        ("Gelu", "BiasGelu"),
        ('Gelu <approximate = "tanh">', "FastGelu"),
        ("com.microsoft.Gelu", "BiasGelu"),
        ("com.microsoft.FastGelu", "FastGelu"),
    ],
)
def test_the_bias_is_added_by_the_same_operator(call: str, operator: str) -> None:
    check(
        BiasGeluInjection(),
        before=with_bias(call),
        after=f"y = com.microsoft.{operator}(x, *)",
    )


@pytest.mark.parametrize("bias", ["float b = {1}", "float[1,8] b", "float[1] b"])
def test_a_bias_of_another_shape_stays(bias: str) -> None:
    check(BiasGeluInjection(), before=with_bias("Gelu", bias), declined="each channel")


def test_a_scalar_has_no_channels() -> None:
    before = with_bias("Gelu", bias="float b = {1}", x="float x")
    check(
        BiasGeluInjection(), before=before.replace("(float[B,8] y)", "(float y)"), declined="rank"
    )


@pytest.mark.parametrize(
    ("body", "alpha"),
    [
        ("s = Sigmoid(x) y = Mul(x, s)", "1"),
        ("a = Mul(x, k) s = Sigmoid(a) y = Mul(s, x)", "1.702"),
    ],
)
def test_a_value_times_its_sigmoid(body: str, alpha: str) -> None:
    check(
        QuickGeluInjection(),
        before=f"g (float[B,8] x) => (float[B,8] y) <float k = {{1.702}}> {{ {body} }}",
        after=f"y = com.microsoft.QuickGelu<alpha={alpha}>(x)",
    )


@pytest.mark.parametrize(
    ("dtype", "factor", "reason"),
    [("float", "float[8] k", "one number"), ("double", "double k", "float32")],
)
def test_other_factors_and_types_stay(dtype: str, factor: str, reason: str) -> None:
    check(
        QuickGeluInjection(),
        before=f"""
        g ({dtype}[B,8] x) => ({dtype}[B,8] y) <{factor}> {{
            a = Mul(x, k) s = Sigmoid(a) y = Mul(x, s)
        }}
        """,
        declined=reason,
    )
