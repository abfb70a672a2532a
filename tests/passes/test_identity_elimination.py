from __future__ import annotations

from onnxforge.testing import check
from onnxforge_passes.identity_elimination import IdentityElimination


def test_identities_go() -> None:
    check(
        IdentityElimination(),
        before="g (float[N] x) => (float[N] y) { a = Identity(x)  b = Identity(a)  y = Relu(b) }",
        after="y = Relu(x)",
    )


def test_half_precision_identities_go() -> None:
    check(
        IdentityElimination(),
        before="g (float16[N] x) => (float16[N] y) { a = Identity(x)  y = Neg(a) }",
        after="y = Neg(x)",
    )


def test_an_output_keeps_its_name_when_its_identity_goes() -> None:
    check(
        IdentityElimination(),
        before="g (float[N] x) => (float[N] y) { a = Relu(x)  y = Identity(a) }",
        after="y = Relu(x)",
    )


def test_other_readers_follow_when_a_value_becomes_an_output() -> None:
    check(
        IdentityElimination(),
        before="g (float[N] x) => (float[N] y, float[N] z) "
        "{ a = Relu(x)  y = Identity(a)  z = Neg(a) }",
        after="""
        y = Relu(x)
        z = Neg(y)
        """,
    )


def test_an_input_that_is_returned_needs_its_identity() -> None:
    check(
        IdentityElimination(),
        before="g (float[N] x) => (float[N] y) { y = Identity(x) }",
    )


def test_a_constant_that_is_returned_needs_its_identity() -> None:
    check(
        IdentityElimination(),
        before="g (float[3] x) => (float[3] y, float[3] z) <float[3] w> "
        "{ y = Identity(w)  z = Relu(x) }",
    )


def test_a_value_returned_twice_needs_one_identity() -> None:
    check(
        IdentityElimination(),
        before="g (float[N] x) => (float[N] y, float[N] z) "
        "{ a = Relu(x)  y = Identity(a)  z = Identity(a) }",
        after="""
        y = Relu(x)
        z = Identity(y)
        """,
    )


def test_identities_in_a_body_go_but_a_body_returns_only_what_is_its_own() -> None:
    check(
        IdentityElimination(),
        before="""
        g (float[N] x, bool c) => (float[N] y) {
            y = If (c) <
                then_branch = t () => (float[N] p) { a = Identity(x)  p = Relu(a) },
                else_branch = e () => (float[N] q) { q = Identity(x) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            p = Relu(x)
          else_branch:
            q = Identity(x)
        """,
    )


def test_sequences_pass_through_too() -> None:
    check(
        IdentityElimination(),
        before="""
        g (float[N] x) => (float[M] y) {
            s = SequenceConstruct(x, x)
            t = Identity(s)
            y = ConcatFromSequence <axis = 0> (t)
        }
        """,
        after="""
        s = SequenceConstruct(x, x)
        y = ConcatFromSequence<axis=0>(s)
        """,
        opset=17,
    )


def test_an_operator_of_that_name_in_another_domain_stays() -> None:
    check(
        IdentityElimination(),
        before="""
        <ir_version: 10, opset_import: ["" : 17, "my" : 1]>
        g (float[N] x) => (float[N] y) { a = my.Identity(x)  y = Relu(a) }
        <domain: "my", opset_import: ["" : 17]>
        Identity (x) => (y) { y = Neg(x) }
        """,
    )
