"""One call: whatever people hold a model in, what comes back is a Model, and what went in stays."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon
import onnx_ir
import pytest
from onnx import ModelProto, TensorProto, helper

import onnxforge
from onnxforge import Graph, Model, Pass, interop, runtime
from onnxforge.errors import (
    InterfaceError,
    InvalidModelError,
    NotEquivalentError,
    PassError,
    UnknownPassError,
)
from onnxforge.testing import model
from onnxforge_passes import IdentityElimination

TEXT = """
g (float[n, 300] x) => (float[n, 300] y)
<float[300] w>
{ a = Identity(x)  b = Mul(a, w)  c = Identity(b)  y = Relu(c) }
"""


class Negation(Pass):
    """A pass that is wrong, and goes behind the checker's back."""

    def run(self, graph: Graph) -> int:
        """Let the first Mul divide."""
        for node in graph:
            if node.op_type == "Mul":
                node.proto.op_type = node.op_type = "Div"
                return 1
        return 0


class Swap(Pass):
    """A pass that is wrong where it can be seen."""

    def run(self, graph: Graph) -> int:
        """Replace what a Mul gives by what it reads."""
        pairs = [(node.output, node.inputs[0]) for node in graph if node.op_type == "Mul"]
        return sum(graph.replace(old, new) for old, new in pairs if new is not None)


class Renaming(Pass):
    """A pass that breaks the interface."""

    def run(self, graph: Graph) -> int:
        """Drop the metadata."""
        found = len(graph.model.proto.metadata_props)
        del graph.model.proto.metadata_props[:]
        return found


class Failing(Pass):
    """A pass with a defect."""

    def run(self, graph: Graph) -> int:
        """Edit, then fail."""
        IdentityElimination().run(graph)
        raise ZeroDivisionError("oops")


def operators(model: Model | ModelProto) -> list[str]:
    proto = model.commit() if isinstance(model, Model) else model
    return [node.op_type for node in proto.graph.node]


def outputs(proto: ModelProto) -> Any:
    x = np.linspace(-1, 1, 600, dtype=np.float32).reshape(2, 300)
    return runtime.evaluate(proto, {"x": x})[0]


# What goes in


def as_path(proto: ModelProto, folder: Path) -> object:
    onnx.save(proto, folder / "model.onnx")
    return folder / "model.onnx"


def as_text_path(proto: ModelProto, folder: Path) -> object:
    return str(as_path(proto, folder))


