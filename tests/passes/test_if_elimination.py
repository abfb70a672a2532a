from __future__ import annotations

import pytest
from onnx import ModelProto, TensorProto, helper

from onnxforge import Model, PassManager
from onnxforge.testing import calls, check, model
from onnxforge_passes.if_elimination import IfElimination


@pytest.mark.parametrize(("condition", "after"), [(1, "y = Neg(x)"), (0, "y = Exp(x)")])
def test_the_branch_taken_stands_for_the_if(condition: int, after: str) -> None:
    check(
        IfElimination(),
        before=f"""
        g (float[4] x) => (float[4] y) <bool c = {{{condition}}}> {{
            y = If (c) <
                then_branch = t () => (float[4] p) {{ p = Neg(x) }},
                else_branch = e () => (float[4] q) {{ q = Exp(x) }}
            >
        }}
        """,
        after=after,
    )


def test_half_precision_branches_are_inlined() -> None:
    check(
        IfElimination(),
        before="""
        g (float16[4] x) => (float16[4] y) <bool[1] c = {1}> {
            y = If (c) <
                then_branch = t () => (float16[4] p) { p = Neg(x) },
                else_branch = e () => (float16[4] q) { q = Exp(x) }
            >
        }
        """,
        after="y = Neg(x)",
    )


def test_the_condition_may_be_known_from_a_shape() -> None:
    check(
        IfElimination(),
        before="""
        g (float[N,4] x) => (float[A,B] y) {
            s = Shape(x)
            i = Constant<value_int = 1>()
            d = Gather(s, i)
            four = Constant<value_int = 4>()
            c = Equal(d, four)
            y = If (c) <
                then_branch = t () => (float[A,B] p) { p = Neg(x) },
                else_branch = e () => (float[C,D] q) { q = Exp(x) }
            >
        }
        """,
        after="y = Neg(x)",
    )


def test_a_condition_that_is_not_known_keeps_its_if() -> None:
    check(
        IfElimination(),
        before="""
        g (float[4] x, bool c) => (float[4] y) {
            y = If (c) <
                then_branch = t () => (float[4] p) { p = Neg(x) },
                else_branch = e () => (float[4] q) { q = Exp(x) }
            >
        }
        """,
    )


def test_a_condition_that_a_caller_may_override_keeps_its_if() -> None:
    check(
        IfElimination(),
        before="""
        g (float[4] x, bool c = {1}) => (float[4] y) {
            y = If (c) <
                then_branch = t () => (float[4] p) { p = Neg(x) },
                else_branch = e () => (float[4] q) { q = Exp(x) }
            >
        }
        """,
    )


def test_if_const_branch_outputs_initializer() -> None:
    check(
        IfElimination(),
        before="""
        g (float[2] x) => (float[2] y) <bool c = {1}> {
            r = If (c) <
                then_branch = t () => (float[2] w) <float[2] w = {1.0, 2.0}> { },
                else_branch = e () => (float[2] q) { q = Exp(x) }
            >
            y = Add(r, x)
        }
        """,
        after="y = Add(*, x)",
    )


def test_if_const_name_clash_after_inline() -> None:
    result = check(
        IfElimination(),
        before="""
        g (float[2] x) => (float[2] y) <bool c = {1}> {
            r = If (c) <
                then_branch = a () => (float[2] t) <float[2] w = {1.0, 2.0}> { t = Add(x, w) },
                else_branch = b () => (float[2] e) { e = Exp(x) }
            >
            s = If (c) <
                then_branch = a () => (float[2] t) <float[2] w = {3.0, 4.0}> { t = Add(x, w) },
                else_branch = b () => (float[2] e) { e = Exp(x) }
            >
            y = Mul(r, s)
        }
        """,
        after="""
        r = Add(x, *)
        s = Add(x, *)
        y = Mul(r, s)
        """,
    )
    assert len(result.graph.initializers) == 2


def test_a_branch_that_returns_an_outer_value_gives_way_to_it() -> None:
    check(
        IfElimination(),
        before="""
        g (float[4] x) => (float[4] y) <bool c = {1}> {
            a = Neg(x)
            b = If (c) <
                then_branch = t () => (float[4] a) { },
                else_branch = e () => (float[4] q) { q = Exp(x) }
            >
            y = Exp(b)
        }
        """,
        after="""
        a = Neg(x)
        y = Exp(a)
        """,
    )


