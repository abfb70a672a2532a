from __future__ import annotations

from onnxforge.testing import check
from onnxforge_passes.common_subexpression_elimination import CommonSubexpressionElimination


def test_what_is_computed_twice_is_computed_once_all_along() -> None:
    check(
        CommonSubexpressionElimination(),
        before="""
        g (float16[N] x) => (float16[N] y) {
            a = Relu(x)  b = Relu(x)  c = Neg(a)  d = Neg(b)  y = Add(c, d)
        }
        """,
        after="""
        a = Relu(x)
        c = Neg(a)
        y = Add(c, c)
        """,
    )


def test_the_order_counts_unless_the_operator_commutes() -> None:
    check(
        CommonSubexpressionElimination(),
        before="""
        g (float[N] x, float[N] z) => (float[N] p, float[N] q) {
            a = Mul(x, z)  b = Mul(z, x)  c = Sub(x, z)  d = Sub(z, x)
            p = Add(a, c)  q = Div(b, d)
        }
        """,
        after="""
        a = Mul(x, z)
        c = Sub(x, z)
        d = Sub(z, x)
        p = Add(a, c)
        q = Div(a, d)
        """,
    )


def test_a_default_is_the_same_whether_it_is_written_or_not() -> None:
    check(
        CommonSubexpressionElimination(),
        before="g (float[N] x) => (float[N] y) "
        "{ a = LeakyRelu(x)  b = LeakyRelu<alpha = 0.01>(x)  y = Add(a, b) }",
        after="""
        a = LeakyRelu(x)
        y = Add(a, a)
        """,
    )


def test_other_attributes_are_another_thing() -> None:
    check(
        CommonSubexpressionElimination(),
        before="g (float[N] x) => (float[N] y) "
        "{ a = LeakyRelu(x)  b = LeakyRelu<alpha = 0.02>(x)  y = Add(a, b) }",
    )


def test_random_numbers_are_not_the_same_twice() -> None:
    check(
        CommonSubexpressionElimination(),
        before="""
        g (float[2] x) => (float[2] y) <float z = {0}> {
            a = RandomNormalLike(x)  b = RandomNormalLike(x)  c = Sub(a, b)  y = Mul(c, z)
        }
        """,
    )


def test_two_outputs_need_two_names() -> None:
    check(
        CommonSubexpressionElimination(),
        before="g (float[N] x) => (float[N] y, float[N] z) { y = Relu(x)  z = Relu(x) }",
    )


def test_an_output_can_be_the_one_that_stays() -> None:
    check(
        CommonSubexpressionElimination(),
        before="g (float[N] x) => (float[N] y, float[N] z) { a = Relu(x)  y = Relu(x)  z = Neg(a) }",
        after="""
        y = Relu(x)
        z = Neg(y)
        """,
    )


def test_all_outputs_of_a_node_merge() -> None:
    check(
        CommonSubexpressionElimination(),
        before="""
        g (float[2,N] x) => (float[2,N] y) <int64[2] s = {1,1}> {
            a, b = Split(x, s)  c, d = Split(x, s)  y = Concat<axis = 0>(a, d)
        }
        """,
        after="""
        a, d = Split(x, *)
        y = Concat<axis=0>(a, d)
        """,
    )


def test_a_dequantized_weight_stays_with_its_reader() -> None:
    check(
        CommonSubexpressionElimination(),
        before="""
        g (float[N] x) => (float[N] y) <int8 w = {3}, float s = {0.5}> {
            a = DequantizeLinear(w, s)  b = DequantizeLinear(w, s)  c = Mul(x, a)  y = Mul(c, b)
        }
        """,
    )


def test_a_body_reads_what_is_computed_around_it() -> None:
    check(
        CommonSubexpressionElimination(),
        before="""
        g (float[N] x, bool c) => (float[N] y) {
            a = Relu(x)
            i = If (c) <
                then_branch = t () => (float[N] p) { b = Relu(x)  p = Neg(b) },
                else_branch = e () => (float[N] q) { q = Relu(x) }
            >
            y = Add(a, i)
        }
        """,
        after="""
        a = Relu(x)
        i = If(c)
          then_branch:
            p = Neg(a)
          else_branch:
            q = Relu(x)
        y = Add(a, i)
        """,
    )


def test_branches_do_not_see_each_other_nor_what_comes_later() -> None:
    check(
        CommonSubexpressionElimination(),
        before="""
        g (float[N] x, bool c) => (float[N] y) {
            i = If (c) <
                then_branch = t () => (float[N] p) { b = Relu(x)  p = Neg(b) },
                else_branch = e () => (float[N] q) { d = Relu(x)  q = Abs(d) }
            >
            a = Relu(x)
            y = Add(a, i)
        }
        """,
    )
