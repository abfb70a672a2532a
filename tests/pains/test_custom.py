from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper

import onnxforge
from onnxforge import Model
from onnxforge.errors import PassOptionError
from onnxforge.testing import model
from pains.promises import graphs, nodes, optimized

IMPORTS = '<ir_version: 10, opset_import: ["" : 17, "com.example" : 1]>'


def custom(text: str) -> ModelProto:
    return onnx.parser.parse_model(IMPORTS + text)


def test_a_custom_operator_of_constants_stays_and_so_does_its_twin():
    """G77: custom_op_const_inputs; it may be random, or have a state."""
    proto = custom(
        """g (float[2] x) => (float[2] y) <float[2] k = {1,2}>
        { a = com.example.MyOp<n=3>(k) b = com.example.MyOp<n=3>(k) c = Add(a, b) y = Add(x, c) }"""
    )
    for name, result in optimized(proto, compare=None).items():
        assert len(nodes(result, "MyOp")) == 2, name


def test_a_custom_operator_nobody_reads_may_have_an_effect():
    """G77."""
    proto = custom(
        """g (float[2] x) => (float[2] y)
        { n = Neg(x) a = com.example.Print(n) y = Relu(x) }"""
    )
    for name, result in optimized(proto, compare=None).items():
        assert len(nodes(result, "Print")) == 1, name
        assert len(nodes(result, "Neg")) == 1, name


def test_an_unknown_operator_in_onnx_own_domain_is_accepted():
    """G77: custom_op_default_domain, as TensorRT's plugins are exported."""
    proto = model(
        """g (float[2] x) => (float[2] y)
        { i = Identity(x) a = EfficientNMS_TRT<score=0.5>(i) y = Relu(a) }"""
    )
    before = nodes(proto, "EfficientNMS_TRT")[0].attribute[0].SerializeToString()
    for name, result in optimized(proto, compare=None).items():
        (node,) = nodes(result, "EfficientNMS_TRT")
        assert node.attribute[0].SerializeToString() == before, name


def test_outputs_of_a_custom_operator_nobody_reads_keep_their_place():
    """G77, B51: custom_op_trailing_outputs_unused."""
    proto = custom(
        """g (float[2] x) => (float[2] y)
        { i = Identity(x) a, b, c = com.example.Three(i) y = Relu(b) }"""
    )
    for name, result in optimized(proto, compare=None).items():
        assert list(nodes(result, "Three")[0].output) == ["a", "b", "c"], name


def test_outputs_of_unknown_type_are_no_obstacle():
    """B51: output without shape."""
    proto = custom("g (float[2] x) => (y) { i = Identity(x) y = com.example.MyOp(i) }")
    optimized(proto, compare=None)


def test_everything_else_in_a_model_with_custom_operators_is_still_optimized():
    """G77."""
    proto = custom(
        """g (float[2] x) => (float[2] y) { a = com.example.MyOp(x) b = Identity(a) y = Relu(b) }"""
    )
    result = optimized(proto, compare=None)["standard"]
    assert [node.op_type for node in result.graph.node] == ["MyOp", "Relu"]


def with_metadata() -> ModelProto:
    """A model that says something wherever there is room to."""
    proto = model(
        """g (float[batch,3,4,4] x) => (float[batch,3,2,2] y)
        <float[3,3,3,3] W, float[3] s, float[3] b, float[3] m, float[3] v>
        { i = Identity(x) c = Conv(i, W) n = BatchNormalization(c, s, b, m, v) y = Relu(n) }"""
    )
    proto.producer_name, proto.producer_version = "exporter", "1.2"
    proto.domain, proto.model_version = "org.example", 7
    proto.doc_string = "of the model"
    helper.set_model_props(proto, {"stride": "32", "names": "{0: 'person'}"})
    graph = proto.graph
    graph.doc_string = "of the graph"
    graph.metadata_props.add(key="graph", value="kept")
    graph.input[0].doc_string = "of the input"
    graph.input[0].metadata_props.add(key="input", value="kept")
    graph.output[0].doc_string = "of the output"
    type = graph.input[0].type
    type.denotation = "IMAGE"
    for dim, denotation in zip(
        type.tensor_type.shape.dim,
        ("DATA_BATCH", "DATA_CHANNEL", "DATA_FEATURE", "DATA_FEATURE"),
        strict=True,
    ):
        dim.denotation = denotation
    for node in graph.node:
        node.name = f"node_{node.op_type}"
        node.doc_string = f"of {node.op_type}"
        node.metadata_props.add(key="scope", value=f"layer.{node.op_type}")
    return proto


