"""Small models to measure, and machines that exist in files only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from onnxforge.testing import model

CONVOLUTION = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[batch, 3, 8, 8] x) => (float[batch, 4, 8, 8] y)
<float[4, 3, 1, 1] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}>
{
    a = Conv(x, w)
    b = Relu(a)
    y = Sigmoid(b)
}
"""


@pytest.fixture
def convolution(tmp_path: Path) -> Path:
    """Conv, Relu, Sigmoid over float [batch, 3, 8, 8]."""
    path = tmp_path / "convolution.onnx"
    onnx.save(model(CONVOLUTION), path)
    return path


@pytest.fixture
def files(tmp_path: Path) -> Callable[[dict[str, str]], Path]:
    """Makes a root folder of files with these contents."""

    def make(contents: dict[str, str]) -> Path:
        root = tmp_path / "root"
        for name, content in contents.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return root

    return make
