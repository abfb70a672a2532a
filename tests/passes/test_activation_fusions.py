"""The activations that become one operator, each from the spellings of the exporters."""

from __future__ import annotations

import pytest

from onnxforge.passes import Pass
from onnxforge.testing import check
from onnxforge_passes.clip_fusion import ClipFusion
from onnxforge_passes.gelu_fusion import GeluFusion
from onnxforge_passes.hard_sigmoid_fusion import HardSigmoidFusion
from onnxforge_passes.hard_swish_fusion import HardSwishFusion
from onnxforge_passes.leaky_relu_fusion import LeakyReluFusion
from onnxforge_passes.mish_fusion import MishFusion
from onnxforge_passes.sigmoid_fusion import SigmoidFusion
from onnxforge_passes.softmax_fusion import SoftmaxFusion

NUMBERS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "six": 6, "half": 0.5, "sixth": 0.16666667,
    "root": 1.4142135, "inverse": 0.70710678, "k": 0.044715, "c": 0.7978845608, "tenth": 0.1,
}  # fmt: skip
ERF = "s = Div(x, root) e = Erf(s) g = Add(e, one)"
TANH = "p = Pow(x, three) q = Mul(p, k) r = Add(x, q) s = Mul(r, c) e = Tanh(s) g = Add(e, one)"
FAST = """w = Mul(x, x) p = Mul(w, k) q = Add(one, p) r = Mul(x, c) s = Mul(r, q) e = Tanh(s)
          g = Add(e, one)"""
GATE = "n = Neg(x) e = Exp(n) a = Add(one, e) s = Div(one, a)"
RELU6 = "a = Add(x, three) b = Clip(a, zero, six)"


def spelt(body: str, dtype: str = "float", shape: str = "N,4", outputs: str = "") -> str:
    used = {name: number for name, number in NUMBERS.items() if f"{name}" in body}
    if dtype != "float":  # text has only integers for some types: these are any numbers
        used = dict.fromkeys(used, 2)
    constants = ", ".join(f"{dtype} {name} = {{{number}}}" for name, number in used.items())
    constants = f"<{constants}>" if constants else ""
    return f"g ({dtype}[{shape}] x) => ({dtype}[{shape}] y{outputs}) {constants} {{ {body} }}"


@pytest.mark.parametrize(
    "end",
    [
        "h = Mul(x, g) y = Mul(h, half)",
        "h = Mul(g, x) y = Div(h, two)",
        "h = Mul(x, half) y = Mul(h, g)",
        "h = Div(x, two) y = Mul(g, h)",
        "h = Mul(g, half) y = Mul(x, h)",
    ],
)
@pytest.mark.parametrize(
    ("gate", "kind"),
    [
        (ERF, "none"),
        (ERF.replace("Div(x, root)", "Mul(inverse, x)"), "none"),
        (TANH, "tanh"),
        (FAST, "tanh"),
        (FAST.replace("w = Mul(x, x) p = Mul(w, k)", "w = Mul(x, k) p = Mul(w, x)"), "tanh"),
    ],
)
def test_gelu_in_any_order(gate: str, kind: str, end: str) -> None:
    after = f"y = Gelu<approximate={kind}>(x)"
    check(GeluFusion(), before=spelt(f"{gate} {end}"), after=after, opset=20)


def test_gelu_with_its_gate_halved_before_the_one_is_added() -> None:
    before = spelt("s = Div(x, root) e = Erf(s) f = Mul(e, half) g = Add(f, half) y = Mul(x, g)")
    check(GeluFusion(), before=before, after="y = Gelu<approximate=none>(x)", opset=20)


HARD_SIGMOID = "HardSigmoid<alpha=0.166667, beta=0.5>(x)"


@pytest.mark.parametrize(
    "end",
    [
        "h = Mul(x, b) y = Div(h, six)",
        "h = Mul(b, x) y = Mul(h, sixth)",
        "h = Div(b, six) y = Mul(x, h)",
        "h = Mul(b, sixth) y = Mul(h, x)",
        "h = Div(x, six) y = Mul(h, b)",
    ],
)
def test_hard_swish_in_any_order(end: str) -> None:
    before = spelt(f"{RELU6} {end}")
    check(HardSwishFusion(), before=before, after="y = HardSwish(x)", opset=14)
    after = f"t1 = {HARD_SIGMOID}\ny = Mul(x, t1)"
    check(HardSwishFusion(), before=before, after=after, opset=13)


