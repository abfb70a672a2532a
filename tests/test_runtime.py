"""The one door through which anything is computed."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto

from onnxforge import TooLongError, evaluate, load, runtime
from onnxforge.errors import EvaluationError
from onnxforge.runtime import Session, reference
from onnxforge.testing import model

X = np.array([1.0, -2.0, 3.0, 0.5], np.float32)


def test_a_model_is_evaluated_by_onnx_runtime() -> None:
    proto = model("g (float[4] x) => (float[4] y, float[4] z) { y = Neg(x) z = Abs(x) }")
    session = Session(proto)
    assert "ONNX Runtime" in session.runtime
    for outputs in (session.run({"x": X}), evaluate(proto, {"x": X}), reference(proto, {"x": X})):
        np.testing.assert_array_equal(outputs, [-X, np.abs(X)])


def test_onnx_runtime_s_own_optimizer_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    seen = []
    make = onnxruntime.InferenceSession

    def spy(data: bytes, options: onnxruntime.SessionOptions, **rest: object) -> object:
        seen.append(options.graph_optimization_level)
        return make(data, options, **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", spy)
    evaluate(model("g (float[4] x) => (float[4] y) { y = Neg(x) }"), {"x": X})
    assert seen == [onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL]


def double_trouble() -> ModelProto:
    """An operator that ONNX Runtime has no kernel for at this dtype, and the reference has."""
    return model("g (double[4] x) => (double[4] y) { y = Erf(x) }")


def test_what_onnx_runtime_refuses_the_reference_decides() -> None:
    proto = double_trouble()
    session = Session(proto)
    assert session.runtime == "ONNX's reference evaluator"
    x = X.astype(np.float64)
    expected = [math.erf(each) for each in x]
    np.testing.assert_allclose(session.run({"x": x})[0], expected)
    np.testing.assert_allclose(evaluate(proto, {"x": x})[0], expected)


def test_where_nothing_can_run_a_model_the_error_says_why_twice() -> None:
    text = '<ir_version: 9, opset_import: ["" : 17, "com.example" : 1]> g (float[4] x) => (float[4] y) { y = com.example.Mine(x) }'
    for attempt in (Session, evaluate):
        with pytest.raises(EvaluationError, match=r"(?s)ONNX Runtime refuses.*reference evaluator"):
            attempt(onnx.parser.parse_model(text))


@pytest.mark.parametrize("feeds", [{}, {"x": X[:3]}, {"x": X.astype(int)}, {"z": X}])
def test_feeds_that_do_not_fit_are_an_error(
    feeds: dict[str, np.ndarray],
) -> None:
    proto = model("g (float[4] x) => (float[4] y) { y = Neg(x) }")
    for run in (Session(proto).run, lambda feeds: evaluate(proto, feeds, fallback=False)):
        with pytest.raises(EvaluationError, match="ONNX Runtime fails"):
            run(feeds)


def test_a_failure_at_run_time_is_one_though_the_reference_would_wrap_around() -> None:
    proto = model("g (float[N] x, int64[1] i) => (float[1] y) { y = Gather(x, i) }")
    with pytest.raises(EvaluationError, match="out of data bounds"):
        evaluate(proto, {"x": X, "i": np.array([9])}, fallback=False)


def test_dtypes_that_onnx_runtime_cannot_hand_over_are_left_to_the_reference() -> None:
    proto = model("g (float[4] x) => (bfloat16[4] y) { y = Cast<to = 16>(x) }")
    (y,) = evaluate(proto, {"x": X})
    assert y.dtype.name == "bfloat16"
    np.testing.assert_array_equal(y.astype(np.float32), X)


def test_scalars_of_numpy_are_tensors_of_rank_0() -> None:
    proto = model("g (float x, bool b) => (float y) { z = Cast<to=1>(b) y = Add(x, z) }")
    assert evaluate(proto, {"x": X.max(), "b": np.bool_(True)}) == [4.0]


def test_weights_on_disk_are_mapped_wherever_they_are(tmp_path: Path) -> None:
    weight = np.arange(1 << 16, dtype=np.float32)
    proto = model("g (float[1] x) => (float[65536] y) <float[65536] w> { y = Add(x, w) }")
    proto.graph.initializer[0].raw_data = weight.tobytes()
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    subject = load(path)
    assert subject.proto.graph.initializer[0].external_data
    (y,) = evaluate(subject.proto, {"x": X[:1]}, subject.folder)
    np.testing.assert_array_equal(y, weight + 1)
    subject.save(path, external_data=True)
    again = load(path)
    np.testing.assert_array_equal(evaluate(again.proto, {"x": X[:1]}, tmp_path)[0], weight + 1)
    (y,) = reference(again.proto, {"x": X[:1]}, tmp_path)
    np.testing.assert_array_equal(y, weight + 1)


def test_weights_that_nothing_reads_keep_no_model_from_onnx_runtime(tmp_path: Path) -> None:
    proto = model("g (float[1] x) => (float[1] y) <float[65536] unread> { y = Neg(x) }")
    proto.graph.initializer[0].raw_data = bytes(4 << 16)
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    subject = load(path)
    assert "ONNX Runtime" in Session(subject.proto, subject.folder).runtime


def test_sequences_come_back_as_lists() -> None:
    proto = model("g (float[4] x) => (seq(float[4]) y) { y = SequenceConstruct(x, x) }")
    (y,) = evaluate(proto, {"x": X})
    assert isinstance(y, list)
    assert len(y) == 2


COUNTING = """
g (int64 n, float[1] x) => (float[1] y) <bool yes = {1}> {
    y = Loop (n, yes, x) <body = b (int64 i, bool go, float[1] s) => (bool again, float[1] t) {
        again = Identity(go)
        t = Add(s, x)
    }>
}
"""


@pytest.mark.parametrize("run", [evaluate, reference])
def test_a_loop_that_does_not_end_is_stopped(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "LOOP_SECONDS", 0.1)
    proto, x = model(COUNTING), np.ones(1, np.float32)
    assert run(proto, {"n": np.int64(3), "x": x}) == [4]
    with pytest.raises(TooLongError, match="may not end"):
        run(proto, {"n": np.int64(2**62), "x": x})
