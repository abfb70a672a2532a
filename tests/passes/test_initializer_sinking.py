from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto

import onnxforge
from onnxforge import Model, PassManager
from onnxforge.testing import NeverFired, assert_pass_is_sound, calls, check, model, models
from onnxforge_passes.initializer_sinking import InitializerSinking

IF = """
g ({dtype}[2] x, bool q{inputs}) => ({returns})
<{weights}>
{{
    {rest} = If (q) <
        then_branch = t () => ({dtype}[2] u) {{ {then} }},
        else_branch = e () => ({dtype}[2] v) {{ {other} }}
    >
}}
"""


def branches(dtype: str = "float", **parts: str) -> str:
    text = {"inputs": "", "returns": "float[2] y", "rest": "y"}
    text |= {"weights": "float[2] w", "then": "u = Add(x, w)", "other": "v = Neg(x)"} | parts
    return IF.format(dtype=dtype, **{k: v.replace("float", dtype) for k, v in text.items()})


def where(subject: Model) -> dict[str, str]:
    """What the graph is called that an initializer is in, by the initializer's name."""
    return {v.name: graph.proto.name for graph in subject.graphs() for v in graph.initializers}


def sunk(before: str | ModelProto) -> dict[str, str]:
    """Where the initializers are once the pass has been found to change nothing else."""
    proto = model(before) if isinstance(before, str) else before
    return where(check(InitializerSinking(), before=proto, after=calls(proto)))


@pytest.mark.parametrize("dtype", ["float", "float16"])
def test_what_one_branch_alone_reads_goes_there(dtype: str) -> None:
    assert sunk(branches(dtype)) == {"w": "t"}


def test_what_each_branch_alone_reads_goes_there_and_what_both_read_stays() -> None:
    text = branches(
        weights="float[2] w, float[2] k, float[2] b",
        then="a = Add(x, w) c = Add(a, w) u = Mul(c, b)",
        other="d = Add(x, k) v = Mul(d, b)",
    )
    assert sunk(text) == {"w": "t", "k": "e", "b": "g"}


def test_what_the_graph_reads_as_well_stays() -> None:
    check(InitializerSinking(), before=branches(rest="k = Add(x, w) z = Neg(k) y"))


LOOP = """
g (float[N] x, int64 n) => (float[N] y) <bool go = {1}, float[1] w, float[1] k, float[1] b> {
    y = Loop (n, go, x) <body = body (int64 i, bool c, float[N] s) => (bool d, float[N] r) {
        d = Identity(c)
        a = Add(s, w)
        e = Mul(a, k)
        r = If (c) <
            then_branch = t () => (float[N] u) { f = Mul(e, k) u = Add(f, b) },
            else_branch = e () => (float[N] v) { v = Neg(e) }
        >
    }>
}
"""


def test_it_goes_to_the_innermost_body_that_holds_all_its_readers() -> None:
    # What the Loop itself reads is read around its body.
    assert sunk(LOOP) == {"w": "body", "k": "body", "b": "t", "go": "g"}


def test_what_a_scan_alone_reads_goes_there() -> None:
    text = """
    g (float[2] s, float[3, 2] x) => (float[2] y, float[3, 2] z) <float[2] w> {
        y, z = Scan <num_scan_inputs = 1, body = b (float[2] s0, float[2] e) => (float[2] p, float[2] q) {
            p = Add(s0, w)
            q = Mul(p, e)
        }> (s, x)
    }
    """
    assert sunk(text) == {"w": "b"}


def test_what_a_body_returns_stays() -> None:
    # ONNX Runtime wants an Identity there; ONNX does not.
    proto = model(branches())
    then = next(a.g for a in proto.graph.node[0].attribute if a.name == "then_branch")
    then.output[0].name = "w"
    subject = Model(proto)
    assert PassManager([InitializerSinking()]).run(subject).changes == 0
    assert where(subject) == {"w": "g"}


def test_what_a_caller_may_override_stays() -> None:
    check(
        InitializerSinking(), before=branches(inputs=", float[2] w = {1, 2}", weights="float[2] k")
    )


def test_what_the_graph_returns_stays() -> None:
    check(InitializerSinking(), before=branches(returns="float[2] y, float[2] w"))


@pytest.mark.parametrize("role", ["annotated", "parameter"])
def test_what_a_quantization_annotation_names_stays(role: str) -> None:
    proto = model(branches())
    annotation = proto.graph.quantization_annotation.add(
        tensor_name="w" if role == "annotated" else "x"
    )
    if role == "parameter":
        annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="w")
    check(InitializerSinking(), before=proto)


