"""The command line in this process, and models to give it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from typer.testing import CliRunner

from onnxforge.cli import app
from onnxforge.testing import model

TEXT = """
<ir_version: 10, opset_import: ["" : 17], producer_name: "a\x1b[31mred", producer_version: "1.0">
g (float[batch, 3, 4] x) => (float[batch, z] y)
<float[3] scale = {1, 2, 3}, int64[1] minus = {-1}, int64[1] zero = {0}, float[3] unused = {4, 5, 6}>
{
    [first] shape = Shape(x)
    size = Gather<axis = 0>(shape, zero)
    target = Concat<axis = 0>(size, minus)
    a = Identity(x)
    flat = Reshape(a, target)
    [first] y = Relu(flat)
}
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A model on disk with an Identity, shape arithmetic and some oddities."""
    path = tmp_path / "model.onnx"
    onnx.save(model(TEXT), path)
    return path


@pytest.fixture
def cli() -> Callable[..., Any]:
    """`cli("optimize", path, ...)` runs the command and returns typer's result."""

    def run(*arguments: object) -> Any:
        return CliRunner().invoke(app, [str(each) for each in arguments], prog_name="onnxforge")

    return run
