from __future__ import annotations

import pytest
from onnx import ModelProto, numpy_helper

from onnxforge import Model, PassManager
from onnxforge.testing import check, model
from onnxforge_passes.view_merging import ViewMerging


def constant(proto: ModelProto) -> list[int]:
    """The second operand of the last node."""
    node = proto.graph.node[-1]
    (tensor,) = (t for t in proto.graph.initializer if t.name == node.input[1])
    numbers: list[int] = numpy_helper.to_array(tensor).tolist()
    return numbers


def test_of_two_reshapes_the_last_is_left() -> None:
    result = check(
        ViewMerging(),
        before="""
        g (float[2,3,4] x) => (float[4,6] y) <int64[3] a = {6, 2, 2}, int64[2] b = {4, -1}> {
            h = Reshape(x, a)
            y = Reshape(h, b)
        }
        """,
        after="y = Reshape(x, *)",
    )
    assert constant(result.to_proto()) == [4, -1]


def test_a_zero_copies_what_came_before_it() -> None:
    result = check(
        ViewMerging(),
        before="""
        g (float[2,3,4] x) => (float[6,4] y) <int64[3] a = {6, 2, 2}, int64[2] b = {0, -1}> {
            h = Reshape(x, a)
            y = Reshape(h, b)
        }
        """,
        after="y = Reshape(x, *)",
    )
    assert constant(result.to_proto()) == [6, 4]


def test_a_copied_batch_stays_copied() -> None:
    result = check(
        ViewMerging(),
        before="""
        g (float[N,3,4] x) => (float[N,2,6] y) <int64[3] b = {0, 2, 6}> {
            h = Flatten(x)
            y = Reshape(h, b)
        }
        """,
        after="y = Reshape(x, *)",
    )
    assert constant(result.to_proto()) == [0, 2, 6]


def test_views_that_undo_each_other_go_even_if_read_in_between() -> None:
    check(
        ViewMerging(),
        before="""
        g (float[N,3,4] x) => (float[N,12] h, float[N,3,4] z) <int64[3] b = {0, 3, 4}> {
            h = Flatten(x)
            y = Reshape(h, b)
            z = Relu(y)
        }
        """,
        after="""
        h = Flatten(x)
        z = Relu(x)
        """,
    )


def test_what_is_read_in_between_stays() -> None:
    check(
        ViewMerging(),
        before="""
        g (float[N,3,4] x) => (float[N,12] h, float[N,2,6] y) <int64[3] b = {0, 2, 6}> {
            h = Flatten(x)
            y = Reshape(h, b)
        }
        """,
    )


def test_negative_axes_count_from_the_end_of_what_they_are_applied_to() -> None:
    result = check(
        ViewMerging(),
        before="""
        g (float[1,3,1,4,1] x) => (float[1,3,4] y) <int64[1] a = {-1}, int64[1] b = {-2}> {
            h = Squeeze(x, a)
            y = Squeeze(h, b)
        }
        """,
        after="y = Squeeze(x, *)",
    )
    assert constant(result.to_proto()) == [2, 4]


def test_unsqueezes() -> None:
    result = check(
        ViewMerging(),
        before="""
        g (float16[N,M] x) => (float16[N,1,M,1] y) <int64[1] a = {-1}, int64[1] b = {1}> {
            h = Unsqueeze(x, a)
            y = Unsqueeze(h, b)
        }
        """,
        after="y = Unsqueeze(x, *)",
    )
    assert constant(result.to_proto()) == [1, 3]


def test_axes_as_attributes() -> None:
    check(
        ViewMerging(),
        before="""
        g (float[N,M] x) => (float[N,1,M,1] y) {
            h = Unsqueeze <axes = [2]> (x)
            y = Unsqueeze <axes = [1]> (h)
        }
        """,
        after="y = Unsqueeze<axes=[1,3]>(x)",
        opset=11,
    )


def test_what_is_squeezed_is_unsqueezed() -> None:
    check(
        ViewMerging(),
        before="""
        g (float[N,1,M] x) => (float[N,1,M] y) <int64[1] a = {1}> {
            h = Squeeze(x, a)
            i = Unsqueeze(h, a)
            y = Relu(i)
        }
        """,
        after="y = Relu(x)",
    )


def test_squeezed_here_and_unsqueezed_there() -> None:
    result = check(
        ViewMerging(),
        before="""
        g (float[N,1,M] x) => (float[N,M,1] y) <int64[1] a = {1}, int64[1] b = {2}> {
            h = Squeeze(x, a)
            y = Unsqueeze(h, b)
        }
        """,
        after=None,
        declined="cannot be written",
    )
    assert len(result.proto.graph.node) == 2


def test_a_transpose_of_what_has_one_row_keeps_the_order() -> None:
    result = check(
        ViewMerging(),
        before="""
        g (float[N,1,6] x) => (float[N,2,3] y) <int64[3] b = {0, 2, 3}> {
            h = Transpose <perm = [0, 2, 1]> (x)
            y = Reshape(h, b)
        }
        """,
        after="y = Reshape(x, *)",
    )
    assert constant(result.to_proto()) == [0, 2, 3]


def test_other_transposes_do_not() -> None:
    check(
        ViewMerging(),
        before="""
        g (float[N,2,6] x) => (float[N,4,3] y) <int64[3] b = {0, 4, 3}> {
            h = Transpose <perm = [0, 2, 1]> (x)
            y = Reshape(h, b)
        }
        """,
    )


def test_in_a_body() -> None:
    check(
        ViewMerging(),
        before="""
        g (bool c, float[N,3,4] x) => (float[N,2,6] y) <int64[3] b = {0, 2, 6}> {
            y = If (c) <
                then_branch = a () => (float[N,2,6] p) { h = Flatten(x)  p = Reshape(h, b) },
                else_branch = e () => (float[N,2,6] q) { q = Reshape(x, b) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            p = Reshape(x, *)
          else_branch:
            q = Reshape(x, *)
        """,
    )


@pytest.mark.parametrize("opset", [13, 17, 21])
def test_a_graph_returns_a_value_of_its_own(opset: int) -> None:
    check(
        ViewMerging(),
        before="""
        g (float[N,1,M] x) => (float[N,1,M] y) <int64[1] a = {1}> {
            h = Squeeze(x, a)
            y = Unsqueeze(h, a)
        }
        """,
        after="y = Identity(x)",
        opset=opset,
    )


def test_a_squeeze_of_no_axes_which_some_runtimes_take_for_all_stays() -> None:
    proto = model(
        """
        g (float[N,3] x) => (y) <int64[0] none = {}, int64[1] one = {1}> {
            a = Squeeze(x, none)
            b = Unsqueeze(a, one)
            y = Neg(b)
        }
        """
    )
    assert PassManager([ViewMerging()]).run(Model(proto)).changes == 0
