from __future__ import annotations

import numpy as np
import onnx
import pytest

from onnxforge.errors import OnnxForgeError
from onnxforge.ir import Model
from onnxforge.verify import Baseline, compare_models, feeds_for, load_feeds

HEADER = '<ir_version: 10, opset_import: ["" : 20, "com.example" : 1, "ai.onnx.ml": 3]>\n'


def model(text: str, **weights: np.ndarray) -> Model:
    proto = onnx.parser.parse_model(HEADER + text)
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(array, name) for name, array in weights.items()
    )
    return Model(proto)


RELU = "g (float[N,4] x) => (float[N,4] y) { y = Relu(x) }"


def test_a_model_equals_itself():
    comparison = Baseline(model(RELU)).compare(model(RELU))
    assert comparison.error == 0
    assert comparison.tolerance == 1e-4
    assert comparison.outputs == {"y": 0}
    assert not comparison.unchecked
    assert "ONNX Runtime" in comparison.runtime


def test_a_model_that_became_another_is_not_equivalent():
    after = model("g (float[N,4] x) => (float[N,4] y) { y = Identity(x) }")
    comparison = Baseline(model(RELU)).compare(after)
    assert not comparison.is_equivalent
    assert comparison.outputs["y"] > 0.1


def test_the_output_that_exceeds_its_own_limit_most_decides():
    before = model(
        "g (float[4] x) => (float16[4] h, double[4] d) { h = Cast<to=10>(x) d = Cast<to=11>(x) }"
    )
    after = model(
        "g (float[4] x) => (float16[4] h, double[4] d) <float k = {1.002}> "
        "{ h0 = Mul(x, k) h = Cast<to=10>(h0) a = Cast<to=10>(x) d = Cast<to=11>(a) }"
    )
    comparison = Baseline(before).compare(after)
    assert not comparison.is_equivalent
    assert comparison.tolerance == 1e-9
    assert comparison.error == comparison.outputs["d"] < comparison.outputs["h"]


def test_a_result_that_cannot_be_run_is_not_equivalent():
    after = model("g (float[N,4] x) => (float[N,4] y) <int64[2] s = {-1, 3}> { y = Reshape(x, s) }")
    comparison = Baseline(model(RELU)).compare(after)
    assert not comparison.is_equivalent
    assert "cannot be run" in comparison.runtime


def test_a_result_with_an_operator_that_nothing_here_runs_is_unchecked():
    after = model("g (float[N,4] x) => (float[N,4] y) { y = com.example.Relu(x) }")
    comparison = Baseline(model(RELU)).compare(after)
    assert "com.example::Relu" in comparison.unchecked


def test_an_original_that_cannot_be_run_is_unchecked():
    custom = "g (float[N,4] x) => (float[N,4] y) { y = com.example.Relu(x) }"
    comparison = Baseline(model(custom)).compare(model(custom))
    assert "the original cannot be run" in comparison.unchecked


def test_a_random_model_is_recognised_and_named():
    text = "g (float[4] x) => (float[4] y) { r = RandomNormalLike(x) y = Add(x, r) }"
    comparison = Baseline(model(text)).compare(model(text))
    assert comparison.unchecked == "the model is not deterministic: RandomNormalLike"


def test_randomness_that_reaches_no_output_is_no_matter():
    text = "g (float[4] x) => (float[4] y) { r = RandomNormalLike(x) y = Neg(x) }"
    assert not Baseline(model(text)).compare(model(text)).unchecked


def test_sizes_that_the_model_takes_are_found():
    text = (
        "g (float[batch, height] x) => (float[M] y) <int64[2] s = {-1, 16}> "
        "{ a = Reshape(x, s) y = ReduceMax<keepdims=0>(a, axes) }"
    )
    subject = model(text, axes=np.array([1], np.int64))
    baseline = Baseline(subject)
    assert not baseline.unchecked
    assert baseline.feeds[0]["x"].size % 16 == 0


