from __future__ import annotations

import pytest

from onnxforge import Model, PassManager
from onnxforge.testing import check, model
from onnxforge_passes.normalization_affine_fusion import NormalizationAffineFusion

LAYER = "n = LayerNormalization <axis = -1> (x, s, b)"


@pytest.mark.parametrize("norm", [LAYER, LAYER.replace(", b", "")])
@pytest.mark.parametrize("shape", ["8", "1,8", "1,1,8"])
def test_scale_and_shift_go_into_the_parameters(norm: str, shape: str) -> None:
    check(
        NormalizationAffineFusion(),
        before=f"""
        g (float[N,S,8] x) => (float[N,S,8] y)
        <float[8] s, float[8] b, float[{shape}] k, float[{shape}] c> {{
            {norm}
            m = Mul(k, n)
            y = Add(m, c)
        }}
        """,
        after="y = LayerNormalization<axis=-1>(x, *, *)",
    )


def test_the_channels_of_an_instance_normalization() -> None:
    check(
        NormalizationAffineFusion(),
        before="""
        g (float[N,4,L] x) => (float[N,4,L] y)
        <float[4] s, float[4] b, float[4,1] k, float[1,4,1] c> {
            n = InstanceNormalization(x, s, b)
            m = Mul(n, k)
            y = Add(m, c)
        }
        """,
        after="y = InstanceNormalization(x, *, *)",
    )


def test_the_scale_of_a_root_mean_square() -> None:
    check(
        NormalizationAffineFusion(),
        before="""
        g (float[N,8] x) => (float[N,8] y) <float[8] s, float[8] k> {
            n = RMSNormalization(x, s)
            y = Mul(n, k)
        }
        """,
        after="y = RMSNormalization(x, *)",
        opset=23,
    )


def test_several_axes_and_half_precision() -> None:
    check(
        NormalizationAffineFusion(),
        before="""
        g (float16[N,4,8] x) => (float16[N,4,8] y) <float16[4,8] s, float16[4,8] k> {
            n = LayerNormalization <axis = 1> (x, s)
            y = Mul(n, k)
        }
        """,
        after="y = LayerNormalization<axis=1>(x, *)",
    )


def test_in_a_body() -> None:
    check(
        NormalizationAffineFusion(),
        before="""
        g (float[N,8] x, bool c) => (float[N,8] y) <float[8] s, float[8] k> {
            y = If (c) <
                then_branch = t () => (float[N,8] p) {
                    n = LayerNormalization(x, s)
                    p = Add(n, k)
                },
                else_branch = e () => (float[N,8] r) { r = Neg(x) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            p = LayerNormalization(x, *, *)
          else_branch:
            r = Neg(x)
        """,
    )


@pytest.mark.parametrize(
    ("x", "y", "s", "k"),
    [
        ("N,4,8", "N,4,8", "8", "4,8"),
        ("N,4,8", "N,4,8", "8", "4,1"),
        ("N,4,8", "N,4,8", "8", "1"),
        ("N,4,1", "N,4,8", "1", "8"),
        ("4,8", "1,4,8", "8", "1,1,8"),
        ("N,4,D", "N,4,8", "8", "8"),
    ],
)
@pytest.mark.parametrize("operator", ["Mul", "Add"])
def test_a_constant_of_another_shape_stays(operator: str, x: str, y: str, s: str, k: str) -> None:
    check(
        NormalizationAffineFusion(),
        before=f"""
        g (float[{x}] x) => (float[{y}] y) <float[{s}] s, float[{k}] k> {{
            n = LayerNormalization(x, s)
            y = {operator}(n, k)
        }}
        """,
    )


def test_weights_of_two_normalizations_stay_shared() -> None:
    check(
        NormalizationAffineFusion(),
        before="""
        g (float[N,8] x) => (float[N,8] y, float[N,8] z) <float[8] s, float[8] k> {
            n = LayerNormalization(x, s)
            y = Mul(n, k)
            z = LayerNormalization(x, s)
        }
        """,
        declined="read elsewhere",
    )


def test_a_scale_of_ones_is_replaced_though_it_is_shared() -> None:
    check(
        NormalizationAffineFusion(),
        before="""
        g (float[N,2] x) => (float[N,2] y, float[N,2] z) <float[2] s = {1, 1}, float[2] k> {
            n = LayerNormalization(x, s)
            y = Mul(n, k)
            z = LayerNormalization(x, s)
        }
        """,
        after="""
        y = LayerNormalization(x, *)
        z = LayerNormalization(x, *)
        """,
    )


def test_a_number_that_is_added_to_round_stays() -> None:
    check(
        NormalizationAffineFusion(),
        before="""
        g (float[N,2] x) => (float[N,2] y)
        <float[2] s, float[2] k = {12582912.0, 12582912.0}> {
            n = LayerNormalization(x, s)
            u = Add(n, k)
            y = Sub(u, k)
        }
        """,
        declined="added to round",
    )


def test_a_scale_that_overflows_stays() -> None:
    check(
        NormalizationAffineFusion(),
        before="""
        g (float[N,2] x) => (float[N,2] y)
        <float[2] s = {1e-30, 1e-30}, float[2] k = {1e-30, 1e-30}> {
            n = LayerNormalization(x, s)
            y = Mul(n, k)
        }
        """,
        declined="out of the range",
    )


def test_a_scalar_that_is_normalized_is_left_to_fail() -> None:
    text = """
    g (float x) => (float y) <float s, float k> {
        n = LayerNormalization <axis = 0> (x, s)
        y = Add(n, k)
    }
    """
    assert not PassManager([NormalizationAffineFusion()]).run(Model(model(text)).copy()).changes
