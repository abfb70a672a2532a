from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.transpose_cancellation import TransposeCancellation

X = "float[2,3,4,5] x"
DOWN = "<perm = [0, 2, 3, 1]>"
UP = "<perm = [0, 3, 1, 2]>"


def between(body: str, out: str = "float[A,B,C,D] y", more: str = "", weights: str = "") -> str:
    """A graph that transposes, does something to `t` that is called `u`, and transposes back."""
    return f"""
    g ({X}{more}) => ({out}) {weights} {{
        t = Transpose {DOWN} (x)
        {body}
        y = Transpose {UP} (u)
    }}
    """


@pytest.mark.parametrize(
    ("body", "after"),
    [
        ("u = Relu(t)", "y = Relu(x)"),
        ("p = Sigmoid(t)  u = Mul(t, p)", "t1 = Sigmoid(x)\ny = Mul(x, t1)"),
        ("u = Split <axis = -1> (t)", "y = Split<axis=1>(x)"),
        (
            "u = ReduceMax <axes = [1, -2], keepdims = 1> (t)",
            "y = ReduceMax<axes=[2,3], keepdims=1>(x)",
        ),
        ("u = Concat <axis = 3> (t, t)", "y = Concat<axis=1>(x, x)"),
        ("u = ArgMax <axis = 2> (t)", "y = ArgMax<axis=3>(x)"),
        ("u = Softmax <axis = 2> (t)", "y = Softmax<axis=3>(x)"),
        ("u = Reshape(t, s)", None),
        ("u = Softmax <axis = -1> (t)", None),
    ],
)
def test_what_is_between_two_transposes_that_undo_each_other(body: str, after: str | None) -> None:
    out = "int64[A,B,C,D] y" if "ArgMax" in body else "float[A,B,C,D] y"
    weights = "<int64[4] s = {2, 4, 5, 3}>" if "Reshape" in body else ""
    check(
        TransposeCancellation(),
        before=between(body, out=out, weights=weights),
        after=after,
        opset=17,
    )


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("3", [3, 1, 1]),
        ("5,3", [3, 1, 5]),
        ("4,5,3", [3, 4, 5]),
        ("2,1,1,3", [2, 3, 1, 1]),
        ("1", [1]),
    ],
)
def test_constants_are_transposed(shape: str, expected: list[int]) -> None:
    result = check(
        TransposeCancellation(),
        before=between("u = Add(t, w)", weights=f"<float[{shape}] w>"),
        after="y = Add(x, *)",
    )
    (tensor,) = result.to_proto().graph.initializer
    dims = list(tensor.dims)
    assert dims == expected if len(expected) in (1, 4) else dims == [1, *expected]


def test_pads_are_in_another_order() -> None:
    check(
        TransposeCancellation(),
        before=between(
            'u = Pad <mode = "reflect"> (t, p)', weights="<int64[8] p = {0, 1, 2, 0, 0, 0, 1, 2}>"
        ),
        after="y = Pad<mode=reflect>(x, *)",
    )


def test_slices_name_other_axes() -> None:
    check(
        TransposeCancellation(),
        before=between(
            "u = Slice(t, s, e, a)",
            weights="<int64[2] s = {1, 0}, int64[2] e = {3, 2}, int64[2] a = {1, -1}>",
        ),
        after="y = Slice(x, *, *, *)",
    )


def test_quantized_along_an_axis() -> None:
    check(
        TransposeCancellation(),
        before=between(
            "q = QuantizeLinear <axis = 3> (t, s, z)  u = DequantizeLinear <axis = -1> (q, s, z)",
            weights="<float[3] s, uint8[3] z>",
        ),
        after="t1 = QuantizeLinear<axis=1>(x, *, *)\ny = DequantizeLinear<axis=1>(t1, *, *)",
    )


def test_a_reduction_that_drops_its_axes() -> None:
    check(
        TransposeCancellation(),
        before=f"""
        g ({X}) => (float[2,3] y) {{
            t = Transpose {DOWN} (x)
            y = ReduceMean <axes = [1, 2], keepdims = 0> (t)
        }}
        """,
        after="y = ReduceMean<axes=[2,3], keepdims=0>(x)",
    )


def test_two_before_are_one_after() -> None:
    check(
        TransposeCancellation(),
        before=f"""
        g ({X}, float[2,3,4,5] z) => (float[2,4,5,3] y) {{
            s = Transpose {DOWN} (x)
            t = Transpose {DOWN} (z)
            y = Add(s, t)
        }}
        """,
        after=f"t1 = Add(x, z)\ny = Transpose{DOWN.replace(' ', '')}(t1)",
    )


