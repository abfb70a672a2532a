from __future__ import annotations

import pytest
from attention_texts import GUARDED, MASKED, SCALED, WEIGHTS, attention

from onnxforge import Model, optimize
from onnxforge.testing import check, model
from onnxforge_passes.multi_head_attention_injection import MultiHeadAttentionInjection


def optimized(text: str, *, opset: int = 17) -> Model:
    """The model with attention injected and cleaned up, every edit checked."""
    passes = [MultiHeadAttentionInjection(), "standard"]
    result = optimize(model(text, opset=opset), passes, target="ort-cpu", verify="edits")
    assert result.report is not None
    assert not result.report.refused
    return result


def operators(result: Model) -> list[str]:
    return [node.op_type for node in result.graph]


def scale_of(result: Model) -> float:
    (node,) = (node for node in result.graph if node.op_type == "MultiHeadAttention")
    assert node.attribute("num_heads") == 2
    return float(node.attribute("scale"))


def test_the_operator_reads_what_was_taken_apart() -> None:
    check(
        MultiHeadAttentionInjection(),
        before=attention(),
        after="""
        qr = Reshape(q, *)
        kr = Reshape(k, *)
        vr = Reshape(v, *)
        t1 = Reshape(qr, *)
        t2 = Reshape(kr, *)
        t3 = Reshape(vr, *)
        t4 = com.microsoft.MultiHeadAttention<num_heads=2, scale=0.5>(t1, t2, t3)
        t5 = Reshape(t4, *)
        o = Transpose<perm=[0,2,1,3]>(t5)
        t = Transpose<perm=[0,2,1,3]>(o)
        y = Reshape(t, *)
        """,
    )


@pytest.mark.parametrize(
    ("scores", "scale"),
    [
        (SCALED, 0.5),
        ("s = MatMul(qt, kt) w = Div(s, two)", 0.5),
        ("qs = Mul(qt, half) w = MatMul(qs, kt)", 0.5),
        ("qs = Div(qt, two) w = MatMul(qs, kt)", 0.5),
        ("qs = Mul(qt, half) ks = Mul(kt, half) w = MatMul(qs, ks)", 0.25),
        ("w = MatMul(qt, kt)", 1.0),
    ],
)
def test_all_of_it_is_one_operator_whatever_side_the_scale_is_on(scores: str, scale: float) -> None:
    result = optimized(attention(scores))
    assert operators(result) == ["MultiHeadAttention"]
    assert scale_of(result) == scale


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ("B,2,S,L", []),
        ("1,1,S,L", []),
        ("S,L", ["Unsqueeze"]),
        ("2,S,L", ["Unsqueeze"]),
        ("1,1,1,L", ["Expand"]),
    ],
)
def test_a_mask_is_written_out_as_the_operator_wants_it(mask: str, expected: list[str]) -> None:
    result = optimized(attention(SCALED, MASKED, inputs=f", float[{mask}] mask"))
    assert operators(result)[-1:] == ["MultiHeadAttention"]
    assert [each for each in operators(result)[:-1] if each in ("Unsqueeze", "Expand")] == expected


@pytest.mark.parametrize("opset", [11, 13, 17, 21])
def test_in_any_opset(opset: int) -> None:
    masked = attention(SCALED, MASKED.replace("-1", "3"), inputs=", float[S,L] mask")
    assert "MultiHeadAttention" in operators(optimized(masked, opset=opset))


def test_the_guard_against_rows_without_numbers_stands_after_it() -> None:
    result = optimized(attention(SCALED, GUARDED, inputs=", float[1,1,S,L] mask"))
    assert operators(result) == ["MultiHeadAttention", "IsNaN", "Where"]


@pytest.mark.parametrize(
    "split",
    [
        "h = Transpose <perm = [0, 2, 1, 3]> (r) qt, kh, vt = Split <axis = 1> (h, sizes)",
        """
        q, k, v = Split <axis = 2> (r, sizes)
        qt = Transpose <perm = [0, 2, 1, 3]> (q)
        kh = Transpose <perm = [0, 2, 1, 3]> (k)
        vt = Transpose <perm = [0, 2, 1, 3]> (v)
        """,
    ],
)
def test_heads_that_were_split_are_split_as_rows(split: str) -> None:
    result = optimized(
        f"""
        g (float[B,S,24] x) => (float[B,S,8] y)
        <int64[4] apart = {{0, 0, 6, 4}}, int64[3] together = {{0, 0, 8}},
         int64[3] sizes = {{2, 2, 2}}>
        {{
            r = Reshape(x, apart)
            {split}
            kt = Transpose <perm = [0, 1, 3, 2]> (kh)
            s = MatMul(qt, kt)
            p = Softmax <axis = -1> (s)
            o = MatMul(p, vt)
            t = Transpose <perm = [0, 2, 1, 3]> (o)
            y = Reshape(t, together)
        }}
        """
    )
    assert operators(result) == ["Split", "MultiHeadAttention"]


