from __future__ import annotations

from onnxforge.testing import check
from onnxforge_passes.shape_sharing import ShapeSharing


def test_the_batch_is_read_once() -> None:
    check(
        ShapeSharing(),
        before="""
        g (float[N,3] x) => (float[A] y, float[B] z) <int64[1] zero = {0}, float[3,5] W> {
            s = Shape(x)
            n = Gather(s, zero)
            h = MatMul(x, W)
            t = Shape(h)
            m = Gather(t, zero)
            y = ConstantOfShape(n)
            z = ConstantOfShape(m)
            out = Identity(h)
        }
        """,
        after="""
        s = Shape(x)
        n = Gather(s, *)
        h = MatMul(x, *)
        y = ConstantOfShape(n)
        z = ConstantOfShape(n)
        out = Identity(h)
        """,
    )


def test_sizes_of_another_type_or_rank_are_not_shared() -> None:
    check(
        ShapeSharing(),
        before="""
        g (float[N] x) => (int64[1] a, int32[1] b, int64 c) {
            a = Shape(x)
            b = Cast <to = 6> (a)
            c = Squeeze(a)
        }
        """,
    )


def test_unknown_sizes_are_not_equal() -> None:
    check(
        ShapeSharing(),
        before="""
        g (float[N] x, float[N] y) => (int64[2] a, int64[2] b) {
            p = NonZero(x)
            q = NonZero(y)
            a = Shape(p)
            b = Shape(q)
        }
        """,
    )


def test_what_a_reshape_computes_from_its_own_input_is_no_exception() -> None:
    check(
        ShapeSharing(),
        before="""
        g (float[N,3,M] x) => (float[3] a, float[A,B,C] y)
        <int64[1] zero = {0}, int64[1] two = {2}, int64[1] three = {3}> {
            s = Shape(x)
            n = Gather(s, zero)
            a = ConstantOfShape(n)
            h = Relu(x)
            t = Shape(h)
            p = Gather(t, zero)
            q = Gather(t, two)
            r = Concat <axis = 0> (q, p, three)
            y = Reshape(h, r)
        }
        """,
        after="""
        s = Shape(x)
        n = Gather(s, *)
        a = ConstantOfShape(n)
        h = Relu(x)
        q = Gather(s, *)
        r = Concat<axis=0>(q, n, *)
        y = Reshape(h, r)
        """,
    )
