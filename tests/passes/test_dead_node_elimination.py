from __future__ import annotations

from onnxforge import Model, PassManager
from onnxforge.testing import check, model
from onnxforge_passes.dead_node_elimination import DeadNodeElimination


def test_nodes_nobody_reads_go_with_what_only_they_read() -> None:
    result = check(
        DeadNodeElimination(),
        before="""
        g (float[N] x) => (float[N] y) <float[1] w>
        { a = Mul(x, w)  b = Neg(a)  c = Identity(b)  y = Relu(x) }
        """,
        after="y = Relu(x)",
    )
    assert not result.proto.graph.initializer


def test_a_node_with_one_output_in_use_stays() -> None:
    check(
        DeadNodeElimination(),
        before="g (float[N] x) => (float[M] v) <int64[1] k = {1}> { v, i = TopK(x, k)  a = Neg(v) }",
        after="v, i = TopK(x, *)",
    )


def test_half_precision_goes_too() -> None:
    check(
        DeadNodeElimination(),
        before="g (float16[N] x) => (float16[N] y) { a = Abs(x)  y = Neg(x) }",
        after="y = Neg(x)",
    )


def test_a_random_node_nobody_reads_goes() -> None:
    check(
        DeadNodeElimination(),
        before="g (float[N] x) => (float[N] y) { r = RandomNormalLike(x)  y = Neg(x) }",
        after="y = Neg(x)",
    )


def test_what_only_a_body_reads_stays() -> None:
    check(
        DeadNodeElimination(),
        before="""
        g (float[N] x, bool c) => (float[N] y) {
            a = Neg(x)
            y = If (c) <
                then_branch = t () => (float[N] p) { p = Relu(a) },
                else_branch = e () => (float[N] q) { q = Abs(x) }
            >
        }
        """,
    )


def test_dead_nodes_in_a_body_go_and_then_what_only_they_read_outside() -> None:
    check(
        DeadNodeElimination(),
        before="""
        g (float[N] x, bool c) => (float[N] y) {
            a = Neg(x)
            y = If (c) <
                then_branch = t () => (float[N] p) { d = Exp(a)  p = Relu(x) },
                else_branch = e () => (float[N] q) { q = Abs(x) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            p = Relu(x)
          else_branch:
            q = Abs(x)
        """,
    )


def test_an_unknown_operator_may_have_effects_and_stays() -> None:
    proto = model(
        """
        <ir_version: 10, opset_import: ["" : 17, "my" : 1]>
        g (float[N] x) => (float[N] y) { a = Neg(x)  b = my.Send(a)  y = Relu(x) }
        """
    )
    assert PassManager([DeadNodeElimination()]).run(Model(proto)).changes == 0


def test_a_custom_operator_whose_body_has_no_effects_goes() -> None:
    check(
        DeadNodeElimination(),
        before="""
        <ir_version: 10, opset_import: ["" : 17, "my" : 1]>
        g (float[N] x) => (float[N] y) { a = my.Twice(x)  y = Relu(x) }
        <domain: "my", opset_import: ["" : 17]>
        Twice (x) => (y) { y = Add(x, x) }
        """,
        after="y = Relu(x)",
    )


def test_an_unused_input_stays() -> None:
    result = check(
        DeadNodeElimination(),
        before="g (float[N] x, float[N] u) => (float[N] y) { a = Neg(u)  y = Relu(x) }",
        after="y = Relu(x)",
    )
    assert [info.name for info in result.proto.graph.input] == ["x", "u"]
