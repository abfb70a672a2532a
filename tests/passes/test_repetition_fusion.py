from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.repetition_fusion import RepetitionFusion

REPEAT = """
g ({dtype}[N,{heads},S,3] x) => ({dtype}[A,B,C,D] y)
<int64[1] axes = {{{axis}}}, int64[5] to = {{{to}}}, int64[4] shape = {{{shape}}}> {{
    u = Unsqueeze(x, axes)
    e = Expand(u, to)
    y = Reshape(e, shape)
}}
"""


@pytest.mark.parametrize("dtype", ["float", "float16", "int64"])
@pytest.mark.parametrize("axis", [2, -3])
def test_heads_share_keys(dtype: str, axis: int) -> None:
    result = check(
        RepetitionFusion(),
        before=REPEAT.format(dtype=dtype, heads=2, axis=axis, to="1,2,4,1,3", shape="0,8,-1,3"),
        after="y = Gather<axis=1>(x, *)",
    )
    (indices,) = (v.numpy().tolist() for v in result.graph.initializers if v.consumers)
    assert indices == [0, 0, 0, 0, 1, 1, 1, 1]


def test_in_turns() -> None:
    result = check(
        RepetitionFusion(),
        before=REPEAT.format(dtype="float", heads=2, axis=1, to="1,3,2,1,3", shape="0,6,-1,3"),
        after="y = Gather<axis=1>(x, *)",
    )
    (indices,) = (v.numpy().tolist() for v in result.graph.initializers if v.consumers)
    assert indices == [0, 1, 0, 1, 0, 1]


def test_axes_as_an_attribute_before_opset_13() -> None:
    check(
        RepetitionFusion(),
        before="""
        g (float[N,2,3] x) => (float[A,B,C] y)
        <int64[4] to = {1,2,4,1}, int64[3] shape = {0,8,3}> {
            u = Unsqueeze <axes = [2]> (x)
            e = Expand(u, to)
            y = Reshape(e, shape)
        }
        """,
        after="y = Gather<axis=1>(x, *)",
        opset=11,
    )


def test_in_a_branch() -> None:
    check(
        RepetitionFusion(),
        before="""
        g (bool c, float[N,2,3] x, float[N,8,3] z) => (float[N,8,3] y)
        <int64[1] axes = {2}, int64[4] to = {1,2,4,1}, int64[3] shape = {0,8,3}> {
            y = If (c) <
                then_branch = t () => (float[N,8,3] v) {
                    u = Unsqueeze(x, axes)
                    e = Expand(u, to)
                    v = Reshape(e, shape)
                },
                else_branch = e () => (float[N,8,3] w) { w = Identity(z) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            v = Gather<axis=1>(x, *)
          else_branch:
            w = Identity(z)
        """,
    )


@pytest.mark.parametrize(
    ("heads", "to", "shape", "reason"),
    [
        (2, "5,2,4,1,3", "5,8,-1,3", "something else"),
        (1, "1,6,4,1,3", "0,24,-1,3", "something else"),
        (2, "1,2,4,1,3", "0,2,-1,3", "not merged with a neighbour"),
        (2, "1,2,4,1,3", "-1,4,1,6", "not merged with a neighbour"),
        (40, "1,40,4,1,3", "0,160,-1,3", "would weigh more"),
    ],
)
def test_other_shapes(heads: int, to: str, shape: str, reason: str) -> None:
    text = REPEAT.format(dtype="float", heads=heads, axis=2, to=to, shape=shape)
    if to[0] == "5":
        text = text.replace("[N,", "[1,")
    check(RepetitionFusion(), before=text, declined=reason)


def test_what_is_read_elsewhere() -> None:
    check(
        RepetitionFusion(),
        before="""
        g (float[N,2,3] x) => (float[A,B,C] y, float[A,B,D,C] e)
        <int64[1] axes = {2}, int64[4] to = {1,2,4,1}, int64[3] shape = {0,8,3}> {
            u = Unsqueeze(x, axes)
            e = Expand(u, to)
            y = Reshape(e, shape)
        }
        """,
    )


def test_sizes_that_are_unknown() -> None:
    check(
        RepetitionFusion(),
        before="""
        g (float[N,2,3] x, int64[4] to) => (float[A,B,C] y)
        <int64[1] axes = {2}, int64[3] shape = {0,-1,3}> {
            u = Unsqueeze(x, axes)
            e = Expand(u, to)
            y = Reshape(e, shape)
        }
        """,
        unchecked="",
    )
