from __future__ import annotations

import pytest

from onnxforge.testing import check
from onnxforge_passes.body_trimming import BodyTrimming

LOOP = """
g ({dtype}[2] x, {dtype}[2] w, int64 n) => ({returns}) <bool t = {{1}}> {{
    {outputs} = Loop (n, t, {states}) <body = b (int64 i, bool c, {inputs}) => (bool d, {results}) {{
        d = Identity(c)
        {body}
    }}>
    {rest}
}}
"""


def loop(dtype: str = "float", **parts: str) -> str:
    text = {"returns": "float[2] y", "rest": "y = Neg(r)"} | parts
    return LOOP.format(dtype=dtype, **{k: v.replace("float", dtype) for k, v in text.items()})


@pytest.mark.parametrize("dtype", ["float", "float16"])
def test_what_every_turn_hands_on_is_read_from_outside(dtype: str) -> None:
    check(
        BodyTrimming(),
        before=loop(
            dtype,
            returns="float[2] y, float[2] z",
            outputs="r, k",
            states="x, w",
            inputs="float[2] a, float[2] s",
            results="float[2] p, float[2] q",
            body="p = Add(a, s) q = Identity(s)",
            rest="y = Neg(r) z = Exp(k)",
        ),
        after="""
        r = Loop(n, *, x)
          body:
            s = Identity(w)
            d = Identity(c)
            p = Add(a, s)
        y = Neg(r)
        z = Exp(w)
        """,
    )


def test_what_is_carried_for_itself_alone_goes_and_what_nobody_reads() -> None:
    check(
        BodyTrimming(),
        before=loop(
            outputs="r, k, f, e",
            states="x, w",
            inputs="float[2] a, float[2] s",
            results="float[2] p, float[2] q, float[2] u, float[2] v",
            body="p = Exp(a) q = Add(s, a) u = Sub(a, s) v = Neg(p)",
            returns="float[2] y, float[?,2] z",
            rest="y = Neg(r) z = Abs(e)",
        ),
        after="""
        r, e = Loop(n, *, x)
          body:
            d = Identity(c)
            p = Exp(a)
            v = Neg(p)
        y = Neg(r)
        z = Abs(e)
        """,
    )


@pytest.mark.parametrize(
    "body",
    [
        "p = Add(a, s) q = Exp(s)",  # one state is made of the other
        "p = Exp(a) q = Neg(s) m = ReduceSum<keepdims = 0>(s) k = Cast<to = 9>(m) d = And(c, k)",  # the condition
    ],
)
def test_what_is_needed_stays(body: str) -> None:
    text = loop(
        outputs="r, k",
        states="x, w",
        inputs="float[2] a, float[2] s",
        results="float[2] p, float[2] q",
        body=body,
    )
    if "And" in body:
        text = text.replace("d = Identity(c)", "")
    check(BodyTrimming(), before=text)


def test_outputs_of_an_if_that_nobody_reads() -> None:
    check(
        BodyTrimming(),
        before="""
        g (float[N] x, bool c) => (float[N] y) {
            r, s = If (c) <
                then_branch = t () => (float[N] p, float[N] q) { p = Neg(x) q = Exp(x) },
                else_branch = e () => (float[N] u, float[N] v) { u = Abs(x) v = Identity(x) }
            >
            y = Relu(s)
        }
        """,
        after="""
        s = If(c)
          then_branch:
            q = Exp(x)
          else_branch:
            v = Identity(x)
        y = Relu(s)
        """,
    )


def test_a_loop_without_a_condition_stays_one() -> None:
    check(
        BodyTrimming(),
        before="""
        g (float[2] x, int64 n) => (float[N,2] y) {
            k, y = Loop (n, "", x) <
                body = b (int64 i, bool c, float[2] s) => (bool d, float[2] p, float[2] q) {
                    d = Identity(c)
                    p = Identity(s)
                    q = Neg(s)
                }>
        }
        """,
        after="""
        y = Loop(n, _)
          body:
            s = Identity(x)
            d = Identity(c)
            q = Neg(s)
        """,
    )
