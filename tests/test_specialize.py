"""Dimensions are fixed when asked for, and only then."""

import pytest
from typer.testing import CliRunner

from onnxforge import Model, OnnxForgeError, load, optimize
from onnxforge.cli import app
from onnxforge.testing import model

TEXT = """
g (float[batch,seq,8] x, float[batch,seq] m) => (float[batch,n] y) {
    s = Shape(x)
    zero = Constant<value = int64 {0}>()
    b = Gather(s, zero)
    axes = Constant<value = int64[1] {0}>()
    u = Unsqueeze(b, axes)
    rest = Constant<value = int64[1] {-1}>()
    target = Concat<axis = 0>(u, rest)
    last = Constant<value = int64[1] {2}>()
    w = Unsqueeze(m, last)
    p = Mul(x, w)
    y = Reshape(p, target)
}
"""


def shapes(subject: Model) -> list[list[object]]:
    declared = (*subject.proto.graph.input, *subject.proto.graph.output)
    dims = [info.type.tensor_type.shape.dim for info in declared]
    return [[d.dim_param or d.dim_value for d in each] for each in dims]


def test_without_being_asked_nothing_is_fixed():
    result = optimize(model(TEXT))
    assert shapes(result) == [["batch", "seq", 8], ["batch", "seq"], ["batch", "n"]]


def test_a_dimension_is_fixed_wherever_it_occurs():
    result = optimize(model(TEXT), dims={"batch": 2})
    assert shapes(result) == [[2, "seq", 8], [2, "seq"], [2, "n"]]
    assert result.report.comparison.is_equivalent


def test_a_whole_shape_fixes_the_dimensions_it_names():
    result = optimize(model(TEXT), input_shapes={"x": [1, 5, 8]})
    assert shapes(result) == [[1, 5, 8], [1, 5], [1, "n"]]


@pytest.mark.parametrize(
    ("dims", "input_shapes", "why"),
    [
        ({"width": 3}, {}, "no dimension 'width'"),
        ({"batch": 0}, {}, "from 1 to"),
        ({"batch": 2**63}, {}, "from 1 to"),
        ({}, {"z": [1]}, "no input 'z'"),
        ({}, {"x": [1, 5]}, "3 dimensions"),
        ({}, {"x": [1, 5, 9]}, "is 8, not 9"),
        ({"batch": 2}, {"x": [1, 5, 8]}, "is 2, not 1"),
    ],
)
def test_what_cannot_be_is_said(dims, input_shapes, why):
    with pytest.raises(OnnxForgeError, match=why):
        optimize(model(TEXT), dims=dims, input_shapes=input_shapes)


def test_what_is_no_tensor_stays_what_it_is():
    text = "g (seq(float[2]) s) => (float[2] y) <int64 first = {0}> { y = SequenceAt(s, first) }"
    with pytest.raises(OnnxForgeError, match="'s' is no tensor"):
        optimize(model(text), input_shapes={"s": [2]})


def test_minus_one_is_an_open_dimension():
    proto = model(TEXT)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    result = optimize(proto, input_shapes={"x": [2, 5, 8]})
    assert shapes(result)[0] == [2, 5, 8]


def test_the_command_line_fixes_too(tmp_path):
    Model(model(TEXT)).save(tmp_path / "m.onnx")
    command = ["optimize", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "o.onnx")]
    result = CliRunner().invoke(app, [*command, "--dim", "batch=3", "--input-shape", "m=3,7"])
    assert result.exit_code == 0, result.output
    assert shapes(load(tmp_path / "o.onnx"))[0] == [3, 7, 8]
    wrong = CliRunner().invoke(app, [*command, "--dim", "batch=x"])
    assert wrong.exit_code == 2
