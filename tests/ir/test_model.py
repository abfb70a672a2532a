"""Models: loading, names, copies, versions of the format, and what refers to values by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from onnxforge import Model, evaluate, load
from onnxforge.errors import InvalidModelError, NotConstantError
from onnxforge.testing import assert_consistent, model

TEXT = "g (float[4] x) => (float[4] y) <float[4] w> { a = Add(x, w) y = Neg(a) }"
X = np.ones(4, np.float32)


def insert(subject: Model, name: str = "a") -> None:
    """Edit the model: an Add of a new constant after a value."""
    graph = subject.graph
    old = graph.values[name]
    new = graph.add_node("Add", [old, graph.constant(np.zeros(4, np.float32))]).output
    assert graph.replace(old, new)


def test_a_model_is_loaded_from_a_file_and_from_bytes(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model(TEXT).SerializeToString())
    for subject in (load(path), Model.load(path), Model.from_bytes(path.read_bytes())):
        assert len(subject.graph) == 2
        assert subject.to_bytes() == path.read_bytes()
    assert load(path).folder == tmp_path


def test_looking_changes_no_byte() -> None:
    data = model(TEXT).SerializeToString()
    subject = Model.from_bytes(data)
    for graph in subject.graphs():
        for value in graph.values.values():
            assert value.shape is not None
        assert graph.prune() == 0
    subject.commit()
    assert subject.to_bytes() == data


def test_names_are_fresh_and_the_same_from_run_to_run() -> None:
    proto = model("g (float[4] x) => (float[4] y) { Add_1 = Neg(x) y = Neg(Add_1) }")
    names = []
    for _ in range(2):
        subject = Model(proto).copy()
        names.append([subject.fresh_name("Add") for _ in range(3)])
    assert names[0] == names[1] == ["Add_2", "Add_3", "Add_4"]


def test_fresh_names_are_free_in_bodies_functions_and_training_graphs_too() -> None:
    proto = model("""
    g (float[4] x, bool q) => (float[4] y) {
        y = If (q) <
            then_branch = t () => (float[4] n_1) { n_1 = Neg(x) },
            else_branch = e () => (float[4] n_2) { n_2 = Abs(x) }
        >
    }
    """)
    opsets = [helper.make_opsetid("", 17)]
    node = helper.make_node("Neg", ["n_3"], ["n_4"])
    proto.functions.append(helper.make_function("d", "F", ["n_3"], ["n_4"], [node], opsets))
    proto.training_info.add().algorithm.node.add(op_type="Neg", input=["x"], output=["n_5"])
    assert Model(proto).fresh_name("n") == "n_6"


def test_a_copy_is_independent() -> None:
    subject = Model(model(TEXT))
    insert(subject)
    copy = subject.copy()
    data = subject.to_bytes()
    insert(copy)
    copy.graph.values["w"].rename("other")
    assert subject.to_bytes() == data
    assert copy.to_bytes() != data
    assert "other" not in subject.graph.values
    one, two = subject.copy(), subject.copy()
    insert(one)
    insert(two)
    assert one.to_bytes() == two.to_bytes()


def test_large_new_constants_live_as_long_as_any_copy_that_has_them() -> None:
    subject = Model(model(TEXT))
    large = np.arange(1 << 18, dtype=np.float32)
    name = subject.graph.constant(large).name
    copy = subject.copy()
    del subject
    np.testing.assert_array_equal(copy.graph.values[name].numpy(), large)


def version_3() -> ModelProto:
    proto = model(TEXT)
    proto.ir_version = 3
    proto.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4]))
    proto.opset_import[0].version = 8
    return proto


def test_new_constants_of_a_model_of_version_3_are_nodes() -> None:
    subject = Model(version_3()).copy()
    insert(subject)
    proto = subject.commit()
    # At version 4 a runtime would no longer take the initializers it has for constant.
    assert proto.ir_version == 3
    assert [tensor.name for tensor in proto.graph.initializer] == ["w"]
    assert any(node.op_type == "Constant" for node in proto.graph.node)
    onnx.checker.check_model(proto, full_check=True)
    feeds = {"x": X}
    np.testing.assert_array_equal(evaluate(proto, feeds)[0], evaluate(version_3(), feeds)[0])


def test_without_new_initializers_the_version_of_the_format_stays() -> None:
    subject = Model(version_3()).copy()
    graph = subject.graph
    assert graph.replace(graph.values["a"], graph.add_node("Neg", [graph.values["a"]]).output)
    assert subject.commit().ir_version == 3
    onnx.checker.check_model(subject.commit(), full_check=True)


def test_initializers_that_a_caller_may_override_are_no_constants_until_frozen() -> None:
    subject = Model(version_3()).copy()
    w = subject.graph.values["w"]
    assert w.is_input
    assert not w.is_constant
    with pytest.raises(NotConstantError, match="'w'"):
        w.numpy()
    assert w.shape == (4,)
    assert subject.freeze() == 1
    assert w.is_constant
    assert not w.is_input
    assert [info.name for info in subject.commit().graph.input] == ["x"]
    assert subject.commit().ir_version == 4
    assert subject.freeze() == 0
    assert list(subject.graph.input_names) == ["x"]
    assert_consistent(subject.graph)


def test_an_overridable_initializer_stays_when_nothing_reads_it() -> None:
    subject = Model(version_3()).copy()
    graph = subject.graph
    assert graph.replace(graph.values["w"], graph.values["x"])
    proto = subject.commit()
    assert [info.name for info in proto.graph.input] == ["x", "w"]
    assert len(proto.graph.initializer) == 1


def test_an_initializer_that_is_an_output_stays() -> None:
    text = (
        "g (float[4] x) => (float[4] y, float[4] w) <float[4] w = {1, 2, 3, 4}> { y = Add(x, w) }"
    )
    subject = Model(model(text))
    graph = subject.graph
    w = graph.values["w"]
    assert w.is_output
    assert not graph.replace(w, graph.constant(np.zeros(4, np.float32)))
    assert not graph.replace(w, graph.add_node("Neg", [w]).output)
    graph.sweep([w])
    assert graph.values["w"] is w


def test_what_training_or_quantization_refers_to_stays_under_its_name() -> None:
    proto = model(
        "g (float[4] x) => (float[4] y) <float s = {1}, float[4] w, float u = {3}> { a = Abs(x) y = Neg(a) }"
    )
    entry = proto.graph.quantization_annotation.add(tensor_name="a")
    entry.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="s")
    info = proto.training_info.add()
    info.algorithm.node.add(op_type="Neg", input=["w"], output=["new"])
    info.update_binding.add(key="w", value="new")
    subject = Model(proto).copy()
    graph = subject.graph
    graph.sweep(list(graph.values.values()))
    assert [tensor.name for tensor in subject.commit().graph.initializer] == ["s", "w"]
    assert graph.replace(graph.values["a"], graph.add_node("Abs", [graph.values["x"]]).output)
    assert subject.commit().graph.quantization_annotation[0].tensor_name == "a"
    assert "new" in subject.names


@pytest.mark.parametrize("written", ["", "ai.onnx"])
@pytest.mark.parametrize("asked", ["", "ai.onnx"])
def test_onnx_s_own_domain_has_two_names_and_is_one(written: str, asked: str) -> None:
    proto = model(TEXT)
    proto.opset_import[0].domain = written
    proto.graph.node[0].domain = written
    subject = Model(proto).copy()
    graph = subject.graph
    old = graph.values["a"]
    node = graph.add_node("Neg", [old], domain=asked)
    assert node.domain == ""
    assert node.version == 17
    assert graph.replace(old, node.output)
    assert len(subject.commit().opset_import) == 1
    evaluate(subject.commit(), {"x": X})


def test_a_new_domain_is_imported_once() -> None:
    subject = Model(model(TEXT)).copy()
    for _ in range(2):
        subject.graph.add_node("Gelu", [subject.graph.values["x"]], domain="com.microsoft")
    imports = [(e.domain, e.version) for e in subject.commit().opset_import]
    assert imports == [("", 17), ("com.microsoft", 1)]


def test_a_model_without_imports_is_one_of_opset_1() -> None:
    proto = model(TEXT)
    proto.ir_version = 2
    del proto.opset_import[:]
    subject = Model(proto).copy()
    assert subject.graph.values["a"].producer.version == 1
    insert(subject)
    assert [(e.domain, e.version) for e in subject.commit().opset_import] == [("", 1)]


def test_a_failed_edit_leaves_no_node_behind() -> None:
    subject = Model(model(TEXT)).copy()
    graph = subject.graph
    before = subject.commit().SerializeToString()
    with pytest.raises(Exception, match=r".+"):
        graph.add_node("Cast", [graph.values["x"]], to=object())
    other = Model(model(TEXT)).graph.values["x"]
    with pytest.raises(InvalidModelError, match="another graph"):
        graph.add_node("Neg", [other], domain="com.example")
    assert subject.commit().SerializeToString() == before


def test_sparse_initializers_pass_through_and_are_read() -> None:
    proto = model("g (float[4] x) => (float[4] y) { y = Add(x, k) }".replace("k", "x"))
    sparse = proto.graph.sparse_initializer.add(dims=[4])
    sparse.values.CopyFrom(numpy_helper.from_array(np.array([2], np.float32), "k"))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.array([1], np.int64)))
    proto.graph.node[0].input[1] = "k"
    subject = Model(proto).copy()
    graph = subject.graph
    k = graph.values["k"]
    assert not k.is_constant
    assert not k.is_input
    assert graph.replace(graph.values["y"], graph.add_node("Add", [k, graph.values["x"]]).output)
    np.testing.assert_array_equal(evaluate(subject.commit(), {"x": X})[0], [1, 3, 1, 1])


def test_prune_removes_what_no_output_needs_and_keeps_what_may_have_effects() -> None:
    proto = model("""
    <ir_version: 9, opset_import: ["" : 17, "com.example" : 1]>
    g (float[4] x) => (float[4] y) <float[4] w> {
        a = Add(x, w)
        b = Neg(a)
        c = Exp(a)
        d = com.example.Print(c)
        r = RandomNormalLike(x)
        y = Neg(x)
    }
    """)
    subject = Model(proto).copy()
    assert subject.graph.prune() == 2
    assert [node.op_type for node in subject.commit().graph.node] == ["Add", "Exp", "Print", "Neg"]
    assert subject.graph.prune() == 0
    assert len(subject.commit().graph.initializer) == 1


def test_inputs_and_outputs_survive_whatever_happens() -> None:
    text = "g (float[4] x, float[4] unused) => (float[4] y, float[4] x) { y = Identity(x) }"
    subject = Model(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]>{text}'))
    graph = subject.graph
    assert not graph.replace(graph.values["x"], graph.values["unused"])
    assert not graph.replace(graph.values["x"], graph.add_node("Neg", [graph.values["x"]]).output)
    graph.sweep(list(graph.values.values()))
    assert [info.name for info in subject.commit().graph.input] == ["x", "unused"]
    assert [info.name for info in subject.commit().graph.output] == ["y", "x"]


def test_a_graph_that_declares_an_output_twice_keeps_both() -> None:
    proto = model(TEXT)
    proto.graph.output.append(proto.graph.output[0])
    subject = Model(proto).copy()
    graph = subject.graph
    y = graph.values["y"]
    assert graph.replace(y, graph.add_node("Neg", y.producer.inputs).output)
    assert [info.name for info in subject.commit().graph.output] == ["y", "y"]
    assert graph.outputs == (graph.values["y"],) * 2


def test_metadata_of_every_kind_is_left_alone() -> None:
    proto = model(TEXT)
    proto.producer_name, proto.domain, proto.model_version = "p", "d", 7
    proto.doc_string = proto.graph.doc_string = proto.graph.input[0].doc_string = "doc"
    for holder in (proto, proto.graph, proto.graph.node[1], proto.graph.input[0]):
        holder.metadata_props.add(key="k", value="v")
    proto.graph.input[0].type.denotation = "IMAGE"
    proto.graph.input[0].type.tensor_type.shape.dim[0].denotation = "DATA_BATCH"
    subject = Model(proto).copy()
    insert(subject)
    after = subject.commit()
    assert list(after.graph.input) == list(proto.graph.input)
    assert after.graph.node[-1] == proto.graph.node[1]
    assert (after.graph.doc_string, after.doc_string, after.model_version) == ("doc", "doc", 7)
    assert after.graph.metadata_props == proto.graph.metadata_props
    assert after.metadata_props == proto.metadata_props


@pytest.mark.parametrize("external_data", [False, True])
def test_the_size_of_a_model_counts_its_payloads_wherever_they_are(
    tmp_path: Path, external_data: bool
) -> None:
    text = "g (float[300] x) => (float[300] y) <float[300] w, float[300] v> { y = Add(x, w) }"
    Model(model(text)).save(tmp_path / "m.onnx", external_data=external_data)
    subject = Model.load(tmp_path / "m.onnx")
    whole = sum(each.stat().st_size for each in tmp_path.iterdir())
    assert abs(subject.nbytes - whole) < 200
    assert subject.saved == 0


def test_what_was_written_into_the_protobuf_is_saved_and_a_file_that_changed_is_not_copied(
    tmp_path: Path,
) -> None:
    path, out = tmp_path / "m.onnx", tmp_path / "o.onnx"
    proto = model("g (float[2] x) => (float[2] y) { y = Relu(x) }")
    path.write_bytes(proto.SerializeToString() + b"\x12\x04same")  # a field that comes late
    subject = Model.load(path)
    subject.save(out)
    assert out.read_bytes() == path.read_bytes()
    subject.proto.graph.node[0].op_type = "Sign"  # takes as many bytes
    subject.save(out)
    assert onnx.load(out).graph.node[0].op_type == "Sign"
    subject = Model.load(path)
    other = model("g (float[2] x) => (float[2] y) { y = Tanh(x) }")
    path.write_bytes(other.SerializeToString())
    subject.save(out)
    assert onnx.load(out).graph.node[0].op_type == "Relu"
    subject.save(path)
    assert onnx.load(path).graph.node[0].op_type == "Relu"