def test_symbols_that_are_expressions_of_others_have_their_value():
    subject = model(
        'g (float[batch, past] p, float[batch, now] n, float[batch, "past + now"] m) '
        "=> (float[batch, K] y) { c = Concat<axis=1>(p, n) y = Mul(c, m) }"
    )
    assert not Baseline(subject).unchecked


def test_a_total_is_the_sum_of_what_is_past_and_what_is_new():
    subject = model(
        "g (float[1, past] p, float[1, now] n, float[1, total] m) "
        "=> (float[1, K] y) { c = Concat<axis=1>(p, n) y = Mul(c, m) }"
    )
    assert not Baseline(subject).unchecked


def test_token_ids_stay_within_the_embedding():
    text = (
        "g (int64[batch, length] input_ids, int64[batch, length] attention_mask) "
        "=> (float[batch, length, 4] y) "
        "{ e = Gather(table, input_ids) m = Cast<to=1>(attention_mask) "
        "u = Unsqueeze(m, axes) y = Mul(e, u) }"
    )
    table = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    subject = model(text, table=table, axes=np.array([2], np.int64))
    feeds = feeds_for(subject, {"batch": 50, "length": 20})
    assert feeds["input_ids"].min() == 0
    assert feeds["input_ids"].max() == 5
    assert set(np.unique(feeds["attention_mask"])) == {0, 1}
    assert not Baseline(subject).unchecked


def test_sequences_optionals_and_maps_are_compared():
    text = "g (seq(float[N]) s, float[3] x) => (seq(float[N]) t) { t = SequenceInsert(s, x) }"
    other = text.replace("t = SequenceInsert(s, x)", "n = Neg(x) t = SequenceInsert(s, n)")
    baseline = Baseline(model(text))
    assert not baseline.unchecked
    assert baseline.compare(model(text)).error == 0
    assert not baseline.compare(model(other)).is_equivalent


def test_given_feeds_are_used_and_converted():
    subject = model(RELU)
    baseline = Baseline(subject, {"x": np.ones((3, 4))})
    assert baseline.feeds[0]["x"].dtype == np.float32
    np.testing.assert_array_equal(baseline.outputs[0][0], np.ones((3, 4), np.float32))


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({"z": np.ones(3)}, "no input 'z'; it has x"),
        ({}, "input 'x' is not given"),
    ],
)
def test_feeds_that_are_not_the_models_are_an_error(feeds, message):
    with pytest.raises(OnnxForgeError, match=message):
        Baseline(model(RELU), feeds)


def test_a_float_is_no_integer():
    subject = model("g (int64[N] x) => (int64[N] y) { y = Neg(x) }")
    with pytest.raises(OnnxForgeError, match="'x' is float64; the model wants int64"):
        Baseline(subject, {"x": np.array([1.5])})


def test_an_ill_conditioned_model_may_move_as_far_as_its_inputs_rounding_moves_it():
    before = model("g (float[8] x, float[8] z) => (float[8] y) { a = Sub(x, z) y = Identity(a) }")
    after = model(
        "g (float[8] x, float[8] z) => (float[8] y) <float k = {1.0000005}> "
        "{ b = Mul(x, k) a = Sub(b, z) y = Identity(a) }"
    )
    x = np.linspace(1, 2, 8, dtype=np.float32)
    feeds = {"x": x, "z": x * np.float32(0.9999)}
    comparison = Baseline(before, feeds).compare(after)
    assert comparison.error > 1e-4
    assert comparison.is_equivalent
    assert "rounding its inputs moves the original's 'y' as far" in comparison.runtime
    well = {"x": x, "z": -x}
    wrong = model(
        "g (float[8] x, float[8] z) => (float[8] y) <float k = {1.005}> "
        "{ b = Mul(x, k) a = Sub(b, z) y = Identity(a) }"
    )
    assert not Baseline(before, well).compare(wrong).is_equivalent