def test_hard_swish_of_a_hard_sigmoid() -> None:
    before = spelt("h = HardSigmoid <alpha = 0.16666667, beta = 0.5> (x) y = Mul(x, h)")
    check(HardSwishFusion(), before=before, after="y = HardSwish(x)")
    check(HardSwishFusion(), before=before, opset=13, declined="opset 14")


@pytest.mark.parametrize("end", ["y = Div(b, six)", "y = Mul(b, sixth)"])
def test_hard_sigmoid_of_relu6(end: str) -> None:
    check(HardSigmoidFusion(), before=spelt(f"{RELU6} {end}"), after=f"y = {HARD_SIGMOID}")


def test_hard_sigmoid_of_any_line() -> None:
    before = spelt("a = Mul(x, tenth) b = Add(a, half) y = Clip(b, zero, one)")
    check(HardSigmoidFusion(), before=before, after="y = HardSigmoid<alpha=0.1, beta=0.5>(x)")
    before = spelt("a = Div(x, two) b = Add(a, half) y = Clip <min = 0.0, max = 1.0> (b)")
    after = "y = HardSigmoid<alpha=0.5, beta=0.5>(x)"
    check(HardSigmoidFusion(), before=before, after=after, opset=9)


@pytest.mark.parametrize("softplus", ["s = Softplus(x)", "e = Exp(x) a = Add(one, e) s = Log(a)"])
def test_mish(softplus: str) -> None:
    before = spelt(f"{softplus} t = Tanh(s) y = Mul(t, x)")
    check(MishFusion(), before=before, after="y = Mish(x)", opset=18)


@pytest.mark.parametrize("end", ["s = Div(one, a)", "s = Reciprocal(a)"])
def test_sigmoid(end: str) -> None:
    before = spelt(f"n = Neg(x) e = Exp(n) a = Add(one, e) {end} y = Mul(s, x)")
    check(SigmoidFusion(), before=before, after="s = Sigmoid(x)\ny = Mul(s, x)")


def test_sigmoid_as_a_gate_and_its_opposite() -> None:
    rest = "f = Flatten(s) o = Sub(one, f) p = Mul(o, x) q = Mul(f, x) y = Add(p, q)"
    after = "s = Sigmoid(x)\nf = Flatten(s)\no = Sub(*, f)\np = Mul(o, x)\nq = Mul(f, x)\n"
    check(SigmoidFusion(), before=spelt(f"{GATE} {rest}"), after=f"{after}y = Add(p, q)")


@pytest.mark.parametrize(
    "rest",
    [
        "y = Identity(s)",
        "y = Log(s)",
        "y = Div(x, s)",
        "y = Sub(s, x)",
        "f = Flatten(s) y = Log(f)",
        "m = Mul(s, x) t = Add(s, x) y = Add(m, t)",
        "m = Mul(s, half) y = Log(m)",
        "m = Mul(s, half) f = Flatten(m) y = Div(x, f)",
    ],
)
def test_a_sigmoid_that_is_more_than_a_factor_is_not_let_fall_to_zero(rest: str) -> None:
    check(SigmoidFusion(), before=spelt(f"{GATE} {rest}"), declined="is 0 where this is small")


def test_so_is_a_multiple_of_one() -> None:
    before = spelt("n = Neg(x) e = Exp(n) a = Add(one, e) s = Div(three, a) y = Log(s)")
    check(SigmoidFusion(), before=before, declined="is 0 where this is small")


def test_so_is_something_else_divided_before_its_logarithm_is_taken() -> None:
    before = spelt("d = Exp(x) n = Neg(x) e = Exp(n) a = Add(one, e) s = Div(d, a) y = Log(s)")
    check(SigmoidFusion(), before=before, declined="is 0 where this is small")


