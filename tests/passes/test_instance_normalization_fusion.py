from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.instance_normalization_fusion import InstanceNormalizationFusion


def spelt(
    dtype: str = "float", shape: str = "N,4,L", axes: str = "2", scale: str = "", end: str = "p"
) -> str:
    return f"""
    g ({dtype}[{shape}] x) => ({dtype}[{shape}] {end}) <{dtype} eps = {{1}} {scale}> {{
        m = ReduceMean <axes = [{axes}]> (x)
        d = Sub(x, m)
        q = Mul(d, d)
        v = ReduceMean <axes = [{axes}]> (q)
        e = Add(v, eps)
        s = Sqrt(e)
        p = Div(d, s)
        {"y = Mul(p, k)" if scale else ""}
    }}
    """


@pytest.mark.parametrize(("shape", "axes"), [("N,4,L", "2"), ("N,4,H,W", "3, -2")])
def test_spatial_axes_of_unknown_size(shape: str, axes: str) -> None:
    check(
        InstanceNormalizationFusion(),
        before=spelt(shape=shape, axes=axes),
        after="p = InstanceNormalization<epsilon=1>(x, *, *)",
    )


@pytest.mark.parametrize("scale", ["4,1,1", "1,4,1,1"])
@pytest.mark.parametrize("opset", [13, 17])
def test_a_scale_for_each_channel(scale: str, opset: int) -> None:
    check(
        InstanceNormalizationFusion(),
        before=spelt(shape="N,4,5,6", axes="2, 3", scale=f", float[{scale}] k", end="y"),
        after="p = InstanceNormalization<epsilon=1>(x, *, *)\ny = Mul(p, *)",
        opset=opset,
    )


@pytest.mark.parametrize(
    ("before", "opset", "reason"),
    [
        (spelt("double"), 17, "float32 alone"),
        (spelt(shape="N,C,L"), 17, "not a known number"),
        (spelt(shape="N,4,5"), 17, "LayerNormalization"),
        (spelt(shape="N,4,L"), 13, "LayerNormalization"),
        (spelt(shape="N,4,L", axes="1"), 17, "not the spatial ones"),
        (spelt(shape="N,4,H,W", axes="3"), 17, "not the spatial ones"),
        (spelt(shape="N,4", axes="1"), 17, "not the spatial ones"),
        (spelt(shape="N,4,5,6", axes="2, 3", scale=", float[6] k", end="y"), 17, "LayerNorm"),
    ],
)
def test_declines(before: str, opset: int, reason: str) -> None:
    check(InstanceNormalizationFusion(), before=before, opset=opset, declined=reason)
