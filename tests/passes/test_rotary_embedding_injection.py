from __future__ import annotations

import numpy as np
import onnx
import pytest

from onnxforge import optimize
from onnxforge.storage import from_array
from onnxforge.testing import check, model
from onnxforge_passes.rotary_embedding_fusion import RotaryEmbeddingFusion
from onnxforge_passes.rotary_embedding_injection import RotaryEmbeddingInjection

ANGLES = """
    f = Concat <axis = -1> (angles, angles)
    c = Cos(f)
    s = Sin(f)
    cos = Unsqueeze(c, one)
    sin = Unsqueeze(s, one)
"""
TURN = """
    a, b = Split <axis = {axis}> ({x}, halves)
    n = Neg(b)
    r = Concat <axis = -1> (n, a)
    xc = Mul({x}, cos)
    rs = Mul(r, sin)
    y = Add(xc, rs)
"""


def graph(angles: str = ANGLES, *, x: str = "B,2,S,8", dtype: str = "float", axis: int = 3) -> str:
    return f"""
    g ({dtype}[{x}] x, {dtype}[1,S,4] angles) => ({dtype}[{x}] y)
    <int64[2] halves = {{4, 4}}, int64[1] one = {{1}}>
    {{ {angles} {TURN.format(x="x", axis=axis)} }}
    """


@pytest.mark.parametrize("dtype", ["float", "float16"])
def test_both_halves_are_turned_at_once(dtype: str) -> None:
    check(
        RotaryEmbeddingInjection(),
        before=graph(dtype=dtype),
        after="""
        t1 = Reshape(angles, *)
        t2 = Cos(t1)
        t3 = Reshape(angles, *)
        t4 = Sin(t3)
        y = com.microsoft.RotaryEmbedding(x, *, t2, t4)
        """,
    )


def test_heads_are_turned_side_by_side() -> None:
    text = f"""
    g (float[B,S,16] q, float[1,S,4] angles) => (float[B,S,16] z)
    <int64[4] apart = {{0, 0, 2, 8}}, int64[2] halves = {{4, 4}}, int64[1] one = {{1}},
     int64[3] together = {{0, 0, 16}}>
    {{
        {ANGLES}
        qr = Reshape(q, apart)
        x = Transpose <perm = [0, 2, 1, 3]> (qr)
        {TURN.format(x="x", axis=-1)}
        t = Transpose <perm = [0, 2, 1, 3]> (y)
        z = Reshape(t, together)
    }}
    """
    passes = [RotaryEmbeddingInjection(), "standard"]
    result = optimize(model(text), passes, target="ort-cpu", verify="edits")
    assert [n.op_type for n in result.graph] == ["Reshape", "Cos", "Sin", "RotaryEmbedding"]


def with_tables(cos: np.ndarray, sin: np.ndarray) -> onnx.ModelProto:
    proto = model(
        graph("", x="B,2,3,8").replace(
            "one =", "one = {1}, float[3,8] cos, float[3,8] sin, int64[1] two ="
        )
    )
    tables = {"cos": cos, "sin": sin}
    for tensor in proto.graph.initializer:
        if tensor.name in tables:
            tensor.CopyFrom(from_array(tables[tensor.name].astype(np.float32), tensor.name))
    return proto


def test_angles_that_are_constant_become_tables() -> None:
    angles = np.tile(np.random.default_rng(0).normal(size=(3, 4)), 2)
    check(
        RotaryEmbeddingInjection(),
        before=with_tables(np.cos(angles), np.sin(angles)),
        after="y = com.microsoft.RotaryEmbedding(x, *, *, *)",
    )


def test_halves_with_angles_of_their_own_stay() -> None:
    angles = np.random.default_rng(0).normal(size=(3, 8))
    proto = with_tables(np.cos(angles), np.sin(angles))
    check(RotaryEmbeddingInjection(), before=proto, declined="different angles")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (graph(dtype="double"), "float32 and float16"),
        (graph(ANGLES.replace("(angles, angles)", "(angles, others)")).replace("angles)", "angles, float[1,S,4] others)", 1), "different angles"),
        (graph(ANGLES.replace("Cos(f)", "Abs(f)")), "same angles"),
        (graph(x="B,2,1,8"), "each row"),
        (graph().replace("1,S,4", "B,S,4"), "whole batch"),
        (graph().replace("{4, 4}", "{3, 5}"), "halves"),
    ],
)  # fmt: skip
def test_what_turns_otherwise_stays(text: str, reason: str) -> None:
    check(RotaryEmbeddingInjection(), before=text, declined=reason)


@pytest.mark.parametrize(("batch", "tables"), [("1", []), ("B", ["Expand", "Expand"])])
def test_as_of_opset_23_the_operator_is_onnxs(batch: str, tables: list[str]) -> None:
    text = graph(x=f"{batch},2,S,8")
    passes = [RotaryEmbeddingFusion(), "standard"]
    result = optimize(model(text, opset=23), passes, verify="edits")
    found = [node.op_type for node in result.graph]
    assert found[-1] == "RotaryEmbedding"
    assert [each for each in found if each == "Expand"] == tables


def test_before_opset_23_onnx_has_none() -> None:
    check(RotaryEmbeddingFusion(), before=graph(), declined="opset 23", opset=22)