def test_what_is_computed_in_half_precision_may_move_as_far_as_its_rounding_moves_it():
    body = "t = Add(x, big) h = Cast<to = 10>(t) s = Cast<to = 1>(h) y = Sub(s, big)"
    header = "g (float[1000] x) => (float[1000] y) <float big = {1000}>"
    rounded = model(f"{header} {{ {body} }}")
    exact = model(f"{header} {{ h = Cast<to = 10>(x) y = Cast<to = 1>(h) }}")
    feeds = {"x": np.linspace(-1, 1, 1000, dtype=np.float32)}
    comparison = compare_models(rounded, exact, feeds)
    assert comparison.error > 1e-2
    assert comparison.is_equivalent, comparison
    assert "rounding its inputs" in comparison.runtime


def test_interfaces_must_agree():
    renamed = model("g (float[N,4] z) => (float[N,4] y) { y = Relu(z) }")
    comparison = compare_models(model(RELU), renamed)
    assert not comparison.is_equivalent
    assert "the inputs are x and z" in comparison.runtime
    retyped = model("g (double[N,4] x) => (double[N,4] y) { y = Relu(x) }")
    assert "element type of 'x'" in compare_models(model(RELU), retyped).runtime
    assert compare_models(model(RELU), model(RELU)).error == 0


def test_feeds_come_from_npy_and_npz_files(tmp_path):
    np.save(tmp_path / "x.npy", np.ones(3))
    np.savez(tmp_path / "rest.npz", z=np.zeros(2), w=np.array(["a"]))
    feeds = load_feeds([f"x={tmp_path}/x.npy", f"{tmp_path}/rest.npz"])
    assert list(feeds) == ["x", "z", "w"]
    assert feeds["w"].dtype == object
    with pytest.raises(OnnxForgeError, match="given twice"):
        load_feeds([f"x={tmp_path}/x.npy", f"x={tmp_path}/x.npy"])
    with pytest.raises(FileNotFoundError, match=r"nothing\.npy"):
        load_feeds([f"x={tmp_path}/nothing.npy"])
    np.savez(tmp_path / "objects.npz", z=np.array([None]))
    (tmp_path / "short.npz").write_bytes((tmp_path / "rest.npz").read_bytes()[:-30])
    (tmp_path / "text.npy").write_text("1 2 3")
    for odd in ("objects.npz", "short.npz", "x=text.npy"):
        name, equals, file = odd.rpartition("=")
        with pytest.raises(OnnxForgeError, match=rf"{file}: not a \.npy or \.npz file"):
            load_feeds([f"{name}{equals}{tmp_path / file}"])
    with pytest.raises(OnnxForgeError, match=r"NAME=FILE\.npy"):
        load_feeds([f"{tmp_path}/x.npy"])


class Tensor:
    """As of torch: no array, but one can be had."""

    def __array__(self, dtype=None, copy=None):
        return np.ones((2, 4), dtype)


def test_feeds_are_arrays_of_the_shapes_declared():
    subject = model(RELU)
    for given in (np.ones((2, 4)), [[1, 2, 3, 4]], Tensor()):
        assert not Baseline(subject, {"x": given}).unchecked
    for given in (np.ones(4), np.ones((2, 5)), None):
        with pytest.raises(OnnxForgeError, match="'x'"):
            Baseline(subject, {"x": given})


def test_floats_computed_in_low_precision_are_allowed_what_that_is():
    text = (
        "g (float[N,64] x) => (float[N,64] y) "
        "{ h = Cast<to=10>(x) a = Mul(h, k) b = MatMul(a, w) y = Cast<to=1>(b) }"
    )
    folded = (
        "g (float[N,64] x) => (float[N,64] y) "
        "{ h = Cast<to=10>(x) b = MatMul(h, v) y = Cast<to=1>(b) }"
    )
    random = np.random.default_rng(0)
    w = random.standard_normal((64, 64)).astype(np.float16)
    k = np.array([0.3], np.float16)
    before, after = model(text, w=w, k=k), model(folded, v=w * k)
    comparison = Baseline(before).compare(after)
    assert comparison.tolerance == 1e-2
    assert 1e-4 < comparison.error < 1e-2
    in_full = model(
        "g (float[N,64] x) => (float[N,64] y) { y = MatMul(x, u) }", u=np.float32(w) * k
    )
    assert Baseline(before).compare(in_full).tolerance == 1e-4


