"""Relu and its kin: LeakyRelu, PRelu, Elu, Selu, Celu, Softplus, from the spellings of exporters."""

from __future__ import annotations

import pytest

from onnxforge.passes import Pass
from onnxforge.testing import check
from onnxforge_passes.elu_fusion import EluFusion
from onnxforge_passes.leaky_relu_fusion import LeakyReluFusion
from onnxforge_passes.relu_fusion import ReluFusion
from onnxforge_passes.softplus_fusion import SoftplusFusion

NUMBERS = {
    "zero": 0, "one": 1, "minus": -1, "two": 2, "half": 0.5, "tenth": 0.1, "twenty": 20,
    "ninety": 90, "infinity": "inf",
}  # fmt: skip


def spelt(body: str, dtype: str = "float", shape: str = "N,4,5", more: str = "") -> str:
    used = [f"{dtype} {name} = {{{number}}}" for name, number in NUMBERS.items() if name in body]
    constants = ", ".join([*used, *([more] if more else [])])
    return f"g ({dtype}[{shape}] x) => ({dtype}[{shape}] y) <{constants}> {{ {body} }}"


@pytest.mark.parametrize(
    "body",
    [
        "y = Max(x, zero)",
        "y = Max(zero, x)",
        "c = LessOrEqual(x, zero) y = Where(c, zero, x)",
    ],
)
def test_relu(body: str) -> None:
    check(ReluFusion(), before=spelt(body), after="y = Relu(x)")


@pytest.mark.parametrize("threshold", ["zero", "half"])
def test_thresholded_relu(threshold: str) -> None:
    before = spelt(f"c = Greater(x, {threshold}) y = Where(c, x, zero)")
    after = f"y = ThresholdedRelu<alpha={NUMBERS[threshold]}>(x)"
    check(ReluFusion(), before=before, after=after)


@pytest.mark.parametrize(
    "body",
    [
        "r = Relu(x) n = Neg(x) q = Relu(n) t = Mul(q, tenth) y = Sub(r, t)",
        "a = Mul(x, two) b = Greater(x, zero) y = Where(b, x, a)",
        "r = Relu(x) a = Abs(x) d = Sub(x, a) t = Mul(d, tenth) y = Add(r, t)",
    ],
)
def test_leaky_relu(body: str) -> None:
    slope = "2" if "two" in body else "0.2" if "Abs" in body else "0.1"
    check(LeakyReluFusion(), before=spelt(body), after=f"y = LeakyRelu<alpha={slope}>(x)")


@pytest.mark.parametrize(
    "body",
    [
        "g0 = Greater(x, zero) t = Mul(x, k) y = Where(g0, x, t)",
        "r = Relu(x) n = Neg(x) q = Relu(n) t = Mul(k, q) y = Add(r, t)",
        "r = Relu(x) n = Neg(x) q = Relu(n) t = Mul(k, q) y = Sub(r, t)",
        "r = Relu(x) a = Abs(x) d = Sub(x, a) t = Mul(d, k) y = Add(t, r)",
    ],
)
@pytest.mark.parametrize("shape", ["5", "4,1", "1,4,5"])
def test_slopes_that_differ(body: str, shape: str) -> None:
    check(LeakyReluFusion(), before=spelt(body, more=f"float[{shape}] k"), after="y = PRelu(x, *)")


@pytest.mark.parametrize("shape", ["3,4,5", "2,1,4,5"])
def test_slopes_that_the_input_broadcasts_to(shape: str) -> None:
    body = "g0 = Greater(x, zero) t = Mul(x, k) u = Where(g0, x, t) y = ReduceSum<keepdims=0>(u)"
    before = spelt(body, shape="1,4,5", more=f"float[{shape}] k").replace(
        "float[1,4,5] y", "float y"
    )
    check(LeakyReluFusion(), before=before, declined="broadcast")


@pytest.mark.parametrize(
    "body",
    [
        "c = Greater(x, zero) e = Exp(x) m = Sub(e, one) y = Where(c, x, m)",
        "r = Relu(x) n = Min(x, zero) e = Exp(n) m = Add(e, minus) y = Add(m, r)",
        "r = Relu(x) n = Clip(x, , zero) e = Exp(n) m = Sub(e, one) y = Add(m, r)",
    ],
)
def test_elu(body: str) -> None:
    check(EluFusion(), before=spelt(body), after="y = Elu<alpha=1>(x)")
    scaled = (
        body.replace(", m)", ", s)")
        .replace("Add(m,", "Add(s,")
        .replace("y =", "s = Mul(m, two) y =")
    )
    check(EluFusion(), before=spelt(scaled), after="y = Elu<alpha=2>(x)")