def test_metadata_of_the_model_and_the_graph_is_kept():
    """G78: metadata_everything."""
    proto = with_metadata()
    for name, result in optimized(proto).items():
        for field in ("producer_name", "producer_version", "domain", "model_version", "doc_string"):
            assert getattr(result, field) == getattr(proto, field), (name, field)
        assert result.metadata_props == proto.metadata_props, name
        assert result.graph.metadata_props == proto.graph.metadata_props, name
        assert result.graph.doc_string == proto.graph.doc_string, name
        assert result.graph.name == proto.graph.name, name


def test_metadata_and_names_of_surviving_nodes_are_kept():
    """G78."""
    proto = with_metadata()
    before = {node.name: node for node in proto.graph.node}
    for name, result in optimized(proto).items():
        relus = [node for node in result.graph.node if node.name == "node_Relu"]
        for node in relus:
            assert node.metadata_props == before["node_Relu"].metadata_props, name
            assert node.doc_string == "of Relu", name
        convs = [node for node in result.graph.node if node.op_type == "Conv"]
        for node in convs:
            assert node.name == "node_Conv", name
            assert node.metadata_props == before["node_Conv"].metadata_props, name


def test_denotations_of_dimensions_and_types_are_kept():
    """G78: dim_denotation_and_type_denotation."""
    proto = with_metadata()
    for name, result in optimized(proto).items():
        assert result.graph.input == proto.graph.input, name
        assert result.graph.output == proto.graph.output, name


def test_a_quantization_annotation_is_kept_with_what_it_names():
    """G78."""
    proto = model(
        """g (float[2] x) => (float[2] y) <float sc = {0.5}, uint8 zp = {3}>
        { i = Identity(x) r = Relu(i) y = Neg(r) }"""
    )
    annotation = proto.graph.quantization_annotation.add(tensor_name="r")
    annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="sc")
    annotation.quant_parameter_tensor_names.add(key="ZERO_POINT_TENSOR", value="zp")
    for name, result in optimized(proto).items():
        values = {output for node in result.graph.node for output in node.output}
        if "r" in values:
            assert annotation in result.graph.quantization_annotation, name
            assert {each.name for each in result.graph.initializer} == {"sc", "zp"}, name


def test_training_information_is_kept():
    """G78."""
    proto = model("g (float[2] x) => (float[2] y) <float[2] W> { i = Identity(x) y = Add(i, W) }")
    training = proto.training_info.add()
    training.algorithm.CopyFrom(
        helper.make_graph(
            [helper.make_node("Identity", ["W"], ["W2"])],
            "algorithm",
            [],
            [helper.make_tensor_value_info("W2", TensorProto.FLOAT, [2])],
        )
    )
    training.update_binding.add(key="W", value="W2")
    for name, result in optimized(proto, compare=None).items():
        assert result.training_info == proto.training_info, name
        assert [each.name for each in result.graph.initializer] == ["W"], name


SEEDED = """
import sys
import onnx, onnxforge
model = onnx.load_from_string(sys.stdin.buffer.read())
sys.stdout.buffer.write(onnxforge.optimize(model, verify=False).to_bytes())
"""