def as_external(proto: ModelProto, folder: Path) -> object:
    path = folder / "model.onnx"
    copy = ModelProto.FromString(proto.SerializeToString())  # which saving changes
    onnx.save(copy, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    return path


def as_ir_with_external_data(proto: ModelProto, folder: Path) -> object:
    return onnx_ir.load(as_external(proto, folder))


SOURCES: dict[str, Callable[[ModelProto, Path], Any]] = {
    "path": as_path,
    "text": as_text_path,
    "external": as_external,
    "bytes": lambda proto, _: proto.SerializeToString(),
    "bytearray": lambda proto, _: bytearray(proto.SerializeToString()),
    "ModelProto": lambda proto, _: proto,
    "Model": lambda proto, _: Model(proto),
    "onnx_ir": lambda proto, _: onnx_ir.from_proto(proto),
    "onnx_ir with external data": as_ir_with_external_data,
    "graphsurgeon": lambda proto, _: onnx_graphsurgeon.import_onnx(proto),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_whatever_holds_a_model_is_taken_and_stays_as_it_was(kind: str, tmp_path: Path) -> None:
    original = model(TEXT)
    copy = ModelProto.FromString(original.SerializeToString())
    source = SOURCES[kind](original, tmp_path)
    optimized = onnxforge.optimize(source, "identity-elimination")
    assert operators(optimized) == ["Mul", "Relu"]
    assert optimized.report is not None
    assert optimized.report.changes == 2
    assert optimized.report.comparison is not None
    assert not optimized.report.comparison.unchecked
    np.testing.assert_array_equal(outputs(optimized.to_proto()), outputs(copy))
    assert original == copy
    if isinstance(source, Model):
        assert operators(source) == operators(copy)
    if isinstance(source, onnx_ir.Model):
        assert len(source.graph) == 4


def test_a_torch_program_is_taken() -> None:
    torch = pytest.importorskip("torch")
    layers = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2)).eval()
    x = torch.linspace(-1, 1, 128).reshape(2, 1, 8, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter announces its own future
        program = torch.onnx.export(layers, (x,), dynamo=True, optimize=False, verbose=False)
    optimized = onnxforge.optimize(program)
    assert operators(optimized) == ["Conv"]
    with torch.inference_mode():
        expected = layers(x).numpy()
    proto = optimized.to_proto()
    found = runtime.evaluate(proto, {proto.graph.input[0].name: x.numpy()})[0]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(TypeError, match=r"export it first: torch\.onnx\.export"):
        onnxforge.optimize(layers)


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(TypeError, match="a dict is no ONNX model"):
        onnxforge.optimize({})
    with pytest.raises(InvalidModelError):
        onnxforge.optimize(b"hello, world")
    with pytest.raises(FileNotFoundError):
        onnxforge.optimize("missing.onnx")


@pytest.mark.parametrize("kind", ["path", "external", "bytes", "ModelProto", "Model"])
def test_an_empty_pipeline_gives_the_same_bytes(kind: str, tmp_path: Path) -> None:
    proto = model(TEXT)
    source = SOURCES[kind](proto, tmp_path)
    data = Path(source).read_bytes() if isinstance(source, Path) else proto.SerializeToString()
    optimized = onnxforge.optimize(source, [])
    (tmp_path / "out").mkdir()
    optimized.save(tmp_path / "out" / "model.onnx")
    assert (tmp_path / "out" / "model.onnx").read_bytes() == data


# In place


def test_in_place_a_model_is_itself_what_comes_back() -> None:
    subject = Model(model(TEXT))
    assert onnxforge.optimize(subject, "identity-elimination", in_place=True) is subject
    assert operators(subject) == ["Mul", "Relu"]


def test_in_place_a_protobuf_is_changed_and_stands_alone() -> None:
    proto = model("""
        g (float[1, 1, 8, 8] x) => (float[1, 256, 1, 1] y)
        <float[256, 1, 8, 8] w, float[256] scale, float[256] b, float[256] mean, float[256] var>
        { a = Conv(x, w)  y = BatchNormalization(a, scale, b, mean, var) }
    """)
    expected = runtime.evaluate(proto, {"x": np.ones((1, 1, 8, 8), np.float32)})[0]
    onnxforge.optimize(proto, "conv-batch-norm-fusion", in_place=True)
    assert operators(proto) == ["Conv"]
    assert all(t.data_location == TensorProto.DEFAULT for t in proto.graph.initializer)
    found = runtime.evaluate(proto, {"x": np.ones((1, 1, 8, 8), np.float32)})[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["ModelProto", "Model"])
@pytest.mark.parametrize("wrong", [Negation, Failing])
def test_in_place_an_error_leaves_what_was(kind: str, wrong: type[Pass], tmp_path: Path) -> None:
    proto = model(TEXT)
    data = proto.SerializeToString()
    source = SOURCES[kind](proto, tmp_path)
    with pytest.raises((NotEquivalentError, PassError)):
        onnxforge.optimize(source, [IdentityElimination(), wrong()], in_place=True)
    assert proto.SerializeToString() == data
    again = onnxforge.optimize(source, "identity-elimination", in_place=True)
    assert operators(again) == ["Mul", "Relu"]


def test_a_file_cannot_be_optimized_in_place(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="in place"):
        onnxforge.optimize(as_path(model(TEXT), tmp_path), in_place=True)


# What is checked


def test_a_wrong_result_is_never_returned() -> None:
    with pytest.raises(NotEquivalentError, match="NOT EQUIVALENT") as caught:
        onnxforge.optimize(model(TEXT), [Negation()])
    assert caught.value.report is not None
    assert caught.value.report.changes == 1
    assert caught.value.report.comparison is not None
    assert not caught.value.report.comparison.is_equivalent


def test_a_wrong_edit_is_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    passes = [Swap(), IdentityElimination()]
    optimized = onnxforge.optimize(model(TEXT), passes, verify="edits", keep_failure=tmp_path)
    assert operators(optimized) == ["Mul", "Relu"]
    assert optimized.report is not None
    assert "changes its value" in optimized.report.refused[0]
    assert (tmp_path / "edit-1" / "before.onnx").exists()
    with pytest.raises(NotEquivalentError):
        onnxforge.optimize(model(TEXT), passes)


def test_the_edit_at_fault_is_found_and_kept(tmp_path: Path) -> None:
    passes = [IdentityElimination(), Swap()]
    with pytest.raises(NotEquivalentError, match="pass 'swap': edit 3"):
        onnxforge.optimize(model(TEXT), passes, keep_failure=tmp_path / "new")
    assert operators(onnx.load(tmp_path / "new" / "before.onnx")) == ["Mul", "Relu"]
    assert "Mul" not in operators(onnx.load(tmp_path / "new" / "after.onnx"))


def test_a_pass_that_changes_the_interface_is_found_out() -> None:
    proto = model(TEXT)
    proto.metadata_props.add(key="author", value="me")
    with pytest.raises(InterfaceError, match="author"):
        onnxforge.optimize(proto, [Renaming()])


def test_a_report_travels_between_processes() -> None:
    with pytest.raises(NotEquivalentError) as caught:
        onnxforge.optimize(model(TEXT), [Swap()])
    assert caught.value.report is not None
    copied = pickle.loads(pickle.dumps(caught.value))
    assert copied.report.to_dict() == caught.value.report.to_dict()


def test_without_verification_the_report_says_so() -> None:
    optimized = onnxforge.optimize(model(TEXT), "identity-elimination", verify=False)
    assert optimized.report is not None
    assert optimized.report.comparison is None
    assert "UNCHECKED" in str(optimized.report)


def test_inputs_of_ones_own_are_compared_on() -> None:
    # On zeros, dividing by the weights is as good as multiplying with them.
    feeds = {"x": np.zeros((3, 300), np.float32)}
    optimized = onnxforge.optimize(model(TEXT), [Negation()], feeds=feeds)
    assert operators(optimized) == ["Identity", "Div", "Identity", "Relu"]


# Options


def test_names_instances_and_lists_are_passes() -> None:
    for passes in ("identity-elimination", IdentityElimination(), ["identity-elimination"]):
        assert operators(onnxforge.optimize(model(TEXT), passes)) == ["Mul", "Relu"]
    with pytest.raises(UnknownPassError):
        onnxforge.optimize(model(TEXT), "nonsense")
    with pytest.raises(ValueError, match="'sometimes'"):
        onnxforge.optimize(model(TEXT), verify="sometimes")  # type: ignore[arg-type]


def test_rounds_are_bounded() -> None:
    optimized = onnxforge.optimize(model(TEXT), "identity-elimination", max_rounds=1)
    assert optimized.report is not None
    assert not optimized.report.settled


def test_frozen_initializers_are_no_inputs_any_more() -> None:
    proto = model(TEXT)
    proto.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [300]))
    kept = onnxforge.optimize(proto, "identity-elimination")
    assert [info.name for info in kept.proto.graph.input] == ["x", "w"]
    frozen = onnxforge.optimize(proto, "identity-elimination", freeze=True)
    assert [info.name for info in frozen.proto.graph.input] == ["x"]
    assert len(proto.graph.input) == 2