def test_heads_that_are_repeated_are_repeated_as_rows() -> None:
    text = attention(
        "w = MatMul(qt, kt)",
        "vc = Gather <axis = 1> (vt, twice) p = Softmax <axis = -1> (w)",
        keys="""
        kh = Transpose <perm = [0, 2, 1, 3]> (kr)
        kc = Gather <axis = 1> (kh, twice)
        kt = Transpose <perm = [0, 1, 3, 2]> (kc)
        """,
    )
    text = text.replace("MatMul(p, vt)", "MatMul(p, vc)").replace(
        "[2] pair", "[2] pair, int64[2] twice = {1, 0}"
    )
    found = operators(optimized(text))
    assert found.count("Gather") == 2
    assert "Transpose" not in found


def test_keys_and_values_that_are_cached_stay_apart() -> None:
    keys = "kc = Concat <axis = 2> (past, kh) kt = Transpose <perm = [0, 1, 3, 2]> (kc)"
    text = attention(
        "kh = Transpose <perm = [0, 2, 1, 3]> (kr) " + keys + " w = MatMul(qt, kt)",
        "vc = Concat <axis = 2> (past, vt) p = Softmax <axis = -1> (w)",
        keys="",
        inputs=", float[B,2,P,4] past",
    ).replace("MatMul(p, vt)", "MatMul(p, vc)")
    found = operators(optimized(text))
    assert found[-1] == "MultiHeadAttention"
    assert found.count("Concat") == 2
    assert "MatMul" not in found


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (attention(dtype="float16"), "float32"),
        (attention("s = MatMul(qt, kt) w = Mul(s, pair)", rows="B,2", columns="B,2"), "scale"),
        (attention(SCALED, "p = Softmax <axis = 1> (w)"), "row"),
        (attention(SCALED, MASKED, inputs=", float[M,1,S,L] mask", rows="1,S"), "batch"),
        (attention(SCALED, MASKED, inputs=", float[1,1,S,1] mask"), "columns"),
        (attention(keys="kh = Identity(kr) kt = Transpose <perm = [0, 2, 3, 1]> (kh)"), None),
        (attention(rows="1,S", columns="B,L"), "batch"),
        (attention(keys="kt = Reshape(k, flat)"), "not transposed"),
        (attention("qn = Abs(qt) w = MatMul(qn, kt)"), "queries"),
    ],
)
def test_what_is_not_known_to_be_the_same_stays(text: str, reason: str | None) -> None:
    if reason is None:
        assert "MultiHeadAttention" in operators(optimized(text))
        return
    if "flat" in text:
        text = text.replace("int64[3] tog", "int64[4] flat = {0, 2, 4, -1}, int64[3] tog")
    check(MultiHeadAttentionInjection(), before=text, declined=reason)


def test_weights_that_are_read_elsewhere_stay() -> None:
    text = attention(SCALED, WEIGHTS).replace("8] y)", "8] y, float[B,2,S,L] p)")
    check(MultiHeadAttentionInjection(), before=text)


def test_in_a_body() -> None:
    inner = attention(rows="B,S", columns="B,S").split("{\n        qr", 1)[1]
    inner = "qr" + inner.rsplit("}", 1)[0].replace("y = Reshape", "z = Reshape")
    check_text = f"""
    g (float[B,S,8] q, float[B,S,8] k, float[B,S,8] v, bool c) => (float[B,S,8] y)
    <int64[4] apart = {{0, 0, 2, 4}}, int64[3] together = {{0, 0, 8}}, float half = {{0.5}}>
    {{
        y = If (c) <
            then_branch = a () => (float[B,S,8] z) {{ {inner} }},
            else_branch = b () => (float[B,S,8] u) {{ u = Identity(q) }}
        >
    }}
    """
    result = optimized(check_text)
    bodies = [[node.op_type for node in graph] for graph in result.graphs()]
    assert ["MultiHeadAttention"] in bodies


def test_keys_and_values_that_are_apart_have_to_be_of_one_size() -> None:
    check(
        MultiHeadAttentionInjection(),
        before="""
        g (float[B,S,8] q, float[B,2,L,4] k, float[B,2,L,6] v) => (float[B,2,S,6] y)
        <int64[4] apart = {0, 0, 2, 4}> {
            qr = Reshape(q, apart)
            qt = Transpose <perm = [0, 2, 1, 3]> (qr)
            kt = Transpose <perm = [0, 1, 3, 2]> (k)
            w = MatMul(qt, kt)
            p = Softmax <axis = -1> (w)
            y = MatMul(p, v)
        }
        """,
        declined="one size",
    )
