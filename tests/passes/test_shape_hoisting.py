from __future__ import annotations

from onnxforge.testing import check
from onnxforge_passes.shape_hoisting import ShapeHoisting


def test_a_chain_of_which_only_the_shape_is_read_goes() -> None:
    check(
        ShapeHoisting(),
        before="""
        g (float[N,3] x) => (int64[2] s) { a = Relu(x)  b = Add(a, x)  s = Shape(b) }
        """,
        after="s = Shape(x)",
    )


def test_attributes_stay() -> None:
    check(
        ShapeHoisting(),
        before="g (float16[N,3] x) => (int64[1] s) { a = Relu(x)  s = Shape <end = 1> (a) }",
        after="s = Shape<end=1>(x)",
    )


def test_of_unknown_rank() -> None:
    check(
        ShapeHoisting(),
        before="g (float[N,M] x) => (int64 s) { a = Relu(x)  s = Size(a) }",
        after="s = Size(x)",
    )


def test_a_tensor_that_is_read_otherwise_keeps_its_shape() -> None:
    check(
        ShapeHoisting(),
        before="g (float[N,3] x) => (int64[2] s, float[N,3] y) { y = Relu(x)  s = Shape(y) }",
    )


def test_a_broadcast_may_change_the_shape() -> None:
    check(
        ShapeHoisting(),
        before="g (float[N,3] x, float[M,3] z) => (int64[2] s) { a = Add(x, z)  s = Shape(a) }",
    )
