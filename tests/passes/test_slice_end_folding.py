from __future__ import annotations

from onnxforge.testing import check
from onnxforge_passes.slice_end_folding import SliceEndFolding


def test_up_to_the_end() -> None:
    check(
        SliceEndFolding(),
        before="""
        g (float[N,S] x) => (float[N,T] y) <int64[1] one = {1}> {
            s = Shape(x)
            e = Gather(s, one)
            y = Slice(x, one, e, one)
        }
        """,
        after="y = Slice(x, *, *, *)",
    )


def test_beyond_the_end() -> None:
    check(
        SliceEndFolding(),
        before="""
        g (float16[N,S] x) => (float16[N,T] y) <int64[1] one = {1}, int64[1] axis = {-1}> {
            s = Shape(x)
            e = Gather(s, one)
            f = Add(e, one)
            y = Slice(x, one, f, axis)
        }
        """,
        after="y = Slice(x, *, *, *)",
    )


def test_one_before_the_end_stays() -> None:
    check(
        SliceEndFolding(),
        before="""
        g (float[N,S] x) => (float[N,T] y) <int64[1] one = {1}> {
            s = Shape(x)
            e = Gather(s, one)
            f = Sub(e, one)
            y = Slice(x, one, f, one)
        }
        """,
        declined="neither known nor that of the dimension",
    )


def test_backwards_an_end_is_a_start() -> None:
    check(
        SliceEndFolding(),
        before="""
        g (float[N,S] x) => (float[N,T] y) <int64[1] one = {1}, int64[1] minus = {-1}> {
            s = Shape(x)
            e = Gather(s, one)
            y = Slice(x, minus, e, one, minus)
        }
        """,
        declined="neither known nor that of the dimension",
    )


def test_the_end_of_another_dimension_stays() -> None:
    check(
        SliceEndFolding(),
        before="""
        g (float[N,S] x) => (float[N,T] y) <int64[1] one = {1}, int64[1] zero = {0}> {
            s = Shape(x)
            e = Gather(s, zero)
            y = Slice(x, zero, e, one)
        }
        """,
        declined="neither known nor that of the dimension",
    )


def test_an_end_too_complex_to_compare_stays() -> None:
    names = [[f"{letter}{number}" for number in range(40)] for letter in "ab"]
    inputs = ", ".join(f"float[{name.upper()}] {name}" for each in names for name in each)
    check(
        SliceEndFolding(),
        before=f"""
        g ({inputs}) => (float[M] y) <int64[1] zero = {{0}}> {{
            a = Concat<axis = 0>({", ".join(names[0])})
            b = Concat<axis = 0>({", ".join(names[1])})
            s = Shape(b)
            y = Slice(a, zero, s)
        }}
        """,
    )
