from __future__ import annotations

import pytest
from onnx import ModelProto, numpy_helper

from onnxforge.testing import check, model
from onnxforge_passes.reshape_target_folding import ReshapeTargetFolding


def target(proto: ModelProto) -> list[int]:
    node = next(n for n in proto.graph.node if n.op_type == "Reshape")
    tensor = next(t for t in proto.graph.initializer if t.name == node.input[1])
    sizes: list[int] = numpy_helper.to_array(tensor).tolist()
    return sizes


def test_the_batch_is_copied() -> None:
    result = check(
        ReshapeTargetFolding(),
        before="""
        g (float[N,3,4] x) => (float[N,12] y)
        <int64[1] zero = {0}, int64[1] rest = {12}> {
            s = Shape(x)
            n = Gather(s, zero)
            t = Concat <axis = 0> (n, rest)
            y = Reshape(x, t)
        }
        """,
        after="y = Reshape(x, *)",
    )
    assert target(result.to_proto()) == [0, 12]


def test_what_follows_from_the_others_is_minus_one() -> None:
    result = check(
        ReshapeTargetFolding(),
        before="""
        g (float[N,3,4] x) => (float[M,4] y) <int64[1] zero = {0}, int64[1] four = {4}, int64[1] three = {3}> {
            s = Shape(x)
            n = Gather(s, zero)
            m = Mul(n, three)
            t = Concat <axis = 0> (m, four)
            y = Reshape(x, t)
        }
        """,
        after="y = Reshape(x, *)",
    )
    assert target(result.to_proto()) == [-1, 4]


def test_a_target_with_a_minus_one_of_its_own() -> None:
    result = check(
        ReshapeTargetFolding(),
        before="""
        g (float[N,3,H,W] x) => (float[N,3,L] y)
        <int64[1] zero = {0}, int64[1] one = {1}, int64[1] rest = {-1}> {
            s = Shape(x)
            n = Gather(s, zero)
            c = Gather(s, one)
            t = Concat <axis = 0> (n, c, rest)
            y = Reshape(x, t)
        }
        """,
        after="y = Reshape(x, *)",
    )
    assert target(result.to_proto()) == [0, 3, -1]


FLATTENED = """
g (float[N,3,H,W] x) => (float[N,L,3] y)
<int64[1] zero = {{0}}, int64[1] two = {{2}}, int64[1] three = {{3}}, int64[1] c = {{3}}> {{
    s = Shape(x)
    n = Gather(s, zero)
    h = Gather(s, two)
    w = Gather(s, three)
    l = Mul(h, w)
    t = Concat <axis = 0> (n, l, c)
    y = Reshape{attributes}(x, t)
}}
"""


@pytest.mark.parametrize("attributes", ["", " <allowzero = 1> "])
def test_minus_one_would_fail_on_an_empty_batch(attributes: str) -> None:
    check(
        ReshapeTargetFolding(),
        before=FLATTENED.format(attributes=attributes),
        declined="more than one size is unknown",
    )


def test_two_sizes_that_are_not_where_the_input_has_them() -> None:
    check(
        ReshapeTargetFolding(),
        before="""
        g (float[N,M,3] x) => (float[M,N,3] y)
        <int64[1] zero = {0}, int64[1] one = {1}, int64[1] c = {3}> {
            s = Shape(x)
            n = Gather(s, zero)
            m = Gather(s, one)
            t = Concat <axis = 0> (m, n, c)
            y = Reshape(x, t)
        }
        """,
        declined="more than one size is unknown",
    )


def test_a_literal_zero_that_is_not_a_copy_stays() -> None:
    check(
        ReshapeTargetFolding(),
        before="""
        g (float[N,3] x, int64[2] t) => (float[A,B] y) {
            y = Reshape <allowzero = 1> (x, t)
        }
        """,
        declined="more than one size is unknown",
    )


def test_allowzero_goes_where_zero_means_a_copy() -> None:
    check(
        ReshapeTargetFolding(),
        before="""
        g (float16[N,3,4] x) => (float16[N,12] y) <int64[1] zero = {0}, int64[1] rest = {12}> {
            s = Shape(x)
            n = Gather(s, zero)
            t = Concat <axis = 0> (n, rest)
            y = Reshape <allowzero = 1> (x, t)
        }
        """,
        after="y = Reshape(x, *)",
    )


def test_in_a_body() -> None:
    check(
        ReshapeTargetFolding(),
        before="""
        g (bool c, float[N,3,4] x) => (float[N,12] y) <int64[1] zero = {0}, int64[1] rest = {12}> {
            y = If (c) <
                then_branch = a () => (float[N,12] p) {
                    s = Shape(x)
                    n = Gather(s, zero)
                    t = Concat <axis = 0> (n, rest)
                    p = Reshape(x, t)
                },
                else_branch = b () => (float[N,12] q) { q = Flatten(x) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            p = Reshape(x, *)
          else_branch:
            q = Flatten(x)
        """,
    )


def test_a_constant_target_is_left_alone() -> None:
    proto = model(
        "g (float[N,3,4] x) => (float[N,12] y) <int64[2] t = {-1, 12}> { y = Reshape(x, t) }"
    )
    check(ReshapeTargetFolding(), before=proto)


def test_unless_no_size_is_ever_zero() -> None:
    result = check(
        ReshapeTargetFolding(nonempty=True),
        before=FLATTENED.format(attributes=""),
        after="y = Reshape(x, *)",
    )
    assert target(result.to_proto()) == [0, -1, 3]


def test_a_batch_beside_a_minus_one_elsewhere_is_not_empty() -> None:
    result = check(
        ReshapeTargetFolding(),
        before=FLATTENED.format(attributes="").replace("}}", "}").replace("{{", "{").rstrip()[:-1]
        .replace("=> (float[N,L,3] y)", "=> (float[N,L,3] y, float[N,K] z)")
        .replace("int64[1] c = {3}", "int64[1] c = {3}, int64[2] f = {0, -1}")
        + "z = Reshape(x, f) }",
        after="""
        y = Reshape(x, *)
        z = Reshape(x, *)
        """,
    )  # fmt: skip
    assert target(result.to_proto()) == [0, -1, 3]


def test_a_target_that_adds_dimensions_of_size_1() -> None:
    check(
        ReshapeTargetFolding(),
        before="""
        g (float[N,M] x) => (float[1,1,N,M] y) <int64[2] ones = {1, 1}> {
            s = Shape(x)
            c = Concat <axis = 0> (ones, s)
            t = Abs(c)
            y = Reshape(x, t)
        }
        """,
        after="y = Unsqueeze(x, *)",
    )


def test_a_target_that_drops_dimensions_of_size_1() -> None:
    check(
        ReshapeTargetFolding(),
        before="""
        g (float[1,N,1,M] x) => (float[N,M] y) <int64[2] kept = {1, 3}> {
            s = Shape(x)
            c = Gather(s, kept)
            t = Abs(c)
            y = Reshape <allowzero = 1> (x, t)
        }
        """,
        after="y = Squeeze(x, *)",
    )
