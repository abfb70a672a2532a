"""ONNX Runtime's own miscompiles are kept apart from ours."""

import pytest
from onnxruntime import __version__ as ort_version

from onnxforge import Model
from onnxforge.testing import model
from onnxforge.verify import compare_levels
from onnxforge.verify.levels import LevelResult

PAD_POOL = """
g (float[1,2,6,6] x) => (float[1,2,6,6] y)
<int64[8] pads = {0,0,1,1,0,0,1,1}, float below = {-9}>
{
    low = Sigmoid(x)
    shifted = Sub(low, below)
    negative = Neg(shifted)
    p = Pad(negative, pads)
    y = MaxPool<kernel_shape=[3,3]>(p)
}
"""


def test_a_model_the_runtime_compiles_well_is_fine_at_every_level():
    text = "g (float[N,4] x) => (float[N,4] y) { a = Relu(x)  b = Exp(a)  y = Softmax(b) }"
    results = compare_levels(Model(model(text)), Model(model(text)))
    assert [result.level for result in results] == ["basic", "extended", "all"]
    assert all(str(result).endswith("fine") for result in results)


@pytest.mark.skipif(ort_version != "1.31.1", reason="miscompiled by this version, maybe no other")
def test_a_miscompile_of_the_original_is_the_runtimes_own():
    original = Model(model(PAD_POOL))
    results = compare_levels(original, original.copy())
    assert all("miscompiles the original" in str(result) for result in results)


def test_a_result_alone_going_astray_is_told_apart():
    assert "result alone" in str(LevelResult("all", 1e-7, 0.5, 1e-4))
