"""The APK's own Arm64 libonnxruntime.so, under qemu, computes what Python computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from android.reference import MODE, PICTURES, expected
from examples.digits import grid
from examples.digits.infer import grey
from lane import arm64
from lane.toolchain import ONNXRUNTIME

MODELS = ["original", "optimized", "int8"]

# Instructions.  ONNX Runtime folds what we fold when it loads a model: the work is the same, and what
# is left between two counts is where memory lies.
ALIKE = 10_000


@pytest.fixture(scope="module")
def cells() -> np.ndarray:
    """The 81 cells of a bundled Sudoku, float32 [81, 1, 28, 28]."""
    picture = grey(PICTURES / "sudoku-0.png")
    digits = grid.cells(grid.flat(picture, grid.corners(picture)))
    return digits[:, None].astype(np.float32) / 255


@pytest.mark.parametrize("provider", ["CPU", "XNNPACK", "NNAPI"])
@pytest.mark.parametrize("model", MODELS)
def test_it_answers_as_python_does(
    emulated: Path, models: Path, cells: np.ndarray, model: str, provider: str
) -> None:
    path = models / f"{model}.onnx"
    found = arm64.infer(emulated, path, cells, provider)
    answers = expected(path, cells)
    tolerance = 2e-2 if model == "int8" else 1e-5  # one of 256 levels of a logit
    np.testing.assert_allclose(found.probabilities, answers, atol=tolerance)
    digits = cells.any((1, 2, 3))
    np.testing.assert_array_equal(found.probabilities[digits].argmax(1), answers[digits].argmax(1))
    # XNNPACK takes each of the nine convolutions; no phone's NNAPI is here to take any.
    taken = found.placement["XnnpackExecutionProvider"]
    assert taken >= 9 if provider == "XNNPACK" else taken == 0
    assert found.placement["CPUExecutionProvider"] > 0


def test_it_is_the_version_and_has_the_providers_that_the_app_offers(
    emulated: Path, models: Path, cells: np.ndarray
) -> None:
    found = arm64.infer(emulated, models / "optimized.onnx", cells[:1], "CPU")
    assert found.version == ONNXRUNTIME
    offered = {"CPUExecutionProvider", "XnnpackExecutionProvider", "NnapiExecutionProvider"}
    assert offered <= set(found.providers)


def test_the_int8_model_takes_half_the_instructions_at_most(
    emulated: Path, models: Path, cells: np.ndarray
) -> None:
    count = len(cells) if MODE == "full" else 2

    def instructions(model: str, provider: str) -> int:
        return arm64.instructions(emulated, models / f"{model}.onnx", cells[:count], provider)

    for provider in ("CPU", "XNNPACK"):
        original, optimized, int8 = (instructions(model, provider) for model in MODELS)
        assert optimized <= original + ALIKE
        assert int8 < original / 2
