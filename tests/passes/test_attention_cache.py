from __future__ import annotations

from onnxforge import optimize
from onnxforge.testing import check, model
from onnxforge_passes.attention_cache_fusion import AttentionCacheFusion
from onnxforge_passes.attention_cache_injection import AttentionCacheInjection


def graph(axis: int = 2, outputs: str = ", float[B,2,5,4] keys, float[B,2,5,4] values") -> str:
    return f"""
    g (float[B,4,2,4] q, float[B,2,3,4] pk, float[B,2,2,4] k, float[B,2,3,4] pv,
       float[B,2,2,4] v, float[2,5] mask) => (float[B,4,2,4] y{outputs})
    {{
        keys = Concat <axis = {axis}> (pk, k)
        values = Concat <axis = -2> (pv, v)
        y = Attention (q, keys, values, mask)
    }}
    """


def test_what_is_kept_for_the_next_step_is_the_operators_too() -> None:
    check(
        AttentionCacheFusion(),
        before=graph(),
        after="y, keys, values = Attention(q, k, v, mask, pk, pv)",
        opset=23,
    )


def test_so_is_what_is_joined_and_not_kept() -> None:
    check(
        AttentionCacheFusion(),
        before=graph(outputs=""),
        after="y, keys, values = Attention(q, k, v, mask, pk, pv)",
        opset=23,
    )


def test_heads_that_are_joined_stay() -> None:
    text = graph(axis=1, outputs="").replace("float[B,2,3,4] pk", "float[B,1,5,4] pk")
    text = text.replace("float[B,2,2,4] k", "float[B,1,5,4] k")
    check(AttentionCacheFusion(), before=text, declined="rows", opset=23)


def own(split: str = "Transpose <perm = [0, 2, 1, 3]> (kr)", axis: int = 2) -> str:
    return f"""
    <ir_version: 10, opset_import: ["": 17, "com.microsoft": 1]>
    g (float[B,S,8] q, float[B,2,P,4] pk, float[B,S,8] k, float[B,2,P,4] pv, float[B,S,8] v)
    => (float[B,S,8] y, float[B,2,T,4] keys, float[B,2,T,4] values)
    <int64[4] apart = {{0, 0, 2, 4}}>
    {{
        kr = Reshape(k, apart)
        vr = Reshape(v, apart)
        kt = {split}
        vt = Transpose <perm = [0, 2, 1, 3]> (vr)
        keys = Concat <axis = {axis}> (pk, kt)
        values = Concat <axis = 2> (pv, vt)
        y = com.microsoft.MultiHeadAttention <num_heads = 2> (q, keys, values)
    }}
    """


def test_onnx_runtimes_own_operator_appends_rows() -> None:
    check(
        AttentionCacheInjection(),
        before=own(),
        after="""
        kr = Reshape(k, *)
        vr = Reshape(v, *)
        t1 = Reshape(kr, *)
        t2 = Reshape(vr, *)
        y, keys, values = com.microsoft.MultiHeadAttention<num_heads=2>(q, t1, t2, _, _, _, pk, pv)
        """,
    )


def test_heads_that_no_transpose_takes_apart_stay() -> None:
    text = own("Reshape(kr, other)").replace("apart =", "other = {0, 2, -1, 4}, int64[4] apart =")
    check(AttentionCacheInjection(), before=text, declined="Transposes")


def test_a_cache_that_nobody_keeps_is_returned_all_the_same() -> None:
    result = optimize(model(graph(outputs=""), opset=23), verify="edits")
    (node,) = result.graph
    assert len(node.outputs) == 3


def test_what_attends_to_earlier_rows_alone_stays() -> None:
    text = graph().replace("Attention (", "Attention <is_causal = 1> (")
    check(AttentionCacheFusion(), before=text, declined="later", opset=23)
    text = own().replace("num_heads = 2", "num_heads = 2, unidirectional = 1")
    check(AttentionCacheInjection(), before=text, declined="later")


def test_values_that_are_joined_at_another_place_than_keys_stay() -> None:
    text = graph().replace("(pv, v)", "(v, pv)")
    check(AttentionCacheFusion(), before=text, declined="at one place", opset=23)