def test_a_quantized_model_without_float_inputs_may_flip_as_its_weights_rounding_flips_it():
    text = (
        "g (int64[N] i) => (uint8[N,512] q) { e = Gather(table, i) s = Add(e, bias) "
        "q = QuantizeLinear(s, scale, zero) }"
    )
    random = np.random.default_rng(0)
    weights = {
        "table": random.uniform(-1, 1, (9, 512)).astype(np.float32),
        "bias": random.uniform(-1, 1, 512).astype(np.float32),
        "scale": np.float32(1e-6),
        "zero": np.uint8(128),
    }
    before = model(text, **{name: np.asarray(array) for name, array in weights.items()})
    off = {**weights, "table": (weights["table"] * np.float32(1 + 3e-7))}
    after = model(text, **{name: np.asarray(array) for name, array in off.items()})
    np.testing.assert_equal(Baseline(before).compare(before).error, 0)
    assert Baseline(before).compare(after).is_equivalent
    off = {**weights, "bias": weights["bias"] * np.float32(-1)}
    after = model(text, **{name: np.asarray(array) for name, array in off.items()})
    assert not Baseline(before).compare(after).is_equivalent


def test_a_difference_of_large_constants_may_move_as_far_as_rounding_those_moves_it():
    text = (
        "g (float[N,1,4] x) => (float[N,1,4] y) "
        "{{ t = Mul(x, nothing) y = BatchNormalization(t, {}, one) }}"
    )
    numbers = {"nothing": 0.0, "one": 1.0, "shift": 1.0462021, "off": 1.0463}
    weights = {name: np.array([number], np.float32) for name, number in numbers.items()}
    before = model(text.format("one, shift, shift"), **weights)
    exact = weights["shift"] * (1 - 1 / np.sqrt(np.float64(np.float32(1)) + 1e-5))
    after = model(
        "g (float[N,1,4] x) => (float[N,1,4] y) { t = Mul(x, nothing) y = Add(t, exact) }",
        **weights,
        exact=exact.astype(np.float32),
    )
    baseline = Baseline(before)
    comparison = baseline.compare(after)
    assert comparison.is_equivalent
    assert "rounding its constants moves the original's 'y' as far" in comparison.runtime
    wrong = model(text.format("one, off, shift"), **weights)
    assert not baseline.compare(wrong).is_equivalent


def test_at_the_edge_of_what_is_defined_rounding_may_decide_whether_it_is():
    text = "g (float[64] x) => (float[64] y) {{ {} y = Acosh(r) }}"
    before = model(text.format("i = Reciprocal(x) r = Mul(x, i)"))
    after = model(text.format("r = Div(x, x)"))
    baseline = Baseline(before)
    assert np.isnan(baseline.outputs[0][0]).any()
    assert baseline.compare(after).is_equivalent
    wrong = model(text.format("i = Reciprocal(x) s = Mul(x, i) r = Neg(s)"))
    assert not baseline.compare(wrong).is_equivalent


@pytest.mark.parametrize(
    ("shape", "expected"), [("N,3,H,W", (1, 3, 64, 96)), ("N,H,W,3", (1, 64, 96, 3))]
)
def test_images_are_large_enough_to_be_scaled_down_wherever_their_channels_are(shape, expected):
    subject = model(f"g (float[{shape}] x) => (float[{shape}] y) {{ y = Relu(x) }}")
    assert feeds_for(subject, {"N": 1})["x"].shape == expected