def test_two_after_are_one_before() -> None:
    check(
        TransposeCancellation(),
        before=f"""
        g ({X}) => (float[2,4,5,3] y, float[2,4,5,3] z) {{
            a = Relu(x)
            b = Exp(a)
            y = Transpose {DOWN} (a)
            z = Transpose {DOWN} (b)
        }}
        """,
        after=f"""
        a = Relu(x)
        y = Transpose{DOWN.replace(" ", "")}(a)
        z = Exp(y)
        """,
    )


def test_what_saves_nothing_stays() -> None:
    check(
        TransposeCancellation(),
        before=f"""
        g ({X}) => (float[2,4,5,3] y) {{
            t = Transpose {DOWN} (x)
            y = Relu(t)
        }}
        """,
    )


ROOT_MEAN_SQUARE = """
    q = Pow(t, two) m = ReduceMean <axes = [-1]> (q) a = Add(m, e) r = Sqrt(a) u = Div(t, r)
"""


@pytest.mark.parametrize("spelling", ["a = Add(m, e) r = Sqrt(a)", "r = Sqrt(m)"])
def test_a_normalization_over_the_last_dimension_stays_one(spelling: str) -> None:
    body = ROOT_MEAN_SQUARE.replace("a = Add(m, e) r = Sqrt(a)", spelling)
    weights = "<float two = {2}, float e = {1}>"
    check(TransposeCancellation(), before=between(body, weights=weights))


def test_one_over_another_dimension_comes_along() -> None:
    check(
        TransposeCancellation(),
        before=between(
            ROOT_MEAN_SQUARE.replace("[-1]", "[1]"), weights="<float two = {2}, float e = {1}>"
        ),
        after="""
        t1 = Pow(x, *)
        t2 = ReduceMean<axes=[2]>(t1)
        t3 = Add(t2, *)
        t4 = Sqrt(t3)
        y = Div(x, t4)
        """,
    )


def test_readers_that_need_the_transpose_keep_it() -> None:
    check(
        TransposeCancellation(),
        before=f"""
        g ({X}) => (float[2,4,5,3] v, float[2,3,4,5] y) {{
            t = Transpose {DOWN} (x)
            v = Softmax <axis = -1> (t)
            u = Relu(t)
            y = Transpose {UP} (u)
        }}
        """,
        after=f"""
        t = Transpose{DOWN.replace(" ", "")}(x)
        v = Softmax<axis=-1>(t)
        y = Relu(x)
        """,
    )


def test_one_for_another_operand_is_less_than_two() -> None:
    check(
        TransposeCancellation(),
        before=between("u = Add(t, z)", more=", float[2,4,5,3] z"),
        after=f"t1 = Transpose{UP.replace(' ', '')}(z)\ny = Add(x, t1)",
    )


def test_a_residual_branch_comes_along() -> None:
    check(
        TransposeCancellation(),
        before=f"""
        g ({X}) => (float16[A,B,C,D] y) <float16[3] w> {{
            h = Cast <to = 10> (x)
            t = Transpose {DOWN} (h)
            r = Relu(t)
            m = Mul(r, w)
            a = Add(m, t)
            y = Transpose {UP} (a)
        }}
        """,
        after="""
        h = Cast<to=10>(x)
        t1 = Relu(h)
        t2 = Mul(t1, *)
        y = Add(t2, h)
        """,
    )


def test_symbolic_sizes_in_a_body() -> None:
    check(
        TransposeCancellation(),
        before=f"""
        g (bool c, float[N,3,H,W] x) => (float[N,3,H,W] y) {{
            y = If (c) <
                then_branch = a () => (float[N,3,H,W] p) {{
                    t = Transpose {DOWN} (x)
                    u = Relu(t)
                    p = Transpose {UP} (u)
                }},
                else_branch = b () => (float[N,3,H,W] q) {{ q = Exp(x) }}
            >
        }}
        """,
        after="""
        y = If(c)
          then_branch:
            p = Relu(x)
          else_branch:
            q = Exp(x)
        """,
    )


def test_a_tensor_and_its_own_transpose_are_not_swapped_for_ever() -> None:
    check(
        TransposeCancellation(),
        before="""
        g (float[2,4,4] x) => (float[4,2,4] y) {
            a = Relu(x)
            b = Transpose <perm=[0,2,1]> (a)
            c = Mul(b, a)
            y = Transpose <perm=[1,0,2]> (c)
        }
        """,
    )
