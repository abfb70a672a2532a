"""ONNX Runtime's own miscompiles are kept apart from ours."""

from onnxforge import Model
from onnxforge.testing import model
from onnxforge.verify import compare_levels
from onnxforge.verify.levels import LevelResult

# Relu goes into the Clip, which float64 has no fused kernel for: the model does not load.
CLIPPED = """
g (double[6] x) => (double[6] y) <double low = {-1}, double high = {1}>
{
    r = Relu(x)
    y = Clip(r, low, high)
}
"""


def test_a_model_the_runtime_compiles_well_is_fine_at_every_level():
    text = "g (float[N,4] x) => (float[N,4] y) { a = Relu(x)  b = Exp(a)  y = Softmax(b) }"
    results = compare_levels(Model(model(text)), Model(model(text)))
    assert [result.level for result in results] == ["basic", "extended", "all"]
    assert all(str(result).endswith("fine") for result in results)


def test_a_miscompile_of_the_original_is_the_runtimes_own():
    original = Model(model(CLIPPED))
    results = compare_levels(original, original.copy())
    assert all("miscompiles the original" in str(result) for result in results)


def test_a_result_alone_going_astray_is_told_apart():
    assert "result alone" in str(LevelResult("all", 1e-7, 0.5, 1e-4))
