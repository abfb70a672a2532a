"""Functions of a model: graphs like any other, save that they have no initializers."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import FunctionProto, ModelProto, TensorProto, helper

from onnxforge import Graph, Model, Node, evaluate
from onnxforge.ir.operators import AttributeReference
from onnxforge.testing import assert_consistent

TEXT = """
<ir_version: 9, opset_import: ["" : 17, "my" : 1]>
g (float[4] x) => (float[4] y) { a = my.Scale<factor: float = 3.0>(x) y = my.Outer(a) }
<domain: "my", opset_import: ["" : 17]>
Scale<factor: float = 2.0>(x) => (y) {
    t = Constant<value_float: float = @factor>()
    u = Constant<value_float: float = 1.5>()
    v = Mul(x, u)
    y = Mul(v, t)
}
<domain: "my", opset_import: ["" : 17, "my" : 1]>
Outer(x) => (y) { y = my.Scale(x) }
"""
X = np.array([1.0, -2.0, 3.0, 0.5], np.float32)


def opened(text: str = TEXT) -> tuple[Model, ModelProto]:
    proto = onnx.parser.parse_model(text)
    return Model(proto).copy(), proto


def by_type(graph: Graph, op_type: str) -> Node:
    return next(node for node in graph if node.op_type == op_type)


def test_a_constant_in_a_function_is_a_node_ahead_of_all_others() -> None:
    subject, before = opened()
    scale = subject.functions[0]
    mul = by_type(scale, "Mul")
    new = scale.constant(np.float32(1.5))
    assert new.is_constant
    assert next(iter(scale)) is new.producer
    assert scale.replace(mul.inputs[1], new)
    subject.commit()
    for graph in subject.graphs():
        assert_consistent(graph)
    onnx.checker.check_model(subject.proto, full_check=True)
    expected, got = (evaluate(each, {"x": X})[0] for each in (before, subject.proto))
    np.testing.assert_array_equal(got, expected)


def test_large_constants_of_functions_are_read_back_and_saved() -> None:
    subject, _ = opened()
    scale = subject.functions[0]
    array = np.arange(1 << 16, dtype=np.float32)
    new = scale.constant(array)
    np.testing.assert_array_equal(new.numpy(), array)
    assert scale.replace(by_type(scale, "Mul").inputs[1], new)
    again = Model.from_bytes(subject.to_bytes())
    constant = next(iter(again.functions[0])).output
    np.testing.assert_array_equal(constant.numpy(), array)


def test_an_attribute_that_callers_set_is_no_value() -> None:
    subject, _ = opened()
    constants = [node for node in subject.functions[0] if node.op_type == "Constant"]
    referring, plain = constants
    assert referring.has_references
    assert referring.attribute("value_float") == AttributeReference("factor")
    assert not referring.output.is_constant
    assert plain.output.is_constant
    assert plain.output.numpy() == np.float32(1.5)
    assert referring.output.contents is None


def test_an_output_of_a_function_keeps_its_name() -> None:
    subject, before = opened()
    scale = subject.functions[0]
    y = scale.values["y"]
    assert scale.replace(y, scale.add_node("Mul", y.producer.inputs[::-1]).output)
    assert list(subject.commit().functions[0].output) == ["y"]
    expected, got = (evaluate(each, {"x": X})[0] for each in (before, subject.proto))
    np.testing.assert_array_equal(got, expected)


def test_a_domain_new_to_a_function_is_imported_there_and_by_the_model() -> None:
    subject, _ = opened()
    outer = subject.functions[1]
    outer.add_node("Gelu", [outer.values["x"]], domain="com.microsoft")
    function, model = (
        {e.domain: e.version for e in each.opset_import}
        for each in (subject.commit().functions[1], subject.proto)
    )
    assert function["com.microsoft"] == model["com.microsoft"] == 1


def test_what_the_model_imports_a_function_imports_at_the_same_version() -> None:
    subject, _ = opened()
    proto = subject.proto.functions[1]
    del proto.opset_import[0]
    outer = subject.functions[1]
    outer.add_node("Neg", [outer.values["x"]])
    assert outer.opset_imports == {"my": 1, "": 17}
    assert {e.domain: e.version for e in proto.opset_import} == {"my": 1, "": 17}


def swish(extra: str | None = None) -> FunctionProto:
    nodes = [helper.make_node("Sigmoid", ["x"], ["s"]), helper.make_node("Mul", ["x", "s"], ["y"])]
    opsets = [helper.make_opsetid("", 17)]
    if extra is not None:
        opsets.append(helper.make_opsetid(extra, 1))
    return helper.make_function("d", "Swish", ["x"], ["y"], nodes, opsets)


def test_a_function_is_defined_once_and_never_in_two_ways() -> None:
    subject, _ = opened()
    assert subject.define(swish())
    assert subject.define(swish())
    assert len(subject.functions) == 3
    other = swish()
    other.node[0].op_type = "Tanh"
    assert not subject.define(other)
    assert len(subject.commit().functions) == 3
    assert subject.proto.functions[2].node[0].op_type == "Sigmoid"


def test_a_function_is_the_same_whatever_domains_it_imports_for_nothing() -> None:
    subject, _ = opened()
    assert subject.define(swish())
    assert subject.define(swish("com.example"))
    other = swish()
    other.opset_import[0].version = 13
    assert not subject.define(other)


def test_a_function_that_passes_have_improved_is_still_the_one_that_was_defined() -> None:
    subject, _ = opened()
    assert subject.define(swish())
    body = subject.functions[-1]
    mul = by_type(body, "Mul")
    assert body.replace(mul.output, body.add_node("Mul", mul.inputs[::-1]).output)
    assert subject.define(swish())


def test_overloads_are_functions_of_their_own() -> None:
    subject, _ = opened()
    assert subject.define(swish())
    other = swish()
    other.overload = "fast"
    other.node[0].op_type = "HardSigmoid"
    assert subject.define(other)
    assert len(subject.functions) == 4


def test_defining_a_function_raises_the_version_of_the_format() -> None:
    proto = onnx.parser.parse_model(TEXT)
    del proto.functions[:], proto.graph.node[:], proto.opset_import[1:]
    proto.graph.node.add(op_type="Neg", input=["x"], output=["y"])
    proto.ir_version = 6
    subject = Model(proto)
    assert subject.define(swish())
    assert subject.commit().ir_version == 8


def test_functions_are_judged_by_what_they_call_whatever_their_order() -> None:
    subject, _ = opened("""
    <ir_version: 9, opset_import: ["" : 17, "my" : 1]>
    g (float[4] x) => (float[4] y) { a = my.Pure(x) b = my.Random(x) c = my.Loud(x) y = my.Self(c) }
    <domain: "my", opset_import: ["" : 17, "my" : 1]> Pure(x) => (y) { y = my.Later(x) }
    <domain: "my", opset_import: ["" : 17, "my" : 1]> Random(x) => (y) { z = my.Pure(x) y = RandomNormalLike(z) }
    <domain: "my", opset_import: ["" : 17, "other" : 1]> Loud(x) => (y) { y = other.Print(x) }
    <domain: "my", opset_import: ["" : 17, "my" : 1]> Self(x) => (y) { y = my.Self(x) }
    <domain: "my", opset_import: ["" : 17]> Later(x) => (y) { y = Neg(x) }
    """)
    known = {node.op_type: node.operator for node in subject.graph}
    found = {name: (each.deterministic, each.effects) for name, each in known.items()}
    assert found == {
        "Pure": (True, False),
        "Random": (False, False),
        "Loud": (False, True),
        "Self": (False, True),
    }


def test_what_a_function_may_do_is_judged_anew_after_an_edit() -> None:
    subject, _ = opened()
    call = by_type(subject.graph, "Scale")
    assert call.operator.deterministic
    scale = subject.functions[0]
    y = scale.values["y"]
    assert scale.replace(y, scale.add_node("RandomNormalLike", [y]).output)
    assert not call.operator.deterministic


def called(*calls: str, inputs: str = "float[4] x, float[N,4] z, double[4] d") -> Model:
    """A model whose function Inner is called by Outer and by *calls*, one after the other."""
    lines = " ".join(f"y{i} = {call}" for i, call in enumerate(calls))
    outputs = ", ".join(f"float[M] y{i}" for i in range(len(calls)))
    return opened(f"""
    <ir_version: 9, opset_import: ["" : 17, "my" : 1]> g ({inputs}) => ({outputs}) {{ {lines} }}
    <domain: "my", opset_import: ["" : 17]> Inner(x) => (y) {{ y = Neg(x) }}
    <domain: "my", opset_import: ["" : 17, "my" : 1]> Outer(x) => (y) {{ a = my.Inner(x) y = Neg(a) }}
    """)[0]


def inside(subject: Model, function: int, value: str) -> tuple[object, object]:
    found = subject.functions[function].values[value]
    return found.dtype, found.shape


def test_types_in_a_function_are_those_of_its_call() -> None:
    for first in ("x", "y"):
        subject = called("my.Outer(x)")
        for function in (0, 1):
            assert inside(subject, function, first) == (TensorProto.FLOAT, (4,))
            assert inside(subject, function, "y") == (TensorProto.FLOAT, (4,))


def test_types_in_a_function_are_what_its_calls_have_in_common() -> None:
    subject = called("my.Inner(x)", "my.Outer(x)")
    assert inside(subject, 0, "y") == (TensorProto.FLOAT, (4,))
    subject = called("my.Inner(x)", "my.Inner(z)")
    assert inside(subject, 0, "y") == (TensorProto.FLOAT, None)
    subject = called("my.Inner(x)", "my.Inner(d)")
    assert inside(subject, 0, "y") == (None, None)
    subject = called("my.Outer(d)", "my.Inner(x)")
    assert inside(subject, 1, "x") == (TensorProto.DOUBLE, (4,))
    assert inside(subject, 0, "y") == (None, None)


def test_sizes_that_calls_have_in_common() -> None:
    subject = called("my.Inner(x)", "my.Inner(z)", inputs="float[3,4] x, float[N,4] z")
    dtype, shape = inside(subject, 0, "y")
    assert dtype == TensorProto.FLOAT
    assert isinstance(shape, tuple)
    assert shape[0] != 3
    assert shape[1] == 4


def test_nothing_is_known_in_functions_that_nobody_or_only_they_call() -> None:
    subject = called("Neg(x)")
    assert inside(subject, 0, "x") == (None, None)
    text = """
    <ir_version: 9, opset_import: ["" : 17, "my" : 1]>
    g (float[4] x) => (float[4] y) { y = my.Self(x) }
    <domain: "my", opset_import: ["" : 17, "my" : 1]> Self(x) => (y) { z = my.Self(x) y = Neg(z) }
    """
    subject = opened(text)[0]
    assert inside(subject, 0, "y") == (None, None)


def test_calls_of_calls_are_followed_without_recursion() -> None:
    depth = 300
    chain = "\n".join(
        f'<domain: "my", opset_import: ["" : 17, "my" : 1]> F{i}(x) => (y) {{ y = my.F{i + 1}(x) }}'
        for i in range(depth)
    )
    subject = opened(f"""
    <ir_version: 9, opset_import: ["" : 17, "my" : 1]>
    g (float[4] x) => (float[4] y) {{ y = my.F0(x) }}
    {chain}
    <domain: "my", opset_import: ["" : 17]> F{depth}(x) => (y) {{ y = Neg(x) }}
    """)[0]
    assert inside(subject, depth, "y") == (None, None)
    assert inside(subject, 0, "x") == (TensorProto.FLOAT, (4,))


def test_once_passes_define_a_function_too_its_calls_tell_nothing() -> None:
    subject = called("my.Inner(x)")
    inner = subject.functions[0]
    assert inside(subject, 0, "y") == (TensorProto.FLOAT, (4,))
    assert isinstance(inner.proto, FunctionProto)
    assert subject.define(FunctionProto.FromString(inner.proto.SerializeToString()))
    assert inside(subject, 0, "y") == (None, None)


def test_what_a_call_that_is_gone_passed_is_not_known() -> None:
    subject, _ = opened("""
    <ir_version: 9, opset_import: ["" : 17, "my" : 1]>
    g (float[N] x, int64[K] s) => (float[M] y) {
        a = my.Once(x)
        b = Reshape(x, s)
        c = Relu(b)
        y = my.Twice(c)
    }
    <domain: "my", opset_import: ["" : 17]>
    Once(z) => (t) { t = Neg(z) }
    <domain: "my", opset_import: ["" : 17]>
    Twice(z) => (t) { t = Add(z, z) }
    """)
    once, twice = subject.functions
    assert once.values["t"].rank == 1
    assert subject.graph.replace(subject.graph.values["y"], subject.graph.values["a"])
    assert len(subject.graph) == 1
    assert twice.values["t"].shape is None