# Other libraries


def test_to_onnx_ir_and_back_is_the_same_model(tmp_path: Path) -> None:
    for source in (as_path(model(TEXT), tmp_path), as_external(model(TEXT), tmp_path)):
        there = interop.to_ir(Model.load(str(source)))
        assert isinstance(there, onnx_ir.Model)
        back = interop.from_ir(there)
        np.testing.assert_array_equal(outputs(back.to_proto()), outputs(model(TEXT)))


def test_weights_on_disk_are_mapped_into_onnx_ir_not_read(tmp_path: Path) -> None:
    path = tmp_path / "big.onnx"
    text = "g (float[50000] x) => (float[50000] y) <float[50000] w> { y = Mul(x, w) }"
    onnx.save(model(text), path)
    there = interop.to_ir(Model.load(path))
    array = there.graph.initializers["w"].const_value.numpy()
    assert not array.flags.owndata
    expected = onnx.numpy_helper.to_array(onnx.load(path).graph.initializer[0])
    np.testing.assert_array_equal(array, expected)


def test_payloads_too_large_for_protobuf_are_parked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interop, "_PARK_FROM", 1 << 17)
    text = (
        "g (float[50000] x) => (float[50000] y) <float[50000] w> { a = Identity(x)  y = Mul(a, w) }"
    )
    proto = model(text)
    data = proto.SerializeToString()
    optimized = onnxforge.optimize(proto, "identity-elimination")
    assert optimized.proto.ByteSize() < 1000
    assert proto.SerializeToString() == data, "what was given keeps its data"
    assert optimized.to_proto().graph.initializer[0] == proto.graph.initializer[0]
