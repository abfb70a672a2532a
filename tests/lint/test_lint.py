"""What ONNX Runtime miscompiles: found in the model, and seen to happen, in the installed version."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from onnxforge import Model, OnnxForgeError, optimize
from onnxforge.cli import app
from onnxforge.lint import known, lint
from onnxforge.lint.rules import RULES
from onnxforge.testing import model

RANDOM = np.random.default_rng(0)
NEGATIVE = (-1 - RANDOM.random((1, 3, 6, 6))).astype(np.float32)
POOL = """
g (float[1,3,6,6] x) => (float[1,3,{out},{out}] y)
<int64[8] pads = {{{pads}}}, float zero = {{{value}}}> {{
    {before}
    p = Pad{mode}({source}, pads, zero)
    y = MaxPool<kernel_shape=[4,4]{more}>(p)
}}
"""


def pool(
    *,
    pads: str = "0,0,1,1,0,0,1,1",
    value: str = "0",
    before: str = "",
    source: str = "x",
    mode: str = "",
    more: str = "",
    out: int = 5,
) -> ModelProto:
    given = {"pads": pads, "value": value, "before": before, "source": source, "mode": mode}
    return model(POOL.format(**given, more=more, out=out))


DRAWS = "g (float[64] x) => (float[64] y) { a = Bernoulli(x) b = Bernoulli(x) y = Sub(a, b) }"
SHAPES = """
g (int64[1,4] x, int64[4,1] s) => (int64[1,1,4,1] y) <int64[1] four = {4}>
{ t = Reshape(s, four) y = Reshape(x, t) }
"""
RMS = """
g (float[3,1] x) => (float[3,2] y)
<float two = {2}, float e = {1e-5}, float[2] s = {1, 2}, int64[1] last = {-1}>
{
    q = Pow(x, two) m = ReduceMean(q, last) a = Add(m, e) r = Sqrt(a) d = Div(x, r) y = Mul(d, s)
}
"""
NORM = """
g (float[3,1] x) => (float[3,2] y)
<float two = {2}, float e = {1e-5}, float[2] s = {1, 2}, float[2] b = {3, 4}, int64[1] last = {-1}>
{
    u = ReduceMean(x, last) c = Sub(x, u)
    q = Pow(c, two) m = ReduceMean(q, last) a = Add(m, e) r = Sqrt(a) d = Div(c, r)
    f = Mul(d, s) y = Add(f, b)
}
"""
EPSILON = """
g (float[2,4] x) => (float[2,4] y)
<float two = {2}, float e = {0.5}, float[4] s, float[4] b, int64[1] last = {-1}>
{
    u = ReduceMean(x, last) c = Sub(x, u)
    q = Pow(c, two) m = ReduceMean(q, last) a = Add(e, m) r = Sqrt(a) d = Div(c, r)
    f = Mul(d, s) y = Add(f, b)
}
"""
CLIPPED = """
g (double[6] x) => (double[6] y) <double low, double high> { r = Relu(x) y = Clip(r, low, high) }
"""
TRANSPOSED = """
g (float[3,3] x, float[3,3] w) => (float[3,3] y) { t = Transpose<perm=[0,1]>(x) y = Gemm(t, w) }
"""


def dequantized(dtype: int = TensorProto.INT4) -> ModelProto:
    """A product with weights of 4 bits, and a column that leaves little of 8 bits to the others."""
    numbers = RANDOM.integers(-7, 7, (256, 16))
    scales = numpy_helper.from_array(RANDOM.uniform(0.01, 0.1, (8, 16)).astype(np.float32), "s")
    graph = helper.make_graph(
        [
            helper.make_node("DequantizeLinear", ["w", "s"], ["d"], axis=0, block_size=32),
            helper.make_node("MatMul", ["x", "d"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 256])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 16])],
        [helper.make_tensor("w", dtype, [256, 16], numbers.flatten().tolist()), scales],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


OUTLIER = RANDOM.standard_normal((4, 256)).astype(np.float32)
OUTLIER[:, 0] *= 200
COLUMN = np.array([[1], [2], [3]], np.float32)

# What is wrong, by rule: a model and its feeds.
WRONG = {
    "pad-into-max-pool": (pool(), {"x": NEGATIVE}),
    "merged-draws": (model(DRAWS), {"x": np.full(64, 0.5, np.float32)}),
    "reshaped-shape": (
        model(SHAPES, opset=21),
        {"x": np.array([[1, 2, 3, 4]]), "s": np.array([[1], [1], [4], [1]])},
    ),
    "widened-rms-norm": (model(RMS, opset=18), {"x": COLUMN}),
    "widened-layer-norm": (model(NORM, opset=18), {"x": COLUMN}),
    "rounded-activations": (dequantized(), {"x": OUTLIER}),
    "misread-epsilon": (model(EPSILON, opset=18), {"x": OUTLIER[:2, 1:5]}),
    "relu-into-clip": (model(CLIPPED), {"x": NEGATIVE[0, 0, 0].astype(np.float64)}),
}
PAST = {"identity-transpose": model(TRANSPOSED)}


def run(proto: ModelProto, feeds: dict[str, np.ndarray], **options: object) -> np.ndarray | None:
    """The first output, with ONNX Runtime's optimizer on unless told; None if it fails."""
    session_options = onnxruntime.SessionOptions()
    session_options.log_severity_level = 4
    for key, value in options.pop("settings", {}).items():
        session_options.add_session_config_entry(key, value)
    if level := options.pop("level", None):
        session_options.graph_optimization_level = level
    try:
        session = onnxruntime.InferenceSession(
            proto.SerializeToString(), session_options, ["CPUExecutionProvider"], **options
        )
        return session.run(None, feeds)[0]
    except Exception:  # noqa: BLE001 - ONNX Runtime raises types of its own, one per status
        return None


