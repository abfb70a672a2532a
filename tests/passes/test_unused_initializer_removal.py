from __future__ import annotations

from onnx import ModelProto, SparseTensorProto, TensorProto, helper

from onnxforge import Model, PassManager
from onnxforge.testing import check, model
from onnxforge_passes.unused_initializer_removal import UnusedInitializerRemoval


def names(result: Model) -> list[str]:
    return [tensor.name for tensor in result.to_proto().graph.initializer]


def run(proto: ModelProto) -> Model:
    result = Model(proto).copy()
    PassManager([UnusedInitializerRemoval()]).run(result)
    return result


def test_initializers_nobody_reads_go() -> None:
    result = check(
        UnusedInitializerRemoval(),
        before="g (float[4] x) => (float[4] y) <float[4] a, float16[4] b, float[4] c> "
        "{ y = Add(x, a) }",
        after="y = Add(x, *)",
    )
    assert names(result) == ["a"]


def test_initializers_in_a_body_go_and_what_a_body_reads_stays() -> None:
    result = check(
        UnusedInitializerRemoval(),
        before="""
        g (float[4] x, bool c) => (float[4] y) <float[4] a, float[4] b> {
            y = If (c) <
                then_branch = t () => (float[4] p) <float[4] u = {1.0, 2.0, 3.0, 4.0}>
                    { p = Add(x, a) },
                else_branch = e () => (float[4] q) { q = Neg(x) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            p = Add(x, *)
          else_branch:
            q = Neg(x)
        """,
    )
    assert names(result) == ["a"]
    bodies = {body.proto.name: body for node in result.graph for body in node.subgraphs}
    assert not bodies["t"].proto.initializer


def test_an_initializer_that_is_output_stays() -> None:
    result = check(
        UnusedInitializerRemoval(),
        before="g (float[4] x) => (float[4] y, float[4] a) <float[4] a> { y = Neg(x) }",
    )
    assert names(result) == ["a"]


def test_an_initializer_that_a_caller_may_override_stays() -> None:
    result = check(
        UnusedInitializerRemoval(),
        before="g (float[4] x, float[2] a = {1.0, 2.0}) => (float[4] y) { y = Neg(x) }",
    )
    assert names(result) == ["a"]


def test_an_initializer_that_a_quantization_annotation_refers_to_stays() -> None:
    proto = model("g (float[4] x) => (float[4] y) <float s, float t> { y = Neg(x) }")
    annotation = proto.graph.quantization_annotation.add(tensor_name="x")
    annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="s")
    assert names(run(proto)) == ["s"]


def test_an_initializer_that_training_updates_stays() -> None:
    proto = model("g (float[4] x) => (float[4] y) <float s, float t> { y = Neg(x) }")
    info = proto.training_info.add()
    info.update_binding.add(key="s", value="s2")
    assert names(run(proto)) == ["s"]


def test_sparse_initializers_nobody_reads_go() -> None:
    proto = model("g (float[4] x) => (float[4] y) { y = Add(x, a) }".replace("a)", "x)"))
    for name in ("u", "v"):
        proto.graph.sparse_initializer.append(
            helper.make_sparse_tensor(
                helper.make_tensor(name, TensorProto.FLOAT, [1], [2.0]),
                helper.make_tensor("", TensorProto.INT64, [1], [1]),
                [4],
            )
        )
    proto.graph.node[0].input[1] = "v"
    result = run(proto).to_proto()
    assert [sparse.values.name for sparse in result.graph.sparse_initializer] == ["v"]
    assert isinstance(result.graph.sparse_initializer[0], SparseTensorProto)
