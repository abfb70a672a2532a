"""Sizes that a model would fail with are no sizes to reckon with."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from onnxforge import Model
from onnxforge.shapes import Dim, DimLike, at_least
from onnxforge.testing import model

HEADS = """
g (float[N,L,8] x) => (float[A,B,C,D] y)
<int64[1] first = {{0}}, int64[1] second = {{1}}, int64[2] rest = {{{rest}}}> {{
    s = Shape(x)
    n = Gather(s, first)
    l = Gather(s, second)
    t = Concat<axis = 0>(n, l, rest)
    y = Reshape(x, t)
}}
"""
# Each with the least sizes of N and L.
DEMANDS = {
    "a size beside a -1": (HEADS.format(rest="-1, 4"), 1, 1),
    "a size with nothing beside it": (HEADS.format(rest="2, 4"), 0, 0),
    "a size that 0 could not copy": (
        """
        g (float[N,L] x) => (float[A,B,C] y) <int64[2] ones = {1, 1}, int64[1] second = {1}> {
            s = Shape(x)
            l = Gather(s, second)
            flat = Flatten<axis = 0>(x)
            t = Concat<axis = 0>(ones, l)
            y = Reshape(flat, t)
        }
        """,
        0,
        1,
    ),
    "an element that is taken": (
        "g (float[N,L] x) => (float[N] y) <int64 two = {2}> { y = Gather<axis = 1>(x, two) }",
        0,
        3,
    ),
    "an element that is taken from the end": (
        "g (float[N,L] x) => (float[L] y) <int64 last = {-1}> { y = Gather(x, last) }",
        1,
        0,
    ),
    "a window": (
        """
        g (float[N,2,L] x) => (float[N,3,M] z) <float[3,2,10] w, float[3,3,3] v>
        { y = Conv<strides = [5]>(x, w) z = Conv(y, v) }
        """,
        0,
        20,
    ),
    "an element that is taken by what is not known": (
        "g (float[N,L] x, int64 i) => (float[L] y) { y = Gather(x, i) }",
        0,
        0,
    ),
    "an element nobody wants": (
        """
        g (float[N,L] x) => (float[N,L] y) <int64 two = {2}>
        { dead = Gather<axis = 1>(x, two) y = Relu(x) }
        """,
        0,
        0,
    ),
    "an element that a branch takes": (
        """
        g (bool c, float[N,L] x) => (float[M] y) <int64 two = {2}> {
            y = If (c) <
                then_branch = a () => (float[M] p) { p = Gather<axis = 1>(x, two) },
                else_branch = b () => (float[M] q) { q = ReduceSum<keepdims = 0>(x) }
            >
        }
        """,
        0,
        0,
    ),
}


@pytest.mark.parametrize(("text", "n", "length"), DEMANDS.values(), ids=DEMANDS)
def test_how_small_a_size_can_be(text: str, n: int, length: int) -> None:
    graph = Model(model(text)).graph
    sizes = [size for size in graph.values["x"].shape if not isinstance(size, int)]
    for size, least in zip(sizes, (n, length), strict=True):
        assert at_least(size, least)
        assert not at_least(size, least + 1)


@pytest.mark.parametrize("name", [name for name, (_, n, length) in DEMANDS.items() if n or length])
def test_a_model_fails_where_a_size_is_smaller(name: str) -> None:
    text, n, length = DEMANDS[name]
    opened = Model(model(text))
    shape = opened.graph.values["x"].shape
    session = onnxruntime.InferenceSession(
        opened.to_proto().SerializeToString(), _unoptimized(), providers=["CPUExecutionProvider"]
    )
    least = {"N": max(n, 1), "L": max(length, 1)}
    session.run(None, {"x": np.zeros([concrete(size, least) for size in shape], np.float32)})
    for symbol, low in (("N", n), ("L", length)):
        if low:
            sizes = least | {symbol: low - 1}
            with pytest.raises(Exception, match=r"Non-zero status code|INVALID_ARGUMENT"):
                session.run(None, {"x": np.zeros([concrete(s, sizes) for s in shape], np.float32)})


def concrete(size: DimLike, sizes: dict[str, int]) -> DimLike:
    return size.subs(sizes) if isinstance(size, Dim) else size


def _unoptimized() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return options