def agree(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return (
        one is not None
        and other is not None
        and one.shape == other.shape
        and np.allclose(one, other, rtol=1e-4, atol=1e-4)
    )


def makes(name: str) -> bool:
    """Whether the ONNX Runtime that is installed is known to make the mistake."""
    return next(each for each in known() if each.name == name).concerns(onnxruntime.__version__)


def expect(proto: ModelProto, feeds: dict[str, np.ndarray], name: str) -> None:
    """The lint tells of the mistake in versions that make it, and those that do not are right."""
    found = [each.known.name for each in lint(Model(proto))]
    right = run(proto, feeds, level=onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)
    assert right is not None
    assert (found == [name]) is makes(name) is not agree(run(proto, feeds), right)


@pytest.mark.parametrize("name", WRONG)
def test_what_is_known_happens_is_found_and_the_advice_helps(name):
    proto, feeds = WRONG[name]
    if not makes(name):
        expect(proto, feeds, name)
        return
    found = lint(Model(proto))
    assert [each.known.name for each in found] == [name]
    mistake = found[0].known
    right = run(proto, feeds, level=onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)
    assert right is not None
    if name == "merged-draws":  # no two runs agree, and what is merged differs by nothing
        assert np.any(right)
        assert not np.any(run(proto, feeds))
        assert np.any(run(proto, feeds, disabled_optimizers=list(mistake.disable)))
        return
    assert not agree(run(proto, feeds), right)
    helped = {"settings": dict(mistake.settings)}
    if mistake.disable:
        helped["disabled_optimizers"] = list(mistake.disable)
    assert agree(run(proto, feeds, **helped), right)


def test_every_rule_is_known_and_tried():
    assert [each.name for each in known()] == [*RULES] == [*WRONG, *PAST]
    assert all(each.source and each.advice for each in known())


@pytest.mark.parametrize(
    ("version", "names"),
    [
        ("1.31.1", []),
        ("1.30.2", ["identity-transpose"]),
        ("1.27", ["identity-transpose"]),
        ("1.26.3", []),
        ("1.32.0.dev20261101", []),
    ],
)
def test_a_mistake_is_told_of_the_versions_that_make_it(version, names):
    found = lint(Model(PAST["identity-transpose"]), version)
    assert [each.known.name for each in found] == names


def test_a_version_before_the_first_mistake_makes_none():
    assert not lint(Model(pool()), "1.16.3")
    assert lint(Model(pool()), "1.17")


@pytest.mark.parametrize(
    "proto",
    [
        pool(value="-inf"),
        pool(before="r = Relu(x)", source="r"),
        pool(mode='<mode="reflect">'),
        pool(more=', auto_pad="SAME_UPPER"', out=8),
        pool(pads="0,0,-1,-1,0,0,1,1", out=3),
        model(DRAWS.replace("Bernoulli(x)", "Bernoulli<seed=1.0>(x)")),
        model(SHAPES.replace("int64[1,1,4,1] y", "int64[a,b,c,d] y"), opset=21),
        model(RMS.replace("float[3,1] x", "float[3,2] x"), opset=18),
        model(NORM.replace("float[3,1] x", "float[3,2] x"), opset=18),
        model(EPSILON.replace("Add(e, m)", "Add(m, e)"), opset=18),
        model(EPSILON.replace("e = {0.5}", "e = {1e-5}"), opset=18),
        model(EPSILON.replace("last = {-1}", "last = {0}"), opset=18),
        model(EPSILON.replace("Pow(c, two)", "Mul(c, c)"), opset=18),
        model(CLIPPED.replace("double", "float")),
        model(CLIPPED.replace("Clip(r, low, high)", 'Clip(r, "", high)')),
        model(TRANSPOSED.replace("[0,1]", "[1,0]")),
    ],
)  # fmt: skip
def test_what_is_compiled_right_is_not_told_of(proto):
    assert lint(Model(proto), "1.29") == []


DOUBLES = """
g (double[2,4] x) => (double[2,4] y) <double two = {2}, double e, double[4] s>
{
    q = Pow(x, two) m = ReduceMean<axes=[1]>(q) a = Add(m, e) r = Sqrt(a) d = Div(x, r) y = Mul(d, s)
}
"""


@pytest.mark.parametrize(
    ("proto", "dtype"),
    [
        (model(DOUBLES, opset=17), np.float64),
        (
            model(EPSILON.replace("x)", "x, float e)").replace("float e = {0.5}, ", ""), opset=18),
            np.float32,
        ),
    ],
)
def test_other_numbers_that_are_misread_are_found(proto, dtype):
    feeds = {"x": OUTLIER[:2, 1:5].astype(dtype), "e": np.array(0.5, dtype)}
    feeds = {info.name: feeds[info.name] for info in proto.graph.input}
    expect(proto, feeds, "misread-epsilon")


def test_pads_that_are_an_attribute_are_found():
    text = "g (float[1,3,6,6] x) => (float[1,3,5,5] y) { a = Pad<pads=[0,0,1,1,0,0,1,1]>(x) "
    proto = model(f"{text} y = MaxPool<kernel_shape=[4,4]>(a) }}", opset=9)
    expect(proto, {"x": NEGATIVE}, "pad-into-max-pool")


def test_bodies_are_searched():
    text = (
        "g (float[64] x, bool p) => (float[64] y) { y = If (p) <"
        "then_branch = t () => (float[64] c) { a = Bernoulli(x) b = Bernoulli(x) c = Sub(a, b) }, "
        "else_branch = e () => (float[64] d) { d = Neg(x) }> }"
    )
    assert [each.node for each in lint(Model(model(text)))] == ["b = Bernoulli(x)"]


def test_our_own_passes_add_nothing_to_what_is_miscompiled():
    for proto, _ in WRONG.values():
        before = len(lint(Model(proto)))
        assert len(lint(optimize(proto, verify=False))) <= before


def inspect(tmp_path, *options):
    onnx.save(pool(), tmp_path / "m.onnx")
    return CliRunner().invoke(app, ["inspect", str(tmp_path / "m.onnx"), *options])


def test_the_command_line_tells_with_a_target_that_the_runtime_runs(tmp_path):
    done = inspect(tmp_path, "--target", "ort-cpu", "--ort-version", "1.31.1")
    assert done.exit_code == 0
    assert "known to be miscompiled by onnxruntime 1.31.1:" in done.output
    assert "    y = MaxPool(p)" in done.output
    assert "disabled_optimizers=['Pad_Fusion']" in done.output
    assert "miscompiled" not in inspect(tmp_path, "--target", "tensorrt").output


def test_the_command_line_takes_a_version(tmp_path):
    assert (
        f"onnxruntime {onnxruntime.__version__}" in inspect(tmp_path, "--target", "ort-cpu").output
    )
    done = inspect(tmp_path, "--target", "ort-cpu", "--ort-version", "1.16")
    assert "nothing in it is known to be miscompiled by onnxruntime 1.16" in done.output
    found = json.loads(inspect(tmp_path, "--ort-version", "1.31", "--json").output)["miscompiled"]
    assert found["version"] == "1.31"
    assert [each["rule"] for each in found["found"]] == ["pad-into-max-pool"]
    assert inspect(tmp_path, "--ort-version", "newest").exit_code == 2


def test_a_runtime_nobody_knows_is_an_error():
    with pytest.raises(OnnxForgeError, match="nothing is known of what 'abacus' miscompiles"):
        lint(Model(pool()), "1.0", "abacus")
