from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.loop_elimination import LoopElimination

LOOP = """
g (float[N] x, bool d) => (float[N] y, float[K,N] z) <int64 m = {{{trips}}}, bool t = {{{goes}}}> {{
    y0, z0 = Loop ({m}, {c}, x) <body = b (int64 i, bool e, float[N] s) => (bool f, float[N] u, float[N] v)
        {{ f = Identity(e)  n = Cast<to = 1>(i)  u = Add(s, n)  v = Neg(u) }}>
    y = Abs(y0)
    z = Relu(z0)
}}
"""


def loop(trips: int = 1, goes: int = 1, m: str = "m", c: str = "t") -> str:
    return LOOP.format(trips=trips, goes=goes, m=m, c=c)


@pytest.mark.parametrize("text", [loop(), loop(c="")])
def test_a_loop_that_runs_once_is_its_body(text: str) -> None:
    check(
        LoopElimination(),
        before=text,
        after="""
        t1 = Cast<to=1>(*)
        t2 = Add(x, t1)
        t3 = Neg(t2)
        z0 = Unsqueeze(t3, *)
        y = Abs(t2)
        z = Relu(z0)
        """,
    )


@pytest.mark.parametrize("text", [loop(trips=2), loop(m=""), loop(c="d"), loop(trips=3, c="d")])
def test_a_loop_that_may_run_more_often_or_not_at_all_stays(text: str) -> None:
    if text == loop(m=""):
        text = text.replace("f = Identity(e)", "f = Less(i, m)")
    check(LoopElimination(), before=text)


def test_what_a_loop_that_never_runs_collects_is_of_unknown_shape() -> None:
    check(LoopElimination(), before=loop(trips=0), declined="never runs")


@pytest.mark.parametrize(("trips", "goes"), [(0, 1), (7, 0)])
def test_a_loop_that_never_runs_returns_what_goes_in(trips: int, goes: int) -> None:
    text = loop(trips, goes).replace(", float[K,N] z)", ")").replace("z = Relu(z0)", "")
    check(LoopElimination(), before=text, after="y = Abs(x)")


def test_a_body_that_wants_the_number_of_the_iteration_as_a_vector_gets_one() -> None:
    text = """
    g (float[4] x) => (float[4] y, int64[R,1] z) <int64 m = {1}> {
        y, z = Loop(m, "", x) <body = b (int64[1] i, bool c, float[4] v)
            => (bool d, float[4] w, int64[1] j) { d = Identity(c) w = Neg(v) j = Identity(i) }>
    }
    """
    subject = check(
        LoopElimination(),
        before=text.replace('""', ""),
        after="y = Neg(x)\nt1 = Identity(*)\nz = Unsqueeze(t1, *)",
    )
    assert subject.graph.values["z"].shape == (1, 1)
