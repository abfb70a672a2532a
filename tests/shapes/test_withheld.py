"""Nodes that ONNX's inference goes wrong about, compared with what ONNX Runtime makes of them."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import parser

from onnxforge import Model
from onnxforge.runtime import evaluate
from onnxforge.shapes import dim, is_constant

N = dim("N")
BACKWARDS = "int64[1] s = {-1}, int64[1] e = {9223372036854775807}, int64[1] a = {0}"
WRONG = [
    (12, "1,1,4,4", "", "MaxPool <ceil_mode = 1, kernel_shape = [1, 2], strides = [3, 3]> (x)"),
    (18, "1,1,9", "", "AveragePool <ceil_mode = 1, kernel_shape = [1], strides = [3]> (x)"),
    (20, "1,1,8", "", 'LpPool <auto_pad = "VALID", ceil_mode = 1, kernel_shape = [1], strides = [2]> (x)'),
    (19, "1,1,2", "", 'LpPool <auto_pad = "SAME_LOWER", ceil_mode = 1, kernel_shape = [1], strides = [2]> (x)'),
    (12, "1,1,3", "", 'MaxPool <auto_pad = "SAME_UPPER", dilations = [2], kernel_shape = [3]> (x)'),
    (14, "1,1,5", "float[1,1,3] w = {1, 1, 1}", 'ConvTranspose <auto_pad = "SAME_LOWER", output_padding = [1], strides = [2]> (x, w)'),
    (20, "1", "int64[1] n = {2}", 'Resize <axes = [-1], keep_aspect_ratio_policy = "not_larger", mode = "nearest"> (x, "", "", n)'),
    (9, "3,1,2,1", "", "Squeeze <axes = [3, 1]> (x)"),
    (13, "5", f"{BACKWARDS}, int64[1] m = {{-1}}", "Slice (x, s, e, a, m)"),
    (13, "1,3,4", "float[2,4,1] w = {1, 1, 1, 1, 1, 1, 1, 1}", 'Einsum <equation = "bij,bjk->bik"> (x, w)'),
    (13, "5", BACKWARDS, "m = Constant <value_ints = [-1]> () t = Slice (x, s, e, a, m)"),
]  # fmt: skip


def model(opset, shape, constants, call):
    call = call if " = Slice" in call else f"t = {call}"
    version = {9: 4, 12: 7}.get(opset, 8)
    return parser.parse_model(
        f'<ir_version: {version}, opset_import: ["": {opset}]> g (float[{shape}] x) => (y, t)'
        f" <{constants}> {{ {call} y = Relu(t) }}"
    )


@pytest.mark.parametrize(("opset", "shape", "constants", "call"), WRONG)
def test_no_size_is_claimed_that_a_run_refutes(opset, shape, constants, call):
    proto = model(opset, shape, constants, call)
    y, t = evaluate(proto, {"x": np.ones([int(n) for n in shape.split(",")], np.float32)})
    values = Model(proto).graph.values
    for value, real in ((values["t"], t), (values["y"], y)):
        assert value.dtype == 1
        sizes = value.shape or real.shape
        assert real.shape == tuple(
            size if is_constant(size) else n for size, n in zip(sizes, real.shape, strict=True)
        )


@pytest.mark.parametrize(
    ("shape", "call", "sizes"),
    [
        ("1,3,112", "MaxPool <ceil_mode = 1, kernel_shape = [3], strides = [2]> (x)", 56),
        (
            "1,3,N",
            "MaxPool <ceil_mode = 1, kernel_shape = [3], pads = [1, 1], strides = [2]> (x)",
            -(-(N - 1) // 2) + 1,
        ),
        ("1,3,N", 'MaxPool <auto_pad = "SAME_UPPER", kernel_shape = [2]> (x)', N),
    ],
)
def test_what_all_agree_on_is_known(shape, call, sizes):
    t = Model(model(18, shape, "", call)).graph.values["t"]
    assert t.shape == (1, 3, sizes)


@pytest.mark.parametrize(("split", "shape"), [("n", None), ("l", (3, 1))])
def test_nothing_is_claimed_of_pieces_whose_axis_runtimes_do_not_agree_on(split, shape):
    proto = parser.parse_model(f"""
    <ir_version: 8, opset_import: ["": 17]>
    g (float[3,2] x) => (y) <int64 n = {{1}}, int64[2] l = {{1, 1}}> {{
        s = SplitToSequence <axis = 1, keepdims = 0> (x, {split})
        t = SequenceAt(s, n)
        y = Neg(t)
    }}
    """)
    assert Model(proto).graph.values["t"].shape == shape


@pytest.mark.parametrize(("x", "axes"), [(np.float32(1), None), (np.ones((2, 3), np.float32), 2)])
def test_how_many_axes_indices_have_is_not_said_of_a_scalar(x, axes):
    sizes = f"[{','.join(map(str, x.shape))}]" if x.ndim else ""
    proto = parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 17]> g (float{sizes} x) => (t) {{ t = NonZero(x) }}'
    )
    (t,) = evaluate(proto, {"x": np.asarray(x)})
    value = Model(proto).graph.values["t"]
    assert value.dtype == 7
    assert value.shape[0] == axes if axes else not is_constant(value.shape[0])
    assert t.shape[0] == (axes or 1)