@pytest.mark.parametrize("returned", ["x", "w"])
def test_an_output_that_is_an_input_or_a_constant_needs_an_identity(returned: str) -> None:
    check(
        IfElimination(),
        before=f"""
        g (float[4] x) => (float[4] y) <bool c = {{1}}, float[4] w> {{
            y = If (c) <
                then_branch = t () => (float[4] {returned}) {{ }},
                else_branch = e () => (float[4] q) {{ q = Exp(x) }}
            >
        }}
        """,
        after=f"y = Identity({'x' if returned == 'x' else '*'})",
    )


def test_an_outer_value_that_is_an_output_already_needs_an_identity() -> None:
    check(
        IfElimination(),
        before="""
        g (float[4] x) => (float[4] y, float[4] a) <bool c = {1}> {
            a = Neg(x)
            y = If (c) <
                then_branch = t () => (float[4] a) { },
                else_branch = e () => (float[4] q) { q = Exp(x) }
            >
        }
        """,
        after="""
        a = Neg(x)
        y = Identity(a)
        """,
    )


def test_an_initializer_of_a_branch_that_is_a_graph_output_needs_an_identity() -> None:
    check(
        IfElimination(),
        before="""
        g (float[2] x) => (float[2] y) <bool c = {1}> {
            y = If (c) <
                then_branch = t () => (float[2] w) <float[2] w = {1.0, 2.0}> { },
                else_branch = e () => (float[2] q) { q = Exp(x) }
            >
        }
        """,
        after="y = Identity(*)",
    )


def test_two_outputs_of_which_one_is_unused() -> None:
    check(
        IfElimination(),
        before="""
        g (float[4] x) => (float[4] y) <bool c = {1}> {
            y, z = If (c) <
                then_branch = t () => (float[4] p, float[4] r) { p = Neg(x)  r = Abs(p) },
                else_branch = e () => (float[4] q, float[4] s) { q = Exp(x)  s = Abs(q) }
            >
        }
        """,
        after="""
        y = Neg(x)
        t1 = Abs(y)
        """,
    )


def test_nested_ifs_on_constants_all_go() -> None:
    check(
        IfElimination(),
        before="""
        g (float[4] x) => (float[4] y) <bool c = {1}, bool d = {0}> {
            y = If (c) <
                then_branch = t () => (float[4] p) {
                    a = Neg(x)
                    p = If (d) <
                        then_branch = tt () => (float[4] u) { u = Abs(a) },
                        else_branch = ee () => (float[4] v) { v = Exp(a) }
                    >
                },
                else_branch = e () => (float[4] q) { q = Exp(x) }
            >
        }
        """,
        after="""
        t1 = Neg(x)
        y = Exp(t1)
        """,
    )


def test_an_inner_if_that_is_not_known_comes_along() -> None:
    check(
        IfElimination(),
        before="""
        g (float[4] x, bool d) => (float[4] y) <bool c = {1}> {
            y = If (c) <
                then_branch = t () => (float[4] p) {
                    a = Neg(x)
                    p = If (d) <
                        then_branch = tt () => (float[4] u) { u = Abs(a) },
                        else_branch = ee () => (float[4] v) { v = Exp(a) }
                    >
                },
                else_branch = e () => (float[4] q) { q = Exp(x) }
            >
        }
        """,
        after="""
        t1 = Neg(x)
        y = If(d)
          then_branch:
            u = Abs(t1)
          else_branch:
            v = Exp(t1)
        """,
    )


def test_ifs_in_the_body_of_a_loop_go() -> None:
    check(
        IfElimination(),
        before="""
        g (float[4] x, int64 n, bool go) => (float[4] y) <bool c = {1}, float[4] w> {
            y = Loop (n, go, x) <
                body = b (int64 i, bool c0, float[4] s) => (bool c1, float[4] t) {
                    t = If (c) <
                        then_branch = tt () => (float[4] u) { u = Add(s, w) },
                        else_branch = ee () => (float[4] v) { v = Exp(s) }
                    >
                    c1 = Identity(c0)
                }
            >
        }
        """,
        after="""
        y = Loop(n, go, x)
          body:
            t = Add(s, *)
            c1 = Identity(c0)
        """,
        unchecked="the rank of 's' is not known",  # it may change from one iteration to the next
    )


def test_a_sparse_initializer_of_a_branch_comes_along() -> None:
    proto: ModelProto = model("""
        g (float[4] x) => (float[4] y) <bool c = {1}> {
            y = If (c) <
                then_branch = t () => (float[4] p) { p = Add(x, x) },
                else_branch = e () => (float[4] q) { q = Exp(x) }
            >
        }
    """)
    branch = next(a.g for a in proto.graph.node[0].attribute if a.name == "then_branch")
    branch.sparse_initializer.append(
        helper.make_sparse_tensor(
            helper.make_tensor("w", TensorProto.FLOAT, [1], [2.0]),
            helper.make_tensor("", TensorProto.INT64, [1], [1]),
            [4],
        )
    )
    branch.node[0].input[1] = "w"
    result = Model(proto).copy()
    PassManager([IfElimination()]).run(result)
    (sparse,) = result.to_proto().graph.sparse_initializer
    (node,) = result.graph
    assert [value.name for value in node.inputs if value is not None] == ["x", sparse.values.name]


