"""Functions put where they are called, and those that nothing calls removed."""

from __future__ import annotations

from onnxforge import Model, PassManager
from onnxforge.testing import check, model
from onnxforge_passes.function_inlining import FunctionInlining
from onnxforge_passes.unused_function_removal import UnusedFunctionRemoval

TEXT = """
<ir_version: 10, opset_import: ["" : 17, "my" : 1]>
g (float[N] x) => (float[N] y) { y = my.Outer<alpha = 0.25>(x) }
<domain: "my", opset_import: ["" : 17, "my" : 1]>
Outer <alpha>(x) => (y) { a = my.Inner(x)  y = LeakyRelu<alpha: float = @alpha>(a) }
<domain: "my", opset_import: ["" : 17]>
Inner (x) => (y) { y = Neg(x) }
<domain: "my", opset_import: ["" : 17]>
Unused (x) => (y) { y = Abs(x) }
"""


def names(subject: Model) -> list[str]:
    return [function.name for function in subject.proto.functions]


def test_functions_nobody_calls_go() -> None:
    subject = Model(model(TEXT)).copy()
    assert PassManager([UnusedFunctionRemoval()]).run(subject).changes == 1
    assert names(subject) == ["Outer", "Inner"]
    assert PassManager([UnusedFunctionRemoval()]).run(subject).changes == 0


def test_calls_are_replaced_by_what_they_do() -> None:
    subject = check(
        FunctionInlining(),
        before=TEXT,
        after="""
        t1 = Neg(x)
        y = LeakyRelu<alpha=0.25>(t1)
        """,
        unchecked="",
    )
    PassManager([UnusedFunctionRemoval()]).run(subject)
    assert names(subject) == []


def test_a_function_that_returns_its_input_leaves_an_identity_where_that_is_returned() -> None:
    check(
        FunctionInlining(),
        before="""
        <ir_version: 10, opset_import: ["" : 17, "my" : 1]>
        g (float[N] x) => (float[N] y) { y = my.Same(x) }
        <domain: "my", opset_import: ["" : 17]>
        Same (x) => (x) { }
        """,
        after="y = Identity(x)",
    )


def test_calls_in_a_body_are_replaced_too() -> None:
    check(
        FunctionInlining(),
        before="""
        <ir_version: 10, opset_import: ["" : 17, "my" : 1]>
        g (float[N] x, bool c) => (float[N] y) {
            y = If (c) <
                then_branch = t () => (float[N] p) { p = my.Minus(x) },
                else_branch = e () => (float[N] q) { q = Abs(x) }
            >
        }
        <domain: "my", opset_import: ["" : 17]>
        Minus (x) => (y) { y = Neg(x) }
        """,
        after="""
        y = If(c)
          then_branch:
            p = Neg(x)
          else_branch:
            q = Abs(x)
        """,
    )


def test_a_function_of_an_opset_with_other_operators_stays() -> None:
    subject = Model(
        model("""
        <ir_version: 10, opset_import: ["" : 17, "my" : 1]>
        g (float[N,4] x) => (float[N,4] y) { y = my.Soft(x) }
        <domain: "my", opset_import: ["" : 11]>
        Soft (x) => (y) { y = Softmax(x) }
        """)
    ).copy()
    report = PassManager([FunctionInlining()]).run(subject)
    assert report.changes == 0
    assert "opset 11" in str(report.steps[0].declined)
