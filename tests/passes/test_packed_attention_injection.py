from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.attention_bias_injection import AttentionBiasInjection
from onnxforge_passes.packed_attention_injection import PackedAttentionInjection

MHA = "com.microsoft.MultiHeadAttention <num_heads = 2, scale = 0.5>"


def packed(
    bias: str = "xb = Add(xw, b)", mask: str = "", sizes: str = "8, 8, 8", width: int = 8
) -> str:
    inputs = ", float[B,1,S,S] m" if mask else ""
    return f"""
    <ir_version: 10, opset_import: ["": 17, "com.microsoft": 1]>
    g (float[B,S,5] x{inputs}) => (float[B,S,{width}] y)
    <float[5,24] W, float[24] b, float c = {{2}}, int64[3] sizes = {{{sizes}}}>
    {{
        xw = MatMul(x, W)
        {bias}
        q, k, v = Split <axis = 2> (xb, sizes)
        y = {MHA} (q, k, v{mask})
    }}
    """


@pytest.mark.parametrize(("mask", "written"), [("", ""), (",,, m", ", _, _, m")])
def test_the_product_is_the_operators_too(mask: str, written: str) -> None:
    check(
        PackedAttentionInjection(),
        before=packed(mask=mask),
        after=f"y = com.microsoft.Attention<num_heads=2, scale=0.5>(x, *, *{written})",
    )


def test_without_a_bias_it_is_of_zeros() -> None:
    text = packed("").replace("xw", "xb")
    check(
        PackedAttentionInjection(),
        before=text,
        after="y = com.microsoft.Attention<num_heads=2, scale=0.5>(x, *, *)",
    )


def test_a_bias_of_the_attention_is_that_of_the_product() -> None:
    check(
        PackedAttentionInjection(),
        before=packed("", ", b").replace("xw", "xb").replace(", float[B,1,S,S] m", ""),
        after="y = com.microsoft.Attention<num_heads=2, scale=0.5>(x, *, *)",
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (packed("xb = Add(xw, c)"), "each channel"),
        (packed(sizes="6, 6, 12", width=12), "width"),
    ],
)
def test_parts_that_do_not_fit_stay(text: str, reason: str) -> None:
    check(PackedAttentionInjection(), before=text, declined=reason)


def separate(adds: str, names: str, bias: str = "float[8] a, float[8] b, float[6] c") -> str:
    return f"""
    <ir_version: 10, opset_import: ["": 17, "com.microsoft": 1]>
    g (float[B,S,8] q, float[B,L,8] k, float[B,L,6] v) => (float[B,S,6] y) <{bias}>
    {{ {adds} y = {MHA} ({names}) }}
    """


@pytest.mark.parametrize(
    ("adds", "names"),
    [
        ("qa = Add(q, a) kb = Add(b, k) vc = Add(v, c)", "qa, kb, vc"),
        ("qa = Add(q, a) vc = Add(v, c)", "qa, k, vc"),
        ("vc = Add(v, c)", "q, k, vc"),
    ],
)
def test_biases_are_one(adds: str, names: str) -> None:
    check(
        AttentionBiasInjection(),
        before=separate(adds, names),
        after="y = com.microsoft.MultiHeadAttention<num_heads=2, scale=0.5>(q, k, v, *)",
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (separate("qa = Add(q, a)", "qa, k, v", "float a"), "each channel"),
        (separate("", "q, k, v"), "no biases"),
    ],
)
def test_what_is_no_bias_stays(text: str, reason: str) -> None:
    check(AttentionBiasInjection(), before=text, declined=reason)


def test_heads_that_are_apart_have_no_bias() -> None:
    text = f"""
    <ir_version: 10, opset_import: ["": 17, "com.microsoft": 1]>
    g (float[B,S,8] q, float[B,2,L,4] k, float[B,2,L,4] v) => (float[B,S,8] y) <float[8] a>
    {{ qa = Add(q, a) y = {MHA} (qa, k, v) }}
    """
    check(AttentionBiasInjection(), before=text, declined="side by side")