def test_an_if_whose_outputs_nobody_reads_is_left_to_whoever_removes_dead_nodes() -> None:
    check(
        IfElimination(),
        before="""
        g (float[4] x) => (float[4] y) <bool c = {1}> {
            r = If (c) <
                then_branch = t () => (float[4] p) { p = Neg(x) },
                else_branch = e () => (float[4] q) { q = Exp(x) }
            >
            y = Abs(x)
        }
        """,
    )


def test_a_refused_edit_leaves_the_if_and_nothing_else() -> None:
    proto = model("""
        g (float[4] x) => (float[4] y) <bool c = {1}> {
            y = If (c) <
                then_branch = t () => (float[4] p) { a = Neg(x)  p = Abs(a) },
                else_branch = e () => (float[4] q) { q = Exp(x) }
            >
        }
    """)
    result = Model(proto).copy()
    result.checker = lambda *_: False
    assert IfElimination().apply(result) == 0
    assert result.to_proto() == proto


SQUEEZE = """
g (float[B,3,T] x, float[2,3,1] w) => (float[?,?,?] y) {{
    s = Shape(x)
    i = Constant<value_int = 2>()
    t = Gather(s, i)
    one = Constant<value_int = 1>()
    c = Equal(t, one)
    z = If (c) <
        then_branch = t () => (float[B,3] p) {{ a = Constant<value_ints = [-1]>() p = Squeeze(x, a) }},
        else_branch = e () => (float[B,3,T] q) {{ q = Identity(x) }}
    >
    {readers}
}}
"""


@pytest.mark.parametrize(
    ("readers", "branch"),
    [
        ("y = Conv(z, w)", "z = Identity(x)"),
        ("y = Transpose<perm = [1,0]>(z)", "z = Squeeze(x, *)"),
        ("r = Relu(z)  y = Transpose<perm = [1,0]>(r)", "z = Squeeze(x, *)"),
        (
            "a0 = Constant<value_ints = [0]>() u = Unsqueeze(z, a0) y = Conv(u, w)",
            "z = Squeeze(x, *)",
        ),
    ],
)
def test_a_branch_of_a_rank_that_a_reader_fails_on_is_not_taken(readers: str, branch: str) -> None:
    subject = Model(model(SQUEEZE.format(readers=readers)))
    PassManager([IfElimination()]).run(subject)
    found = calls(subject.to_proto())
    assert "If" not in found
    assert branch.partition(" = ")[2].partition("(")[0] in found


def test_what_a_branch_of_another_if_asks_counts_if_all_ask() -> None:
    readers = """
    r = Shape(z)
    n = Size(r)
    two = Constant<value_int = 2>()
    d = Equal(n, two)
    k = If (d) <
        then_branch = t2 () => (float[?,?,?] m) {{ a0 = Constant<value_ints = [0]>() m = Unsqueeze(z, a0) }},
        else_branch = e2 () => (float[?,?,?] o) {{ {other} }}
    >
    y = Conv(k, w)
    """
    same = Model(model(SQUEEZE.format(readers=readers.format(other="o = Identity(z)"))))
    PassManager([IfElimination()]).run(same)
    assert [node.op_type for node in same.graph if node.op_type == "If"] == ["If", "If"]
    deeper = "a1 = Constant<value_ints = [1]>() o = Unsqueeze(z, a1)"
    subject = Model(model(SQUEEZE.format(readers=readers.format(other=deeper))))
    PassManager([IfElimination()]).run(subject)
    assert [node.op_type for node in subject.graph if node.op_type == "If"] == []


@pytest.mark.parametrize(
    "readers",
    [
        "y = Relu(z)",
        "y = Add(z, w)",
        """n = Constant<value_int = 3>()
        y = Loop (n, , z) <body = b (int64 i2, bool e2, float[?,?,?] v) =>
            (bool f2, float[?,?,?] v2) { f2 = Identity(e2) v2 = Relu(v) h = Conv(z, w) }>""",
    ],
)
def test_readers_that_take_either_rank_or_may_not_run_ask_nothing(readers: str) -> None:
    subject = Model(model(SQUEEZE.format(readers=readers)))
    PassManager([IfElimination()]).run(subject)
    assert "If" in calls(subject.to_proto())
