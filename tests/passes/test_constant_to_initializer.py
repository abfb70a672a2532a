from __future__ import annotations

from onnxforge.testing import check, model
from onnxforge_passes.constant_to_initializer import ConstantToInitializer


def test_constants_become_initializers_of_the_same_name() -> None:
    subject = check(
        ConstantToInitializer(),
        before="""
        g (float16[N] x, int64[1] s) => (float[1] y) {
            k = Constant<value = float[1] {2.0}>()  i = Constant<value_ints = [1, 2]>()
            f = Constant<value_float = 0.5>()
            t = Gather(i, s)  u = Cast<to = 1>(t)  v = Mul(u, k)  y = Add(v, f)
        }
        """,
        after="""
        t = Gather(*, s)
        u = Cast<to=1>(t)
        v = Mul(u, *)
        y = Add(v, *)
        """,
    )
    assert [value.name for value in subject.graph.initializers] == ["k", "i", "f"]


def test_what_would_grow_stays() -> None:
    numbers = ", ".join(["1"] * 64)
    check(
        ConstantToInitializer(),
        before=f"g (int64[1] s) => (int64[1] y) "
        f"{{ i = Constant<value_ints = [{numbers}]>()  y = Gather(i, s) }}",
    )


def test_what_is_returned_stays() -> None:
    check(
        ConstantToInitializer(),
        before="g (float[N] x) => (float[N] y, float k) "
        "{ k = Constant<value_float = 0.5>()  y = Mul(x, k) }",
    )


def test_bodies_keep_their_constants() -> None:
    check(
        ConstantToInitializer(),
        before="""
        g (float[N] x, bool c) => (float[N] y) {
            y = If (c) <
                then_branch = t () => (float[N] p) { k = Constant<value_float = 2.0>()  p = Mul(x, k) },
                else_branch = e () => (float[N] q) { q = Identity(x) }
            >
        }
        """,
    )


def test_an_old_file_whose_initializers_are_all_inputs_stays() -> None:
    proto = model(
        "g (float[N] x) => (float[N] y) { k = Constant<value = float {2.0}>()  y = Mul(x, k) }",
        opset=8,
    )
    proto.ir_version = 3
    check(ConstantToInitializer(), proto)
