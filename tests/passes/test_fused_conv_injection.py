from __future__ import annotations

import pytest

from onnxforge import Model, PassManager
from onnxforge.testing import check, model
from onnxforge_passes.fused_conv_injection import FusedConvInjection


@pytest.mark.parametrize(
    ("activation", "attributes"),
    [
        ("Relu(c)", "activation=Relu"),
        ("Sigmoid(c)", "activation=Sigmoid"),
        ("Tanh(c)", "activation=Tanh"),
        ("LeakyRelu(c)", "activation=LeakyRelu, activation_params=[0.01]"),
        ("LeakyRelu<alpha=0.3>(c)", "activation=LeakyRelu, activation_params=[0.3]"),
        ("HardSigmoid(c)", "activation=HardSigmoid, activation_params=[0.2,0.5]"),
        ("HardSigmoid<alpha=0.1>(c)", "activation=HardSigmoid, activation_params=[0.1,0.5]"),
        ("Clip(c, low, high)", "activation=Clip, activation_params=[0.5,1.5]"),
        ("Clip(c, high, low)", "activation=Clip, activation_params=[1.5,0.5]"),
        ('Clip(c, "", high)', "activation=Clip, activation_params=[-3.40282e+38,1.5]"),
        ("Clip(c, low)", "activation=Clip, activation_params=[0.5,3.40282e+38]"),
        ("Clip(c)", "activation=Clip, activation_params=[-3.40282e+38,3.40282e+38]"),
    ],
)
def test_activations_join_the_conv(activation: str, attributes: str) -> None:
    check(
        FusedConvInjection(),
        before=f"""
        g (float[N,3,8,8] x) => (float[N,4,6,6] y)
        <float[4,3,3,3] W, float[4] B, float low = {{0.5}}, float high = {{1.5}}> {{
            c = Conv(x, W, B)
            y = {activation}
        }}
        """,
        after=f"y = com.microsoft.FusedConv<{attributes}>(x, *, *)",
    )


def test_bounds_that_are_attributes() -> None:
    check(
        FusedConvInjection(),
        before="""
        g (float[1,3,8,8] x) => (float[1,4,6,6] y) <float[4,3,3,3] W> {
            c = Conv(x, W)
            y = Clip <min = 0.0, max = 6.0> (c)
        }
        """,
        after="y = com.microsoft.FusedConv<activation=Clip, activation_params=[0,6]>(x, *)",
        opset=10,
    )


@pytest.mark.parametrize("kernel", ["3", "3,3", "3,3,3"])
@pytest.mark.parametrize("group", [1, 2])
def test_any_shape_and_weights_that_are_computed(kernel: str, group: int) -> None:
    size, out = kernel.replace("3", "9"), kernel.replace("3", "4")
    check(
        FusedConvInjection(),
        before=f"""
        g (float[1,4,{size}] x, float[2,{4 // group},{kernel}] W) => (float[1,2,{out}] y) {{
            c = Conv <group = {group}, strides = [{kernel.replace("3", "2")}]> (x, W)
            y = Relu(c)
        }}
        """,
        after="y = com.microsoft.FusedConv"
        f"<activation=Relu, group={group}, strides=[{kernel.replace('3', '2')}]>(x, W)",
    )


@pytest.mark.parametrize("addition", ["Add(c, r)", "Add(r, c)"])
@pytest.mark.parametrize(("bias", "written"), [("", "_"), (", B", "*")])
def test_a_residual_of_the_same_shape_joins_too(addition: str, bias: str, written: str) -> None:
    check(
        FusedConvInjection(),
        before=f"""
        g (float[N,3,8,8] x, float[N,4,6,6] r) => (float[N,4,6,6] y)
        <float[4,3,3,3] W, float[4] B> {{
            c = Conv(x, W{bias})
            a = {addition}
            y = Relu(a)
        }}
        """,
        after=f"y = com.microsoft.FusedConv<activation=Relu>(x, *, {written}, r)",
    )


def test_of_two_convs_one_is_the_residual_of_the_other() -> None:
    check(
        FusedConvInjection(),
        before="""
        g (float[N,3,8] x) => (float[N,4,6] y) <float[4,3,3] W, float[4,3,3] V> {
            c = Conv(x, W)
            d = Conv(x, V)
            a = Add(c, d)
            y = Relu(a)
        }
        """,
        after="""
        d = Conv(x, *)
        y = com.microsoft.FusedConv<activation=Relu>(x, *, _, d)
        """,
    )


@pytest.mark.parametrize("shape", ["1,4,6,6", "N,4,1,1", "6", "M,4,6,6", "2,N,4,6,6"])
def test_a_residual_that_may_broadcast_is_left_alone(shape: str) -> None:
    check(
        FusedConvInjection(),
        before=f"""
        g (float[N,3,8,8] x, float[{shape}] r) => (float[{"P," * (shape[0] == "2")}Q,R,S,T] y)
        <float[4,3,3,3] W> {{
            c = Conv(x, W)
            a = Add(c, r)
            y = Relu(a)
        }}
        """,
        declined="shape of the Conv",
    )


@pytest.mark.parametrize(
    "residual",
    ["r = Expand(q, s)", "r = Identity(u)"],
    ids=["its size is data, whatever the file records", "neither size is known"],
)
def test_a_residual_of_unproven_shape_is_left_alone(residual: str) -> None:
    subject = Model(
        model(
            f"""
            g (float[2,3,8,?] x, float[1,4,6,6] q, float[2,4,6,?] u, int64[4] s)
            => (float[2,4,6,6] y) <float[4,3,3,3] W, float[2,4,6,6] r, float[2,4,6,6] c> {{
                {residual}
                c = Conv(x, W)
                a = Add(c, r)
                y = Relu(a)
            }}
            """
        )
    )
    (step,) = PassManager([FusedConvInjection()]).run(subject).steps
    assert step.changes == 0
    assert any("shape of the Conv" in reason for reason in step.declined)


def test_half_precision_is_left_alone() -> None:
    check(
        FusedConvInjection(),
        before="""
        g (float16[1,3,8,8] x) => (float16[1,4,6,6] y) <float16[4,3,3,3] W> {
            c = Conv(x, W)
            y = Relu(c)
        }
        """,
        declined="float32",
    )


def test_bounds_that_are_computed_are_left_alone() -> None:
    check(
        FusedConvInjection(),
        before="""
        g (float[1,3,8,8] x, float low) => (float[1,4,6,6] y) <float[4,3,3,3] W> {
            c = Conv(x, W)
            y = Clip(c, low)
        }
        """,
    )


def test_a_conv_that_is_read_elsewhere_is_left_alone() -> None:
    check(
        FusedConvInjection(),
        before="""
        g (float[1,3,8] x) => (float[1,4,6] y, float[1,4,6] z) <float[4,3,3] W> {
            c = Conv(x, W)
            y = Relu(c)
            z = Neg(c)
        }
        """,
    )


def test_inside_a_body() -> None:
    check(
        FusedConvInjection(),
        before="""
        g (float[1,3,8] x, bool k) => (float[1,4,6] y) <float[4,3,3] W> {
            y = If (k) <
                then_branch = t () => (float[1,4,6] p) { c = Conv(x, W)  p = Relu(c) },
                else_branch = e () => (float[1,4,6] q) { q = Conv(x, W) }
            >
        }
        """,
        after="""
        y = If(k)
          then_branch:
            p = com.microsoft.FusedConv<activation=Relu>(x, *)
          else_branch:
            q = Conv(x, *)
        """,
    )