@pytest.mark.parametrize("scale", ["Mul(x, half)", "Div(x, two)"])
@pytest.mark.parametrize(
    "end", ["b = Mul(t, half) y = Add(b, half)", "b = Add(t, one) y = Mul(b, half)"]
)
def test_sigmoid_as_a_tanh(scale: str, end: str) -> None:
    before = spelt(f"a = {scale} t = Tanh(a) {end}")
    check(SigmoidFusion(), before=before, after="y = Sigmoid(x)")


def test_something_else_divided() -> None:
    before = spelt("n = Neg(x) e = Exp(n) a = Add(one, e) y = Div(x, a)")
    check(SigmoidFusion(), before=before, after="t1 = Sigmoid(x)\ny = Mul(x, t1)")


def test_something_divided_that_the_divisor_is_made_of() -> None:
    before = spelt("n = Neg(x) e = Exp(n) a = Add(one, e) y = Div(e, a)")
    check(SigmoidFusion(), before=before, declined="part of the divisor")


@pytest.mark.parametrize(
    "body",
    [
        "a = Mul(x, tenth) y = Max(a, x)",
        "a = Mul(x, tenth) b = Greater(x, zero) y = Where(b, x, a)",
        "a = Mul(x, tenth) b = LessOrEqual(x, zero) y = Where(b, a, x)",
    ],
)
def test_leaky_relu(body: str) -> None:
    check(LeakyReluFusion(), before=spelt(body), after="y = LeakyRelu<alpha=0.1>(x)")


@pytest.mark.parametrize(
    "body",
    [
        "a = Max(x, one) y = Min(six, a)",
        "a = Min(x, six) y = Max(a, one)",
        "a = Relu(x) y = Min(a, six)",
        "a = Min(x, six) y = Relu(a)",
    ],
)
def test_clip(body: str) -> None:
    check(ClipFusion(), before=spelt(body), after="y = Clip(x, *, *)")


def test_clip_before_opset_11() -> None:
    before = spelt("a = Max(x, one) y = Min(six, a)")
    check(ClipFusion(), before=before, after="y = Clip<max=6, min=1>(x)", opset=9)


def test_clip_by_constants_of_a_rank() -> None:
    before = (
        "g (float[N,4] x) => (float[N,4] y) <float[1,1] l = {{1}}, float[1] h = {{2}}> {{ {} }}"
    )
    body = "a = Max(x, l) y = Min(a, h)"
    check(ClipFusion(), before=before.format(body), after="y = Clip(x, *, *)")


def softmax(
    axes: str = "-1", sum_axes: str = "-1", shape: str = "N,4", dtype: str = "float"
) -> str:
    return f"""
    g ({dtype}[{shape}] x) => ({dtype}[{shape}] y) <int64[1] a = {{{sum_axes}}}> {{
        m = ReduceMax <axes = [{axes}]> (x)
        d = Sub(x, m)
        e = Exp(d)
        s = ReduceSum(e, a)
        y = Div(e, s)
    }}
    """


def test_softmax() -> None:
    check(SoftmaxFusion(), before=softmax(), after="y = Softmax<axis=-1>(x)")
    before = softmax("1", "-2", "N,4,D", "double")
    check(SoftmaxFusion(), before=before, after="y = Softmax<axis=-2>(x)")


def test_log_softmax() -> None:
    before = softmax().replace("y = Div(e, s)", "l = Log(s) y = Sub(d, l)")
    check(SoftmaxFusion(), before=before, after="y = LogSoftmax<axis=-1>(x)")


def test_in_a_body() -> None:
    check(
        HardSwishFusion(),
        before="""
        g (float[N,8] x, bool c) => (float[N,8] y) <float three = {3}, float z = {0}, float s = {6}>
        {
            y = If (c) <
                then_branch = t () => (float[N,8] p) {
                    a = Add(x, three)
                    b = Clip(a, z, s)
                    h = Mul(x, b)
                    p = Div(h, s)
                },
                else_branch = e () => (float[N,8] r) { r = Neg(x) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            p = HardSwish(x)
          else_branch:
            r = Neg(x)
        """,
    )


GELU = f"{ERF} h = Mul(x, g) y = Mul(h, half)"
QUOTIENT = "n = Neg(x) e = Exp(n) a = Add(one, e) y = Div(one, a)"


