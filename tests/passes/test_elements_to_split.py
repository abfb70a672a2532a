from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.elements_to_split import ElementsToSplit

SPLIT = """
a, b, c = Split <axis = {axis}> (z, ones)
q = Squeeze(a, axes)
k = Squeeze(b, axes)
v = Squeeze(c, axes)
"""
GATHERS = """
k = Gather <axis = {axis}> (z, one)
v = Gather <axis = {axis}> (z, two)
q = Gather <axis = {axis}> (z, none)
"""


def graph(body: str, axis: int, shape: str = "B,S,3,4,5", dtype: str = "float") -> str:
    """The elements of x along an axis."""
    outputs = ", ".join(f"{dtype}[A,C,D,E] {name}" for name in "qkv")
    return f"""
    g ({dtype}[{shape}] x) => ({outputs})
    <int64[3] ones = {{1,1,1}}, int64[1] axes = {{{axis}}}, int64 none = {{0}}, int64 one = {{1}},
     int64 two = {{-1}}> {{
        {body.format(axis=axis)}
    }}
    """


@pytest.mark.parametrize("dtype", ["float", "float16", "int64"])
@pytest.mark.parametrize("body", [SPLIT, GATHERS], ids=["Split", "Gather"])
def test_elements_are_parts(body: str, dtype: str) -> None:
    check(
        ElementsToSplit(),
        before=graph(body.replace("(z", "(x"), 2, dtype=dtype),
        after="""
        t1 = Reshape(x, *)
        q, k, v = Split<axis=2>(t1, *)
        """,
    )


@pytest.mark.parametrize("body", [SPLIT, GATHERS], ids=["Split", "Gather"])
def test_a_transpose_ahead_is_done_without_the_dimension(body: str) -> None:
    check(
        ElementsToSplit(),
        before=graph("z = Transpose <perm = [2,0,3,1,4]> (x)" + body, 0),
        after="""
        t1 = Reshape(x, *)
        t2 = Transpose<perm=[0,2,1,3]>(t1)
        q, k, v = Split<axis=1>(t2, *)
        """,
    )


def test_a_transpose_of_nothing_else_goes() -> None:
    check(
        ElementsToSplit(),
        before=graph("z = Transpose <perm = [2,0,1,3,4]> (x)" + SPLIT, 0),
        after="""
        t1 = Reshape(x, *)
        q, k, v = Split<axis=2>(t1, *)
        """,
    )


def test_axes_as_attributes_before_opset_13() -> None:
    body = "p, r = Split <axis=2> (x) q = Squeeze <axes = [2]> (p) k = Squeeze <axes = [-3]> (r)"
    text = graph(body + " v = Identity(q)", 2, "B,S,2,4,5")
    check(
        ElementsToSplit(),
        before=text,
        after="""
        t1 = Reshape(x, *)
        q, k = Split<axis=2, split=[4,4]>(t1)
        v = Identity(q)
        """,
        opset=11,
    )


@pytest.mark.parametrize("body", [SPLIT, GATHERS], ids=["Split", "Gather"])
@pytest.mark.parametrize("shape", ["B,S,4,5,3", "B,S,4,3,D", "B,S,3"])
def test_without_a_known_dimension_behind(body: str, shape: str) -> None:
    axis = shape.split(",").index("3")
    text = graph(body.replace("(z", "(x"), axis, shape)
    rank = len(shape.split(",")) - 1
    check(
        ElementsToSplit(),
        before=text.replace("[A,C,D,E]", f"[{','.join('ACDE'[:rank])}]"),
        declined="no dimension of known size",
    )


def test_two_gathers_cost_no_more() -> None:
    check(
        ElementsToSplit(),
        before="""
        g (float[N,2,4] x) => (float[N,4] q, float[N,4] k) <int64 none = {0}, int64 one = {1}> {
            q = Gather <axis = 1> (x, none)
            k = Gather <axis = 1> (x, one)
        }
        """,
        declined="would not save",
    )


@pytest.mark.parametrize(
    ("body", "old", "new"),
    [
        (GATHERS, "two", "one"),
        (GATHERS, "q = Gather <axis = {axis}> (z", "w = Identity(z) q = Gather <axis = {axis}> (w"),
        (SPLIT, "k = Squeeze(b, axes)", "w = Squeeze(b, axes) u = Mul(b, b) k = Add(w, w)"),
        (SPLIT, "v = Squeeze(c, axes)", "w = Identity(c) v = Squeeze(w, axes)"),
    ],
    ids=["twice", "by others", "read elsewhere", "not squeezed"],
)
def test_not_each_element_once(body: str, old: str, new: str) -> None:
    check(ElementsToSplit(), before=graph(body.replace(old, new).replace("(z", "(x"), 2))
