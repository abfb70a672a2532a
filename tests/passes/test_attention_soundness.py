"""The passes about attention on random spellings of it, some of which are something else."""

from __future__ import annotations

import os

import pytest
from attention_texts import LOWEST
from hypothesis import strategies as st
from onnx import ModelProto

from onnxforge import Pass
from onnxforge.testing import assert_pass_is_sound, model
from onnxforge_passes.attention_fusion import AttentionFusion
from onnxforge_passes.attention_layout_fusion import AttentionLayoutFusion
from onnxforge_passes.constant_folding import ConstantFolding
from onnxforge_passes.identity_elimination import IdentityElimination
from onnxforge_passes.multi_head_attention_injection import MultiHeadAttentionInjection
from onnxforge_passes.nan_guard_elimination import NanGuardElimination

EXAMPLES = int(os.environ.get("ONNXFORGE_EXAMPLES", "50"))


@st.composite
def attentions(draw: st.DrawFn) -> ModelProto:
    """A model of one attention: heads apart or side by side, sizes known or not, or broadcast."""
    some = lambda *options: draw(st.sampled_from(options))
    batch, rows, columns = some("B", "1", "2"), some("S", "1", "3"), some("L", "1", "5")
    heads, size, own_size = some(1, 2), some(1, 4), some(1, 4, 4)
    inputs, body = [], []
    for name, length in (("q", rows), ("k", columns), ("v", columns)):
        own = some(batch, batch, batch, "1")
        width = own_size if name == "v" else size
        if some(True, True, False):
            inputs.append(f"float[{own},{length},{heads * width}] {name}")
            body.append(f"{name}r = Reshape({name}, apart{width})")
            swapped = "0, 2, 3, 1" if name == "k" else "0, 2, 1, 3"
            body.append(f"{name}t = Transpose <perm = [{swapped}]> ({name}r)")
        elif name == "k":
            inputs.append(f"float[{own},{heads},{length},{size}] k")
            body.append(f"kt = Transpose <perm = [{some('0, 1, 3, 2', '0, 1, 3, 2')}]> (k)")
        else:
            inputs.append(f"float[{own},{some(heads, heads, 1)},{length},{width}] {name}")
            body.append(f"{name}t = Identity({name})")
    body.append(some("qs = Mul(qt, half)", "qs = Div(qt, half)", "qs = Identity(qt)"))
    body.append("s = MatMul(qs, kt)")
    body.append(some("w = Mul(s, half)", "w = Div(s, many)", "w = Identity(s)"))
    masked = "w"
    if some(True, True, False):
        masked = "a"
        shape = [some(batch, "1"), some(str(heads), "1"), some(rows, rows, "1"), columns]
        inputs.append(f"bool[{','.join(shape[some(0, 0, 1, 2) :])}] allowed")
        body.append(f"m = Where(allowed, zero, {some('low', 'lowest', 'nothing')})")
        body.append(some("a = Add(w, m)", "a = Add(m, w)"))
    body.append(f"r = Softmax <axis = {some(-1, -1, 3, 2)}> ({masked})")
    body.append(some("p = Identity(r)", "n = IsNaN(r) p = Where(n, zero, r)"))
    body.append("y = MatMul(p, vt)")
    text = f"""
    g ({", ".join(inputs)}) => (float[{some("X", "X")},Y,Z,W] y)
    <int64[4] apart1 = {{0, 0, {heads}, 1}}, int64[4] apart4 = {{0, 0, {heads}, 4}},
     float half = {{0.5}}, float[1] many = {{3}}, float zero = {{0}},
     float low = {{-1e30}}, float lowest = {{{LOWEST}}}, float nothing = {{-inf}}>
    {{ {" ".join(body)} }}
    """
    return model(text, opset=some(13, 17, 23))


@pytest.mark.parametrize(
    "each",
    [MultiHeadAttentionInjection(), AttentionFusion(), NanGuardElimination()],
    ids=lambda each: each.name,
)
def test_attention_in_one_operator_is_sound(each: Pass) -> None:
    around = IdentityElimination(), ConstantFolding(), each, AttentionLayoutFusion()
    assert_pass_is_sound(around, examples=EXAMPLES, strategy=attentions())