@pytest.mark.parametrize(
    ("fusion", "before", "opset", "reason"),
    [
        (GeluFusion(), spelt(GELU), 19, "opset 20"),
        (MishFusion(), spelt("s = Softplus(x) t = Tanh(s) y = Mul(x, t)"), 17, "opset 18"),
        (MishFusion(), spelt("s = Softplus(x) t = Tanh(s) y = Mul(x, t)", "double"), 18, "float32"),
        (SoftmaxFusion(), softmax("1", "0", "4,4"), 17, "not over the same axes"),
        (SoftmaxFusion(), softmax("0, 1", "0", "4,4"), 17, "not over the same axes"),
        (
            SoftmaxFusion(),
            softmax(dtype="double").replace("y = Div(e, s)", "l = Log(s) y = Sub(d, l)"),
            17,
            "makes numbers of infinities",
        ),
        (LeakyReluFusion(), spelt("a = Mul(x, two) y = Max(a, x)"), 17, "between 0 and 1"),
        (LeakyReluFusion(), spelt("a = Mul(x, half) y = Max(a, x)", "double"), 17, "float32"),
        (ClipFusion(), spelt("a = Max(x, six) y = Min(a, one)"), 17, "cross"),
        (ClipFusion(), spelt("a = Max(x, one) y = Min(a, six)", "int32"), 17, "no Clip for this"),
        (ClipFusion(), spelt("a = Max(x, two) y = Min(a, two)", "double"), 11, "no Clip for this"),
        (
            ClipFusion(),
            spelt("r = Relu(x) a = Max(r, two) y = Min(a, two)", "double"),
            17,
            "loads no Clip",
        ),
    ],
)
def test_declines(fusion: Pass, before: str, opset: int, reason: str) -> None:
    check(fusion, before=before, opset=opset, declined=reason)


@pytest.mark.parametrize(
    ("fusion", "body"),
    [
        (GeluFusion(), GELU.replace("root", "two")),
        (GeluFusion(), TANH.replace("k)", "c)") + " h = Mul(x, g) y = Mul(h, half)"),
        (HardSwishFusion(), f"{RELU6} h = Mul(x, b) y = Div(h, three)"),
        (HardSwishFusion(), "a = Add(x, two) b = Clip(a, zero, six) h = Mul(x, b) y = Div(h, six)"),
        (HardSigmoidFusion(), "a = Mul(x, tenth) b = Add(a, half) y = Clip(b, zero, two)"),
        (SigmoidFusion(), QUOTIENT.replace("Neg", "Abs")),
        (MishFusion(), "s = Softplus(x) t = Sigmoid(s) y = Mul(x, t)"),
        (LeakyReluFusion(), "a = Mul(x, tenth) b = Less(x, zero) y = Where(b, x, a)"),
        (LeakyReluFusion(), "a = Mul(x, tenth) b = Greater(x, one) y = Where(b, x, a)"),
    ],
)
def test_what_is_another_function_stays(fusion: Pass, body: str) -> None:
    check(fusion, before=spelt(body), opset=20)


def test_what_is_read_elsewhere_stays() -> None:
    check(SigmoidFusion(), before=spelt(QUOTIENT, outputs=", float[N,4] e"))


def test_bounds_for_each_element_stay() -> None:
    before = "g (float[N,4] x) => (float[N,4] y) <float[4] l, float h = {{2}}> {{ {} }}"
    body = "a = Max(x, l) y = Min(a, h)"
    check(ClipFusion(), before=before.format(body), declined="not one number")


def test_bounds_that_raise_the_rank_stay() -> None:
    before = "g (float[4] x) => (float[1,4] y) <float[1,1] l = {1}, float h = {2}> {{ {} }}"
    body = "a = Max(x, l) y = Min(a, h)"
    check(ClipFusion(), before=before.replace("{1}", "{{1}}").replace("{2}", "{{2}}").format(body))


def test_what_is_quantized_stays() -> None:
    body = f"{QUOTIENT} q, s, z = DynamicQuantizeLinear(y)"
    before = spelt(body, outputs=", uint8[N,4] q")
    check(SigmoidFusion(), before=before, declined="quantizes")
