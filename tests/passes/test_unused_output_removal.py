from __future__ import annotations

from onnxforge.testing import check
from onnxforge_passes.unused_output_removal import UnusedOutputRemoval


def test_indices_nobody_reads_go() -> None:
    check(
        UnusedOutputRemoval(),
        before="g (float[1,1,N,4] x) => (float[A,B,C,D] y) "
        "{ a, i = MaxPool<kernel_shape = [1, 2]>(x)  y = Neg(a) }",
        after="""
        a = MaxPool<kernel_shape=[1,2]>(x)
        y = Neg(a)
        """,
    )


def test_states_nobody_reads_go_from_the_end() -> None:
    subject = check(
        UnusedOutputRemoval(),
        before="""
        g (float[S,1,2] x) => (float[1,1,3] h) <float[1,12,2] w, float[1,12,3] r> {
            y, h, c = LSTM<hidden_size = 3>(x, w, r)
        }
        """,
        after="y, h = LSTM<hidden_size=3>(x, *, *)",
    )
    assert "c" not in subject.graph.values


def test_what_is_returned_or_read_stays() -> None:
    check(
        UnusedOutputRemoval(),
        before="g (float[N,4] x) => (float[N,4] y, bool[N,4] m) { y, m = Dropout(x) }",
    )


def test_a_cache_is_returned_where_it_is_read() -> None:
    check(
        UnusedOutputRemoval(),
        before="""
        g (float[1,2,3,4] q, float[1,2,3,4] past) => (float[1,2,3,4] y) {
            y, keys, values = Attention(q, q, q, "", past, past)
        }
        """,
        opset=23,
    )


def test_outputs_that_are_not_optional_stay() -> None:
    check(
        UnusedOutputRemoval(),
        before="g (float[N,4] x) => (float[N,2] y) <int64[2] s = {2,2}> "
        "{ y, z = Split<axis = 1>(x, s) }",
    )


def test_outputs_in_a_body_go() -> None:
    check(
        UnusedOutputRemoval(),
        before="""
        g (float16[N] x, bool c) => (float16[N] y) {
            y = If (c) <
                then_branch = t () => (float16[N] p) { p, m = Dropout(x) },
                else_branch = e () => (float16[N] q) { q = Neg(x) }
            >
        }
        """,
        after="""
        y = If(c)
          then_branch:
            p = Dropout(x)
          else_branch:
            q = Neg(x)
        """,
    )