def test_two_processes_make_the_same_bytes():
    """G84: under any PYTHONHASHSEED."""
    proto = with_metadata()
    for copies in range(3):
        for node in proto.graph.node[:4]:
            twin = copy.deepcopy(node)
            twin.name += f"_{copies}"
            for index, output in enumerate(twin.output):
                twin.output[index] = f"{output}_{copies}"
            if twin.op_type == "Relu":
                info = proto.graph.output.add()
                info.CopyFrom(proto.graph.output[0])
                info.name = twin.output[0]
            proto.graph.node.append(twin)
    made = {
        subprocess.run(
            [sys.executable, "-c", SEEDED],
            input=proto.SerializeToString(),
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(made) == 1
    assert made != {b""}


def test_a_refusal_names_the_pass_the_node_and_the_values():
    """G86: no 'Check failed, please be careful'."""

    class Wrong(onnxforge.Pass):
        def run(self, graph: onnxforge.Graph) -> int:
            relus = [node for node in graph if node.op_type == "Relu"]
            inputs = [node.inputs[0] for node in relus]
            return sum(
                graph.replace(node.output, each)
                for node, each in zip(relus, inputs, strict=True)
                if each is not None
            )

    proto = model("g (float[2] x) => (float[2] y) { a = Neg(x) b = Relu(a) y = Abs(b) }")
    changed = onnxforge.optimize(proto, Wrong(), verify="edits")
    assert changed.report is not None
    (refusal,) = changed.report.refused
    assert "'b' (b = Relu(a))" in refusal
    (step,) = [step for step in changed.report.steps if step.tally.refused]
    assert step.name == "wrong"
    assert changed.to_proto() == proto


def test_what_fails_says_which_pass_and_why():
    """C55, C57: never a number, never silence."""

    class Broken(onnxforge.Pass):
        def run(self, graph: onnxforge.Graph) -> int:
            raise KeyError(f"_Map_base::at {len(graph)}")

    proto = model("g (float[2] x) => (float[2] y) { y = Neg(x) }")
    with pytest.raises(onnxforge.OnnxForgeError, match="pass 'broken' failed: KeyError"):
        onnxforge.optimize(proto, Broken(), verify=False)


def test_checking_is_the_default_and_what_was_not_checked_is_said():
    """G89: 'check_ok' without any check."""
    proto = model("g (float[2] x) => (float[2] y) { a = Identity(x) y = Neg(a) }")
    checked = onnxforge.optimize(proto).report
    assert checked is not None
    assert checked.comparison is not None
    assert checked.comparison.is_equivalent
    assert not checked.comparison.unchecked
    unchecked = onnxforge.optimize(proto, verify=False).report
    assert unchecked is not None
    assert unchecked.comparison is None
    foreign = custom("g (float[2] x) => (float[2] y) { a = Identity(x) y = com.example.M(a) }")
    report = onnxforge.optimize(foreign).report
    assert report is not None
    assert report.comparison is not None
    assert report.comparison.unchecked


def test_an_unknown_option_is_refused_with_those_there_are():
    """G87: one set of options, for the command line and for code."""
    proto = model("g (float[2] x) => (float[2] y) { y = Neg(x) }")
    with pytest.raises(PassOptionError, match="has no option 'dtype'"):
        onnxforge.optimize(proto, "identity-elimination(dtype=float16)")
    with pytest.raises(ValueError, match="verify='yes'"):
        onnxforge.optimize(proto, verify="yes")  # type: ignore[arg-type]


def test_importing_takes_no_torch_and_no_runtime():
    """D63."""
    code = "import sys, onnxforge; print({'torch', 'onnxruntime', 'rich'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_ours_never_leaves_onnx_runtime_with_more_nodes(tmp_path: Path):
    """G81: what we make does not keep ONNX Runtime from its own fusions."""
    proto = model(
        """g (float[N,8,16] x) => (float[N,8,16] y)
        <float[16,16] W, float[16] b, float k = {1.41421356}, float one = {1}, float half = {0.5},
         float[16] s, float[16] t>
        { m = MatMul(x, W) a = Add(m, b) d = Div(a, k) e = Erf(d) f = Add(e, one) g = Mul(a, f)
          h = Mul(g, half) i = Identity(h) j = Add(i, x) y = LayerNormalization(j, s, t) }"""
    )

    def remaining(each: ModelProto) -> int:
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
        options.log_severity_level = 4
        onnxruntime.InferenceSession(
            each.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return len(onnx.load(options.optimized_model_filepath).graph.node)

    assert remaining(onnxforge.optimize(proto).to_proto()) <= remaining(proto)


def test_a_report_says_how_many_nodes_there_were_and_are():
    """G86."""
    proto = with_metadata()
    changed = onnxforge.optimize(proto, verify=False)
    assert changed.report is not None
    assert changed.report.nodes_before == 4
    assert changed.report.nodes == len(changed.graph) == 2
    assert sum(len(graph.node) for graph in graphs(changed.to_proto())) == 2


def test_a_model_optimized_in_place_is_untouched_by_an_error():
    """C56: never half done."""

    class Broken(onnxforge.Pass):
        def run(self, graph: onnxforge.Graph) -> int:
            for node in graph:
                if node.op_type == "Identity" and node.inputs[0] is not None:
                    graph.replace(node.output, node.inputs[0])
            raise RuntimeError("late")

    proto = with_metadata()
    data = proto.SerializeToString()
    with pytest.raises(onnxforge.OnnxForgeError):
        onnxforge.optimize(proto, Broken(), verify=False, in_place=True)
    assert proto.SerializeToString() == data
    subject = Model(proto)
    assert len(subject.graph) == 4
    assert np.size(subject.graph.values["W"].numpy()) == 81