def test_selu() -> None:
    before = spelt("e = Elu <alpha = 1.5> (x) y = Mul(e, two)")
    check(EluFusion(), before=before, after="y = Selu<alpha=1.5, gamma=2>(x)")


@pytest.mark.parametrize("scaled", ["Div(x, two)", "Mul(x, half)"])
def test_celu(scaled: str) -> None:
    before = spelt(f"a = {scaled} e = Elu(a) y = Mul(e, two)")
    check(EluFusion(), before=before, after="y = Celu<alpha=2>(x)")


@pytest.mark.parametrize(("back", "opset"), [("half", 17), ("two", 11)])
def test_what_is_scaled_back_otherwise_is_a_selu(back: str, opset: int) -> None:
    check(
        EluFusion(),
        before=spelt(f"a = Div(x, two) e = Elu(a) y = Mul(e, {back})"),
        after=f"a = Div(x, *)\ny = Selu<alpha=1, gamma={NUMBERS[back]}>(a)",
        opset=opset,
    )


@pytest.mark.parametrize("small", ["Log(a)", "Softplus(x)"])
@pytest.mark.parametrize(
    "end", ["c = Greater(x, twenty) y = Where(c, x, s)", "c = Less(x, twenty) y = Where(c, s, x)"]
)
def test_softplus(small: str, end: str) -> None:
    start = "e = Exp(x) a = Add(one, e) " if "Log" in small else ""
    check(SoftplusFusion(), before=spelt(f"{start} s = {small} {end}"), after="y = Softplus(x)")


@pytest.mark.parametrize(
    ("fusion", "before", "opset", "reason"),
    [
        (ReluFusion(), spelt("y = Max(x, two)"), 17, None),
        (ReluFusion(), spelt("c = GreaterOrEqual(x, half) y = Where(c, x, zero)"), 17, None),
        (ReluFusion(), spelt("c = Greater(x, half) y = Where(c, x, zero)"), 9, "opset 10"),
        (ReluFusion(), spelt("c = Greater(x, k) y = Where(c, x, zero)", more="float[5] k"), 17, "not one"),
        (ReluFusion(), spelt("y = Max(x, o)", "int32", more="int32 o = {0}"), 17, "float32"),
        (LeakyReluFusion(), spelt("a = Mul(x, k) y = Max(x, a)", more="float[2] k = {0.5, 2}", shape="N,2"), 17, "between"),
        (LeakyReluFusion(), spelt("a = Mul(x, tenth) y = Max(x, a)"), 7, "opset 8"),
        (EluFusion(), spelt("e = Elu(x) y = Mul(e, k)", more="float[5] k"), 17, "not one number"),
        (SoftplusFusion(), spelt("s = Softplus(x) c = Greater(x, two) y = Where(c, x, s)"), 17, "threshold"),
        (SoftplusFusion(), spelt("s = Softplus(x) c = Greater(x, ninety) y = Where(c, x, s)"), 17, "threshold"),
        (SoftplusFusion(), spelt("e = Exp(x) a = Add(e, one) y = Log(a)"), 17, None),
    ],
)  # fmt: skip
def test_declines(fusion: Pass, before: str, opset: int, reason: str | None) -> None:
    check(fusion, before=before, opset=opset, declined=reason)


@pytest.mark.parametrize(
    ("fusion", "body"),
    [
        (LeakyReluFusion(), "a = Mul(x, k) y = Max(x, a)"),
        (EluFusion(), "e = Elu(x) y = Mul(e, k)"),
        (SoftplusFusion(), "s = Softplus(x) c = Greater(x, k) y = Where(c, x, s)"),
    ],
)
def test_other_types(fusion: Pass, body: str) -> None:
    before = spelt(body, "double", more="double k = {1}")
    check(fusion, before=before, declined="float32")


def test_in_a_branch() -> None:
    body = "r = Relu(x) n = Neg(x) q = Relu(n) t = Mul(q, minus) y = Add(r, t)"
    check(
        LeakyReluFusion(),
        before=f"""
        g (bool p, float[N] x) => (float[N] z) <float minus = {{-0.5}}> {{
            z = If (p) <
                then_branch = t1 () => (float[N] y) {{ {body} }},
                else_branch = e1 () => (float[N] w) {{ w = Relu(x) }}
            >
        }}
        """,
        after="""
        z = If(p)
          then_branch:
            y = LeakyRelu<alpha=0.5>(x)
          else_branch:
            w = Relu(x)
        """,
    )