def test_files_of_a_format_in_which_initializers_are_inputs_stay_as_they_are() -> None:
    proto = model(branches(), opset=7)
    proto.ir_version = 3
    subject = Model(proto)
    assert PassManager([InitializerSinking()]).run(subject).changes == 0
    assert where(subject) == {"w": "g"}


def test_bodies_of_other_operators_are_left_alone() -> None:
    text = """
    g (seq(float[2]) x) => (seq(float[2]) y) <float[2] w> {
        y = SequenceMap(x) <body = b (float[2] s) => (float[2] r) { r = Add(s, w) }>
    }
    """
    check(InitializerSinking(), before=text)
    inner = text.replace(
        "r = Add(s, w)",
        """q = ReduceMax<keepdims = 0>(s) z = Cast<to = 9>(q)
        r = If (z) <then_branch = t () => (float[2] u) { u = Add(s, w) },
                    else_branch = e () => (float[2] v) { v = Neg(s) }>""",
    )
    check(InitializerSinking(), before=inner)


def test_a_body_of_a_function_keeps_what_is_read_inside_of_it() -> None:
    text = """
    <ir_version: 10, opset_import: ["" : 17, "f" : 1]>
    g (float[2] x, bool q) => (float[2] y) { y = f.f(x, q) }
    <opset_import: ["" : 17], domain: "f">
    f (x, q) => (y) {
        y = If (q) <
            then_branch = t () => (float[2] u) <float[2] w = {1, 2}> {
                u = If (q) <
                    then_branch = i () => (float[2] a) { a = Add(x, w) },
                    else_branch = j () => (float[2] b) { b = Neg(x) }
                >
            },
            else_branch = e () => (float[2] v) { v = Neg(x) }
        >
    }
    """
    assert sunk(text) == {"w": "i"}


def test_an_edit_that_is_refused_leaves_everything_where_it_was() -> None:
    subject = Model(model(branches()))
    subject.checker = lambda *_: False
    assert InitializerSinking().run(subject.graph) == 0
    subject.checker = None
    assert where(subject) == {"w": "g"}
    assert subject.to_proto() == model(branches())


def test_no_name_is_written_anew_and_the_file_does_not_grow() -> None:
    proto = model(branches(weights="float[2] w, float[2] k", other="v = Add(x, k)"))
    optimized = onnxforge.optimize(proto, passes=[InitializerSinking()]).to_proto()
    assert calls(optimized) == calls(proto)
    assert abs(optimized.ByteSize() - proto.ByteSize()) < 8


def test_onnx_runtime_finds_external_data_of_a_body(tmp_path: Path) -> None:
    proto = model(
        branches(
            weights="float[300, 2] w",
            then="a = Add(x, w) u = ReduceMax<axes = [0], keepdims = 0>(a)",
        )
    )
    optimized = onnxforge.optimize(proto, passes=[InitializerSinking()])
    assert where(optimized) == {"w": "t"}
    path = tmp_path / "model.onnx"
    optimized.save(path, external_data=True)
    assert path.stat().st_size < 1024
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feeds = {"x": np.array([1.0, -2.0], np.float32), "q": np.array(True)}
    (found,) = session.run(None, feeds)
    np.testing.assert_array_equal(found, onnxforge.evaluate(proto, feeds)[0])


def test_standard_merges_equal_initializers_before_it_moves_them() -> None:
    proto = model(branches(weights="float[2] w, float[2] k", other="v = Mul(x, k)"))
    proto.graph.initializer[1].raw_data = proto.graph.initializer[0].raw_data
    assert list(where(onnxforge.optimize(proto)).values()) == ["g"]


def test_standard_moves_them_back_out_of_the_branch_that_is_taken() -> None:
    text = branches(weights="float[2] w, bool t = {1}", then="u = Add(x, w)").replace(
        "If (q)", "If (t)"
    )
    optimized = onnxforge.optimize(model(text))
    assert calls(optimized.to_proto()) == "y = Add(x, *)"
    assert set(where(optimized).values()) == {"g"}


def outward(proto: ModelProto) -> ModelProto:
    """The same with every initializer of a body in the main graph."""
    pending = list(proto.graph.node)
    for node in pending:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                proto.graph.initializer.extend(attribute.g.initializer)
                del attribute.g.initializer[:]
                pending.extend(attribute.g.node)
    return proto


def test_random_models_whose_bodies_read_their_constants_from_around_stay_the_same(
    recwarn: pytest.WarningsRecorder,
) -> None:
    strategy = models(prefer=["If", "Loop"]).map(outward)
    assert_pass_is_sound(InitializerSinking(), examples=50, strategy=strategy)
    assert not [each for each in recwarn if each.category is NeverFired]
