from __future__ import annotations

import pytest

from onnxforge import Model
from onnxforge.testing import model
from onnxforge_passes.uniform import uniform

RANGE = """
g (int64 n, int64 v) => (bool[N,1] y) <int64 start = {{2}}, int64 step = {{{step}}}, int64 c = {{{c}}},
 int64[1] a = {{1}}> {{
    r = Range(start, n, step)
    u = Unsqueeze(r, a)
    y = {call}
}}
"""


@pytest.mark.parametrize(
    ("call", "c", "expected"),
    [
        ("GreaterOrEqual(u, c)", 2, True),
        ("GreaterOrEqual(u, c)", 3, None),
        ("Greater(u, c)", 1, True),
        ("Greater(u, c)", 2, None),
        ("Less(u, c)", 2, False),
        ("LessOrEqual(u, c)", 1, False),
        ("LessOrEqual(u, c)", 2, None),
        ("LessOrEqual(c, u)", 2, True),
        ("Less(c, u)", 2, None),
        ("Greater(c, u)", 2, False),
        ("Less(u, v)", 2, None),
    ],
)
def test_numbers_that_count_up_compare_alike(call: str, c: int, expected: bool | None) -> None:
    graph = Model(model(RANGE.format(call=call, c=c, step=1))).graph
    assert uniform(graph.outputs[0]) is expected


def test_numbers_that_may_count_down_compare_otherwise() -> None:
    graph = Model(model(RANGE.format(call="GreaterOrEqual(u, c)", c=2, step=-1))).graph
    assert uniform(graph.outputs[0]) is None
